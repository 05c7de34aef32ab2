//! The settings of pretraining on one's own text: flags on the command line, and the configuration saved beside the
//! weights.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::checkpoint::SaveEvery;
use crate::corpus::{CorpusOptions, one_or_many};
use crate::objective::registry::{InvalidOption, at_least_zero, positive, probability};
use crate::optim::{AdamWConfig, Betas, Decay, Schedule, Warmup};
use crate::regularization::{self, InvalidRegularization};
use crate::trainer::precision::TrainingPrecision;

/// Settings of `mirror pretrain`.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PretrainOptions {
    /// Model to start from: a folder, builtin, or a Hugging Face id (owner/name or owner/name@revision)
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    pub model: String,
    /// Text to learn from: a file (.txt with one sentence a line, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst), a
    /// folder of them, or a pattern in quotes ('data/*.txt'); may be given again
    #[arg(long, value_name = "FILE")]
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub corpus: Vec<PathBuf>,
    /// How the corpus is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: CorpusOptions,
    /// Start with a new head for masked words, whatever head the model's folder has
    #[arg(long)]
    #[serde(default)]
    pub new_head: bool,
    /// Folder to write the model to [default: mirror-out, numbered if taken]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Write into an output folder that is not empty: a complete run takes the place of an earlier run, and what mirror
    /// did not write stays
    #[arg(long)]
    #[serde(skip)]
    pub overwrite: bool,

    /// Sentences in a batch
    #[arg(long, default_value_t = 64, value_name = "N", help_heading = "Training")]
    pub batch_size: usize,
    /// Parts in which a batch goes through the encoder, one after another, each forward twice: the exact gradient of the
    /// whole batch in the memory of one part
    #[arg(long, default_value_t = 1, value_name = "PARTS", help_heading = "Training")]
    pub accumulate: usize,
    /// Passes over the corpus
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Training")]
    pub epochs: u64,
    /// Stop after this many steps
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// AdamW's peak learning rate
    #[arg(
        long,
        visible_alias = "lr",
        default_value_t = 5e-5,
        value_name = "RATE",
        help_heading = "Training"
    )]
    pub learning_rate: f64,
    /// How the learning rate falls to 0 by the end of the run, after --warmup
    #[arg(long, value_enum, default_value_t = Decay::Linear, value_name = "HOW", help_heading = "Training")]
    pub schedule: Decay,
    /// Power of --schedule polynomial
    #[arg(long, default_value_t = 1.0, value_name = "P", help_heading = "Training")]
    pub decay_power: f64,
    /// Steps (100) or share of all steps (0.06) in which the learning rate rises from 0
    #[arg(long, default_value = "0.06", value_name = "STEPS|SHARE", help_heading = "Training")]
    pub warmup: Warmup,
    /// AdamW's β₁ and β₂, the factors of its moments
    #[arg(long, default_value_t = Betas::default(), value_name = "β₁,β₂", help_heading = "Training")]
    pub adam_betas: Betas,
    /// AdamW's ε, added to the root of the second moment
    #[arg(long, default_value_t = 1e-8, value_name = "ε", help_heading = "Training")]
    pub adam_eps: f64,
    /// AdamW's decoupled weight decay, on all parameters
    #[arg(long, default_value_t = 0.01, value_name = "RATE", help_heading = "Training")]
    pub weight_decay: f64,
    /// Scale the gradient down to this norm where it is longer
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Share of a sentence's tokens that are masked: of these 80 % become the mask token, 10 % another token, and 10 % stay
    #[arg(long, default_value_t = 0.15, value_name = "SHARE", help_heading = "Training")]
    pub mask_share: f64,
    /// Mask whole words, with all their tokens
    #[arg(long, help_heading = "Training")]
    #[serde(default)]
    pub whole_words: bool,
    /// Tokens of a sentence, special ones included, beyond which it is cut
    #[arg(long, default_value_t = 128, value_name = "N", help_heading = "Training")]
    pub max_length: usize,
    /// Dropout of hidden states and of attention probabilities
    #[arg(long, default_value_t = 0.1, value_name = "P", help_heading = "Training")]
    pub dropout: f64,
    /// Probability that an attention head is dropped, for each sentence and layer
    #[arg(long, default_value_t = 0.0, value_name = "P", help_heading = "Training")]
    pub drophead: f64,
    /// Seed of all randomness, a new head's weights included
    // TOML, in which settings are saved, has no larger numbers.
    #[arg(
        long,
        default_value_t = 42,
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64),
        value_name = "N",
        help_heading = "Training"
    )]
    pub seed: u64,

    /// `--reg` and the flags of what it composes.
    #[command(flatten)]
    #[serde(flatten)]
    pub regularization: regularization::Options,

    /// Lines of the corpus to keep out of training and to measure perplexity on, before, during and after it; 0 for none
    /// [default: the smaller of 500 and 5 % of the corpus]
    #[arg(long, value_name = "N", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<u64>,
    /// Measure every N steps; 0: before and after training only [default: after each epoch]
    #[arg(long, value_name = "N", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// Keep the weights with the least perplexity on held-out lines, not the last ones
    #[arg(long, help_heading = "Scoring")]
    #[serde(default)]
    pub keep_best: bool,
    /// Stop after this many measurements in a row without a lower perplexity
    #[arg(long, value_name = "N", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<u64>,
    /// Folder to log the run to as TensorBoard's event files, beside metrics.jsonl; a folder for each run
    #[arg(long, value_name = "DIR", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<PathBuf>,

    /// Write a checkpoint every N steps (100), or so often (90s, 10m, 2h), or never; a signal that stops
    /// the run writes one too
    #[arg(long, default_value = "10m", value_name = "STEPS|TIME", help_heading = "Checkpoints")]
    pub save_every: SaveEvery,
    /// Keep this many checkpoints, the newest
    #[arg(long, default_value_t = 2, value_name = "N", help_heading = "Checkpoints")]
    pub keep_last: usize,

    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE", help_heading = "Machine")]
    pub device: String,
    /// In what layers multiply: f32; bf16, which rounds what is multiplied and sums in f32; or auto, which is bf16 on a
    /// GPU and where the processor multiplies it faster [default: f32 on the CPU, bf16 on a GPU]
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        hide_default_value = true,
        default_value = "default",
        value_name = "PRECISION",
        help_heading = "Machine"
    )]
    pub precision: TrainingPrecision,
}

