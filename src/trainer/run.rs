//! A whole training run: corpus → batches → steps → scores → a folder that others load.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sts_eval::Task;
use thiserror::Error;

use super::metrics::{Metrics, MetricsError};
use super::options::TrainOptions;
use super::{Hyperparameters, StepError, StepReport, Trainer};
use crate::checkpoint::write::{SaveError, Saved, save, write_configuration};
use crate::corpus::{Batch, Batching, Corpus, CorpusError, Prefetch};
use crate::encoder::{Encoder, PackedBatch, Parameters, SequenceId};
use crate::optim::{AdamW, AdamWConfig};
use crate::regularization::InvalidRegularization;
use crate::sentence_encoder::{ModelError, SentenceEncoder};
use crate::tokenize::{TokenizeError, Tokenizer};

#[derive(Debug, Error)]
pub enum TrainError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Options(#[from] InvalidRegularization),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("scoring failed: {0}")]
    Score(#[from] sts_eval::Error),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Who watches a run: a progress bar, plain lines, or nobody.
pub trait Observer {
    fn started(&mut self, steps: u64, batch_size: usize);
    fn stepped(&mut self, report: &StepReport);
    fn scored(&mut self, score: &Score);
    fn note(&mut self, message: &str);
}

/// A score in the course of training.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Score {
    /// Steps made when it was taken.
    pub step: u64,
    pub set: String,
    /// Spearman's ρ × 100; `None` where it is undefined (all cosines equal).
    pub spearman: Option<f64>,
}

/// What a run starts from.
pub struct Ingredients {
    pub options: TrainOptions,
    pub corpus: Corpus,
    pub model: SentenceEncoder,
    /// Where the model's files are: config.json and the pooler are passed on from there.
    pub model_folder: PathBuf,
    /// The set to score on, before, during and after.
    pub scored_on: Option<Task>,
}

/// What a run gives.
pub struct Outcome {
    pub steps: u64,
    pub scores: Vec<Score>,
    /// The step whose weights were saved.
    pub saved_step: u64,
    pub seconds: f64,
}

/// Trains and writes the sentence encoder to `output`.
pub fn train(
    ingredients: Ingredients,
    output: &Path,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let mut run = Run::new(ingredients, output)?;
    run.train(observer)?;
    run.finish(output)
}

struct Run {
    options: TrainOptions,
    corpus: Corpus,
    model: SentenceEncoder,
    model_folder: PathBuf,
    scored_on: Option<Task>,
    trainer: Trainer,
    metrics: Metrics,
    scores: Vec<Score>,
    /// Weights that scored best, where those are to be kept.
    best: Option<(f64, u64, Parameters)>,
    began: Instant,
}

impl Run {
    fn new(ingredients: Ingredients, output: &Path) -> Result<Self, TrainError> {
        let Ingredients { options, corpus, model, model_folder, scored_on } = ingredients;
        let most = model.encoder.config.max_sequence_length();
        if options.max_length > most {
            return Err(TrainError::TooLong { asked: options.max_length, most });
        }
        let optimizer = AdamWConfig {
            learning_rate: options.learning_rate,
            weight_decay: options.weight_decay,
            ..AdamWConfig::default()
        };
        let weights = model.parameters.copy()?;
        let trainer = Trainer {
            encoder: model.encoder.clone(),
            optimizer: AdamW::new(optimizer, &weights)?,
            weights,
            regularization: options.regularization.build()?,
            hyperparameters: Hyperparameters {
                seed: options.seed,
                temperature: options.temperature,
                dropout: options.dropout,
                drophead: options.drophead,
                clip_norm: options.clip_norm,
            },
        };
        // A corpus without a full batch is refused before anything is written.
        drop(corpus.epoch(&batching(&options, &model)?, 0)?);
        write_configuration(&options, output)?;
        let metrics = Metrics::create(output)?;
        let (scores, best, began) = (Vec::new(), None, Instant::now());
        Ok(Run { options, corpus, model, model_folder, scored_on, trainer, metrics, scores, best, began })
    }

    fn train(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let batching = batching(&self.options, &self.model)?;
        let per_epoch = self.corpus.steps_per_epoch(self.options.batch_size);
        let most = self.options.max_steps.unwrap_or(u64::MAX);
        self.tell_of_the_data(observer);
        self.score(observer)?;
        observer.started(most.min(per_epoch * self.options.epochs), self.options.batch_size);
        for epoch in 0..self.options.epochs {
            if self.trainer.optimizer.step >= most {
                break;
            }
            self.epoch(epoch, &batching, most, observer)?;
        }
        if self.scores.last().is_none_or(|score| score.step != self.trainer.optimizer.step) {
            self.score(observer)?;
        }
        Ok(())
    }

    fn tell_of_the_data(&self, observer: &mut dyn Observer) {
        let (name, blank) = (self.corpus.name(), self.corpus.blank_lines());
        if blank > 0 {
            observer.note(&format!("{name}: {blank} blank lines left out"));
        }
        if self.scored_on.is_none() && !self.options.no_eval {
            observer.note(
                "no STS data: training runs without scores (give --data DIR, or --no-eval to silence this)",
            );
        }
    }

    fn epoch(
        &mut self,
        epoch: u64,
        batching: &Batching,
        most: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let batches = self.corpus.epoch(batching, epoch)?;
        let preparation = Preparation {
            encoder: self.model.encoder.clone(),
            tokenizer: self.model.tokenizer.clone(),
            max_length: self.options.max_length,
        };
        let mut prepared = Prefetch::new(batches, move |batch| preparation.pack(&batch))?;
        for batch in prepared.by_ref() {
            let report = self.trainer.step(&batch?)?;
            self.metrics.write(&report)?;
            observer.stepped(&report);
            let every = self.options.eval_every;
            if every > 0 && report.step.is_multiple_of(every) {
                self.score(observer)?;
            }
            if report.step >= most {
                return Ok(());
            }
        }
        if let Some(summary) = prepared.finish()?.summary().filter(|summary| summary.surplus > 0) {
            observer.note(&format!(
                "epoch {}: {} repeats of sentences were left out, since a batch holds no sentence twice",
                epoch + 1,
                summary.surplus
            ));
        }
        Ok(())
    }

    /// Scores the weights as they are, if there is anything to score on.
    fn score(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(task) = &self.scored_on else { return Ok(()) };
        let encoder = SentenceEncoder { parameters: self.trainer.weights.clone(), ..self.model.clone() };
        let spearman = sts_eval::evaluate_task(task, &encoder)?.score().spearman;
        let score = Score { step: self.trainer.optimizer.step, set: task.name.clone(), spearman };
        self.metrics.write(&score)?;
        observer.scored(&score);
        if self.options.keep_best {
            let value = spearman.unwrap_or(f64::NEG_INFINITY);
            if self.best.as_ref().is_none_or(|(best, ..)| value > *best) {
                self.best = Some((value, score.step, self.trainer.weights.copy()?));
            }
        }
        self.scores.push(score);
        Ok(())
    }

    /// Writes the folder.
    fn finish(mut self, output: &Path) -> Result<Outcome, TrainError> {
        let steps = self.trainer.optimizer.step;
        let (saved_step, weights) = match self.best.take() {
            Some((_, step, weights)) => (step, weights),
            None => (steps, self.trainer.weights.clone()),
        };
        let seconds = self.began.elapsed().as_secs_f64();
        let encoder = SentenceEncoder { parameters: weights, ..self.model };
        save(
            &Saved {
                encoder: &encoder,
                source: &self.model_folder,
                options: &self.options,
                corpus: &self.corpus,
                scores: &self.scores,
                steps: saved_step,
            },
            output,
        )?;
        self.metrics.finish()?;
        Ok(Outcome { steps, scores: self.scores, saved_step, seconds })
    }
}

fn batching(options: &TrainOptions, model: &SentenceEncoder) -> Result<Batching, TrainError> {
    Ok(Batching {
        batch_size: options.batch_size,
        seed: options.seed,
        mask_span: options.mask_span,
        mask_token: model.tokenizer.mask_token()?.to_owned(),
    })
}

/// Turns a batch of text into packed tokens, in the thread that prepares batches.
struct Preparation {
    encoder: Encoder,
    tokenizer: Arc<Tokenizer>,
    max_length: usize,
}

impl Preparation {
    fn pack(&self, batch: &Batch) -> Result<PackedBatch, TrainError> {
        let mut packed = PackedBatch::new();
        for (view, sentences) in [&batch.view1, &batch.view2].into_iter().enumerate() {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            for (sentence, tokens) in
                self.tokenizer.encode_batch(&sentences, self.max_length)?.iter().enumerate()
            {
                let id = SequenceId { view: view as u32, sentence: sentence as u32 };
                self.encoder.push(&mut packed, tokens, id, self.max_length);
            }
        }
        Ok(packed)
    }
}
