//! A model and the batches that training would deal it, and one training step's fixed ingredients.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use mirror::corpus::{Batching, Corpus, Format};
use mirror::encoder::{Encoder, PackedBatch, Parameters, Pass};
use mirror::objective::{HashedDraws, Loss};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::WeightPerturbation;
use mirror::regularization::Regularization;
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use mirror::trainer::run::Preparation;
use mirror::trainer::{Hyperparameters, Trainer};

/// NT-Xent's temperature, as in training.
pub const TEMPERATURE: f64 = 0.04;

#[derive(Args, Clone, Debug)]
pub struct Setting {
    /// Model folder [default: the built-in model]
    #[arg(long, global = true)]
    pub model: Option<PathBuf>,
    /// Sentences, one a line [default: the built-in corpus]
    #[arg(long, global = true)]
    pub corpus: Option<PathBuf>,
    #[arg(long, global = true, default_value_t = 200)]
    pub batch_size: usize,
    /// Batches or steps to average over
    #[arg(long, global = true, default_value_t = 4)]
    pub steps: usize,
    #[arg(long, global = true, default_value_t = 42)]
    pub seed: u64,
    #[arg(long, global = true, default_value_t = 0.1)]
    pub dropout: f64,
    #[arg(long, global = true, default_value_t = 2e-5)]
    pub learning_rate: f64,
}

impl Setting {
    pub fn load(&self) -> Result<SentenceEncoder> {
        let unpacked = tempfile::tempdir()?;
        let folder: &Path = match &self.model {
            Some(folder) => folder,
            None => {
                mirror::builtin::unpack(unpacked.path())?;
                unpacked.path()
            }
        };
        Ok(SentenceEncoder::load(folder, Overrides::default(), &Device::Cpu)?)
    }

    /// The first batches of the first epoch, packed.
    pub fn batches(&self, model: &SentenceEncoder, count: usize) -> Result<Vec<PackedBatch>> {
        let corpus = match &self.corpus {
            Some(path) => Corpus::open(path, Format::Sentences)?,
            None => Corpus::from_text(mirror::builtin::CORPUS)?,
        };
        let batching = Batching {
            batch_size: self.batch_size,
            seed: self.seed,
            mask_span: 5,
            mask_token: model.tokenizer.mask_token()?.to_owned(),
        };
        let preparation = Preparation {
            encoder: model.encoder.clone(),
            tokenizer: model.tokenizer.clone(),
            prompt: model.prompt.clone(),
            max_length: 50.min(model.encoder.config.max_sequence_length()),
        };
        corpus.epoch(&batching, 0)?.take(count).map(|batch| Ok(preparation.pack(&batch?)?)).collect()
    }

    /// Dropout as in step `number` of training.
    pub fn pass(&self, draws: &HashedDraws) -> Pass {
        Pass {
            key: draws.pass_key(),
            hidden_dropout: self.dropout,
            attention_dropout: self.dropout,
            drophead: 0.0,
        }
    }

    /// A trainer of weights like these.
    pub fn trainer(
        &self,
        encoder: &Encoder,
        weights: &Parameters,
        perturbation: Box<dyn WeightPerturbation>,
    ) -> Result<Trainer> {
        let optimizer = AdamWConfig { learning_rate: self.learning_rate, ..AdamWConfig::default() };
        Ok(Trainer {
            encoder: encoder.clone(),
            optimizer: AdamW::new(optimizer, weights)?,
            regularization: Regularization { loss: Loss::default(), perturbation, perturb_every: 1 },
            hyperparameters: Hyperparameters {
                seed: self.seed,
                dropout: self.dropout,
                drophead: 0.0,
                clip_norm: None,
            },
        })
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}
