//! The settings of a training run: flags on the command line, keys in a TOML file, and the
//! resolved configuration saved beside the weights.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::precision::TrainingPrecision;
use super::prefixes::Prefixes;
use super::projection::Projection;
use crate::checkpoint::SaveEvery;
use crate::corpus::{CorpusOptions, one_or_many};
use crate::model::{Head, PoolingChoice};
use crate::objective::Contrastive;
use crate::objective::registry::{InvalidOption, at_least_zero, positive, probability};
use crate::optim::{AdamWConfig, Betas, Decay, Schedule, Warmup};
use crate::regularization::{self, InvalidRegularization};

/// Settings of `mirror train`.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainOptions {
    /// Model to start from: a folder, builtin, or a Hugging Face id (owner/name or owner/name@revision)
    #[arg(long, default_value = "builtin", value_name = "MODEL")]
    pub model: String,
    /// Sentences to train on: a file (.txt with one a line, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst), a
    /// folder of them, a pattern in quotes ('data/*.txt'), or - for standard input; may be given again [default with
    /// --model builtin: the built-in corpus]
    #[arg(long, value_name = "FILE")]
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub corpus: Vec<PathBuf>,
    /// How the corpus is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: CorpusOptions,
    /// The corpus has two columns: pairs that mean the same. In plain text a tab or || separates them
    #[arg(long)]
    #[serde(default)]
    pub pairs: bool,
    /// Folder to write the sentence encoder to [default: mirror-out, numbered if taken]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Write into an output folder that is not empty: a complete run takes the place of an earlier run or export, and
    /// what mirror did not write stays
    #[arg(long)]
    #[serde(skip)]
    pub overwrite: bool,

    /// Sentences in a batch, each seen in two views
    #[arg(long, default_value_t = 200, value_name = "N", help_heading = "Training")]
    pub batch_size: usize,
    /// Parts in which a batch goes through the encoder, one after another, each forward twice: the exact gradient of the
    /// whole batch in the memory of one part
    #[arg(long, default_value_t = 1, value_name = "PARTS", help_heading = "Training")]
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Passes over the corpus
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Training")]
    pub epochs: u64,
    /// Stop after this many steps
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// AdamW's learning rate; with --schedule or --warmup its peak
    #[arg(
        long,
        visible_alias = "lr",
        default_value_t = 2e-5,
        value_name = "RATE",
        help_heading = "Training"
    )]
    pub learning_rate: f64,
    /// How the learning rate falls to 0 by the end of the run, after --warmup
    #[arg(long, value_enum, default_value_t = Decay::Constant, value_name = "HOW", help_heading = "Training")]
    #[serde(default)]
    pub schedule: Decay,
    /// Power of --schedule polynomial
    #[arg(long, default_value_t = 1.0, value_name = "P", help_heading = "Training")]
    #[serde(default = "one_point")]
    pub decay_power: f64,
    /// Steps (100) or share of all steps (0.06) in which the learning rate rises from 0
    #[arg(long, default_value = "0", value_name = "STEPS|SHARE", help_heading = "Training")]
    #[serde(default = "no_warmup")]
    pub warmup: Warmup,
    /// AdamW's β₁ and β₂, the factors of its moments
    #[arg(long, default_value_t = Betas::default(), value_name = "β₁,β₂", help_heading = "Training")]
    #[serde(default)]
    pub adam_betas: Betas,
    /// AdamW's ε, added to the root of the second moment
    #[arg(long, default_value_t = 1e-8, value_name = "ε", help_heading = "Training")]
    #[serde(default = "small")]
    pub adam_eps: f64,
    /// AdamW's decoupled weight decay, on all parameters
    #[arg(long, default_value_t = 0.01, value_name = "RATE", help_heading = "Training")]
    pub weight_decay: f64,
    /// Scale the gradient down to this norm where it is longer
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Temperature τ of NT-Xent
    #[arg(long, visible_alias = "tau", default_value_t = 0.04, value_name = "τ", help_heading = "Training")]
    pub temperature: f64,
    /// Widths of prefixes of embeddings, ascending, such as 64,128,256: the loss is the mean of that of each prefix
    /// and of the whole embedding, so that the first values alone serve as an embedding (Matryoshka)
    #[arg(long, value_name = "D,…", allow_hyphen_values = true, help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matryoshka: Option<Prefixes>,
    /// What embeddings go through in training before they are compared: nothing, or a dense layer and tanh (mlp, as
    /// SimCSE has it)
    #[arg(long, value_enum, default_value_t = Projection::None, value_name = "HEAD", help_heading = "Training")]
    #[serde(default)]
    pub head: Projection,
    /// Keep the head as a module of the sentence encoder; without this it is for training alone
    #[arg(long, help_heading = "Training")]
    #[serde(default)]
    pub keep_head: bool,
    /// Tokens of a sentence, special ones included, beyond which it is cut in training
    #[arg(long, default_value_t = 50, value_name = "N", help_heading = "Training")]
    pub max_length: usize,
    /// Characters that the second view's mask covers; 0 for no mask
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Training")]
    pub mask_span: usize,
    /// Dropout of hidden states and attention probabilities
    #[arg(long, default_value_t = 0.1, value_name = "P", help_heading = "Training")]
    pub dropout: f64,
    /// Probability that an attention head is dropped, for each sentence and layer
    #[arg(long, default_value_t = 0.0, value_name = "P", help_heading = "Training")]
    pub drophead: f64,
    /// How hidden states become an embedding: auto, mean, cls, mean-padded or first-last-avg; auto is
    /// what the folder's 1_Pooling says, else cls for RoBERTa and its kin, and mean for the others
    #[arg(long, default_value = "auto", value_name = "HOW", help_heading = "Training")]
    pub pooling: PoolingChoice,
    /// Seed of all randomness
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

    /// Score on STS-B dev every N steps (0: before and after training only)
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Scoring")]
    pub eval_every: u64,
    /// Keep the weights that scored best on STS-B dev, not the last ones
    #[arg(long, help_heading = "Scoring")]
    #[serde(default)]
    pub keep_best: bool,
    /// Stop after this many evaluations in a row (--eval-every) without a better score on STS-B dev, or, without STS
    /// data, on held-out lines
    #[arg(long, value_name = "N", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<u64>,
    /// Do not score
    #[arg(long, help_heading = "Scoring")]
    #[serde(default)]
    pub no_eval: bool,
    /// Lines of the corpus to keep out of training, to measure on before and after it: whether a masked view finds
    /// its own sentence among them, and whether embeddings collapse; 0 for none [default: without STS data the
    /// smaller of 500 and 5 % of your own corpus, else 0; with --no-eval always 0]
    #[arg(long, value_name = "N", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<u64>,
    /// STS data in SentEval's layout [default: data/sts, where it exists]
    #[arg(long, value_name = "DIR", help_heading = "Scoring")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
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
    #[serde(default)]
    pub precision: TrainingPrecision,
}