impl PretrainOptions {
    /// AdamW's settings.
    pub fn optimizer(&self) -> AdamWConfig {
        let Betas([beta1, beta2]) = self.adam_betas;
        let (learning_rate, weight_decay, eps) = (self.learning_rate, self.weight_decay, self.adam_eps);
        AdamWConfig { learning_rate, weight_decay, beta1, beta2, eps }
    }

    /// Learning rates of a run of `steps`.
    pub fn learning_rates(&self, steps: u64) -> Schedule {
        let (decay, power) = (self.schedule, self.decay_power);
        Schedule { decay, power, warmup: self.warmup.steps(steps), steps }
    }

    /// Refuses values that make no sense, before anything is loaded.
    ///
    /// # Errors
    /// The first such value, by its flag.
    pub fn check(&self) -> Result<(), InvalidRegularization> {
        positive("--batch-size", self.batch_size as f64)?;
        positive("--accumulate", self.accumulate as f64)?;
        positive("--epochs", self.epochs as f64)?;
        if let Some(steps) = self.max_steps {
            positive("--max-steps", steps as f64)?;
        }
        positive("--learning-rate", self.learning_rate)?;
        at_least_zero("--weight-decay", self.weight_decay)?;
        positive("--decay-power", self.decay_power)?;
        positive("--adam-eps", self.adam_eps)?;
        if let Some(evaluations) = self.early_stop {
            positive("--early-stop", evaluations as f64)?;
            if self.eval_every == Some(0) {
                let expected = "it counts evaluations, so --eval-every must be above 0";
                return Err(
                    InvalidOption { flag: "--early-stop", value: evaluations as f64, expected }.into()
                );
            }
        }
        if let Some(norm) = self.clip_norm {
            positive("--clip-norm", norm)?;
        }
        if !(self.mask_share > 0.0 && self.mask_share < 1.0) {
            let expected = "it must be above 0 and below 1";
            return Err(InvalidOption { flag: "--mask-share", value: self.mask_share, expected }.into());
        }
        if self.max_length < 3 {
            let expected = "a sentence has two special tokens, so at least 3";
            return Err(
                InvalidOption { flag: "--max-length", value: self.max_length as f64, expected }.into()
            );
        }
        probability("--dropout", self.dropout)?;
        probability("--drophead", self.drophead)?;
        positive("--keep-last", self.keep_last as f64)?;
        if let Some(threads) = self.threads {
            positive("--threads", threads as f64)?;
        }
        self.regularization.check()
    }
}