/// Of settings that were saved before there was another value.
fn one() -> usize {
    1
}

fn one_point() -> f64 {
    1.0
}

fn no_warmup() -> Warmup {
    Warmup::Steps(0)
}

fn small() -> f64 {
    AdamWConfig::default().eps
}

impl TrainOptions {
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

    /// What is asked of embeddings behind a head, if there is one.
    pub fn objective(&self, head: Option<Head>) -> Contrastive {
        let prefixes =
            self.matryoshka.as_ref().map_or_else(Vec::new, |prefixes| prefixes.widths().to_owned());
        Contrastive { temperature: self.temperature, prefixes, head }
    }

    /// Refuses values that make no sense, before anything is loaded.
    pub fn check(&self) -> Result<(), InvalidRegularization> {
        positive("--batch-size", self.batch_size as f64)?;
        if self.batch_size == 1 {
            let expected = "NT-Xent needs other sentences in the batch, so at least 2";
            return Err(InvalidOption { flag: "--batch-size", value: 1.0, expected }.into());
        }
        positive("--accumulate", self.accumulate as f64)?;
        if self.accumulate > self.batch_size {
            let expected = "a part has at least one sentence, so it must be --batch-size or less";
            return Err(
                InvalidOption { flag: "--accumulate", value: self.accumulate as f64, expected }.into()
            );
        }
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
            if self.eval_every == 0 || self.no_eval {
                let expected = "it counts evaluations, so --eval-every must be above 0, without --no-eval";
                return Err(
                    InvalidOption { flag: "--early-stop", value: evaluations as f64, expected }.into()
                );
            }
        }
        if let Some(norm) = self.clip_norm {
            positive("--clip-norm", norm)?;
        }
        positive("--temperature", self.temperature)?;
        if self.max_length < 3 {
            let expected = "a sentence has two special tokens, so at least 3";
            return Err(
                InvalidOption { flag: "--max-length", value: self.max_length as f64, expected }.into()
            );
        }
        if self.holdout == Some(1) {
            let expected = "a held-out sentence is compared with others, so 0 or at least 2";
            return Err(InvalidOption { flag: "--holdout", value: 1.0, expected }.into());
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
