//! A whole training run: corpus → batches → steps → scores → a folder that others load.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sts_eval::Task;
use sts_eval::unlabeled::Views;
use thiserror::Error;

use super::metrics::{METRICS, Metrics, MetricsError};
use super::model_card::{Trained, model_card};
use super::options::TrainOptions;
use super::{Hyperparameters, StepError, StepReport, Trainer, equal_views};
use crate::backend;
use crate::checkpoint::configuration::{CONFIGURATION, write_configuration};
use crate::checkpoint::{CheckpointError, HeldOutScore, Origin, RunCheckpoints, Schedule, Score};
use crate::corpus::{Batch, Batching, Corpus, CorpusError, Prefetch};
use crate::encoder::{Encoder, PackedBatch, Parameters, SequenceId};
use crate::interrupt::{Interrupt, Signal};
use crate::model_folder::{SaveError, WEIGHTS};
use crate::optim::{AdamW, AdamWConfig};
use crate::output::{OutputFolder, fill};
use crate::prompt::Prompt;
use crate::quote::counted;
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
    #[error("{source}; the batch was lines {lines} of {corpus}{kept}")]
    NotFinite { source: Box<StepError>, lines: String, corpus: String, kept: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("scoring failed: {0}")]
    Score(#[from] sts_eval::Error),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error(
        "--max-length is {asked}, but the model's prompt alone has {prompt} tokens, so that nothing of a sentence would be \
         left"
    )]
    NoRoom { asked: usize, prompt: usize },
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Who watches a run: a progress bar, plain lines, or nobody.
pub trait Observer {
    /// Steps made in earlier parts of the run, and steps in all.
    fn started(&mut self, made: u64, steps: u64, batch_size: usize);
    fn stepped(&mut self, report: &StepReport);
    fn scored(&mut self, score: &Score);
    /// What the held-out lines say.
    fn measured(&mut self, score: &HeldOutScore);
    fn note(&mut self, message: &str);
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
    /// Lines that are kept out of `corpus`, to measure on at the same times.
    pub held_out: Option<Views>,
    /// Asked between steps whether to stop.
    pub interrupt: Interrupt,
}

/// How a run ended.
pub enum Ended {
    Finished(Outcome),
    /// A signal stopped it. All steps made are in a checkpoint.
    Stopped {
        signal: Signal,
        step: u64,
    },
}

/// What a run gives.
pub struct Outcome {
    pub steps: u64,
    pub scores: Vec<Score>,
    pub held_out: Vec<HeldOutScore>,
    /// The step whose weights were saved.
    pub saved_step: u64,
    pub seconds: f64,
}

/// What a run puts into its folder before its first step: files, and the folders that they are in.
pub const FIRST_FILES: [&str; 4] = [CONFIGURATION, METRICS, "checkpoints/run.json", "checkpoints"];

/// Trains and writes the sentence encoder to `output`. A run goes on from the newest checkpoint of its
/// folder; a new folder has none.
pub fn train(
    ingredients: Ingredients,
    output: &mut OutputFolder,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    let mut run = Run::new(ingredients, output.work(), observer)?;
    match run.train(output, observer)? {
        Some(signal) => run.stop(signal, output),
        None => run.finish(output.work()).map(Ended::Finished),
    }
}

/// Refuses lengths that the model has no positions for and a corpus without a full batch. Nothing is
/// written yet where this is asked.
pub fn check_fit(options: &TrainOptions, corpus: &Corpus, model: &SentenceEncoder) -> Result<(), TrainError> {
    let most = model.encoder.config.max_sequence_length();
    if options.max_length > most {
        return Err(TrainError::TooLong { asked: options.max_length, most });
    }
    let prompt = model.prompt.tokens(&model.tokenizer, most)?;
    if prompt > 0 && prompt + 1 >= options.max_length {
        return Err(TrainError::NoRoom { asked: options.max_length, prompt });
    }
    corpus.epoch(&batching(options, model)?, 0)?;
    Ok(())
}

fn batching(options: &TrainOptions, model: &SentenceEncoder) -> Result<Batching, TrainError> {
    // A model without a mask token can be trained where nothing is masked.
    let mask_token = match options.mask_span {
        0 => "",
        _ if options.pairs => "",
        _ => model.tokenizer.mask_token()?,
    };
    Ok(Batching {
        batch_size: options.batch_size,
        seed: options.seed,
        mask_span: options.mask_span,
        mask_token: mask_token.to_owned(),
    })
}

pub(super) struct Run {
    pub options: TrainOptions,
    corpus: Corpus,
    pub model: SentenceEncoder,
    model_folder: PathBuf,
    pub scored_on: Option<Task>,
    pub held_out: Option<Views>,
    interrupt: Interrupt,
    pub trainer: Trainer,
    pub metrics: Metrics,
    /// Counted from 0.
    pub epoch: u64,
    /// Batches of this epoch that were trained on.
    pub position: u64,
    pub scores: Vec<Score>,
    pub held_out_scores: Vec<HeldOutScore>,
    /// Weights that scored best, where those are to be kept.
    pub best: Option<Best>,
    pub origin: Origin,
    pub checkpoints: RunCheckpoints,
    pub schedule: Schedule,
    /// The step of the newest checkpoint.
    pub saved: Option<u64>,
    began: Instant,
}

/// The weights that scored best.
pub(super) struct Best {
    pub score: f64,
    pub step: u64,
    pub weights: Parameters,
}

impl Run {
    fn new(ingredients: Ingredients, output: &Path, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        let Ingredients { options, corpus, model, model_folder, scored_on, held_out, interrupt } =
            ingredients;
        let trainer = trainer(&options, &model)?;
        let mut origin = Origin::of(&corpus, &model_folder, model.parameters.device())?;
        origin.include(&model)?;
        let checkpoints = RunCheckpoints::open(output, options.keep_last)?;
        let began = Instant::now();
        let mut run = Run {
            metrics: Metrics::open(output, u64::MAX)?,
            schedule: Schedule::new(options.save_every, began),
            options,
            corpus,
            model,
            model_folder,
            scored_on,
            held_out,
            interrupt,
            trainer,
            epoch: 0,
            position: 0,
            scores: Vec::new(),
            held_out_scores: Vec::new(),
            best: None,
            origin,
            checkpoints,
            saved: None,
            began,
        };
        run.go_on(output, observer)?;
        Ok(run)
    }

    /// Makes all steps that are left, or stops where a signal asks for it.
    fn train(
        &mut self,
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Signal>, TrainError> {
        let batching = batching(&self.options, &self.model)?;
        let per_epoch = self.corpus.steps_per_epoch(self.options.batch_size);
        let steps = (per_epoch * self.options.epochs).min(self.most());
        self.tell_of_the_model(observer);
        self.remark_on_the_data(observer)?;
        if self.last_scored().is_none() {
            self.score(observer)?;
        }
        observer.started(self.step(), steps, self.options.batch_size);
        while self.epoch < self.options.epochs && self.step() < self.most() {
            if let Some(signal) = self.epoch(&batching, output, observer)? {
                return Ok(Some(signal));
            }
            (self.epoch, self.position) = (self.epoch + 1, 0);
        }
        if self.last_scored() != Some(self.step()) {
            self.score(observer)?;
        }
        Ok(None)
    }

    fn remark_on_the_data(&self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let remarks = self.corpus.remarks().into_iter();
        remarks
            .chain(equal_views::remark(&self.corpus, &self.options)?)
            .for_each(|remark| observer.note(&remark));
        if self.scored_on.is_none() && !self.options.no_eval {
            observer.note(
                "no STS data: training runs without scores (fetch it with mirror data fetch, give --data DIR, or \
                 --no-eval to silence this)",
            );
        }
        if let Some(views) = &self.held_out {
            let (name, count) = (self.corpus.name(), views.sentences.len());
            observer
                .note(&format!("{name}: {count} lines are held out, to measure on (--holdout 0 for none)"));
        }
        Ok(())
    }

    /// Makes the steps of an epoch that are left of it.
    fn epoch(
        &mut self,
        batching: &Batching,
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Signal>, TrainError> {
        let mut batches = self.corpus.epoch(batching, self.epoch)?;
        batches.skip_to(self.position)?;
        let preparation = Preparation {
            encoder: self.model.encoder.clone(),
            tokenizer: self.model.tokenizer.clone(),
            prompt: self.model.prompt.clone(),
            max_length: self.options.max_length,
        };
        let prepare = move |batch: Batch| preparation.pack(&batch).map(|packed| (packed, batch.lines));
        let mut prepared = Prefetch::new(batches, prepare)?;
        for batch in prepared.by_ref() {
            let (packed, lines) = batch?;
            if let Some(signal) = self.interrupt.received() {
                return Ok(Some(signal));
            }
            let report = self.trainer.step(&packed).map_err(|error| self.rescue(error, lines))?;
            self.position += 1;
            output.keep();
            self.metrics.write(&report)?;
            observer.stepped(&report);
            let every = self.options.eval_every;
            if every > 0 && report.step.is_multiple_of(every) {
                self.score(observer)?;
            }
            self.save_if_due(observer);
            if report.step >= self.most() {
                return Ok(None);
            }
        }
        if let Some(summary) = prepared.finish()?.summary().filter(|summary| summary.surplus > 0) {
            observer.note(&format!(
                "epoch {}: {} left out, since a batch holds no sentence twice",
                self.epoch + 1,
                counted(summary.surplus, "repeated line")
            ));
        }
        Ok(None)
    }

    /// Steps made so far.
    pub fn step(&self) -> u64 {
        self.trainer.optimizer.step
    }

    fn most(&self) -> u64 {
        self.options.max_steps.unwrap_or(u64::MAX)
    }

    pub fn corpus_name(&self) -> String {
        self.corpus.name()
    }

    /// Writes the folder.
    fn finish(mut self, output: &Path) -> Result<Outcome, TrainError> {
        let steps = self.trainer.optimizer.step;
        self.metrics.sync()?;
        let (saved_step, weights) = match self.best.take() {
            Some(best) => (best.step, best.weights),
            None => (steps, self.trainer.weights.clone()),
        };
        let seconds = self.began.elapsed().as_secs_f64();
        // Writing should not be what takes the most memory.
        drop(self.trainer);
        backend::release_kept();
        let encoder = SentenceEncoder { parameters: weights, ..self.model };
        let card = model_card(&Trained {
            encoder: &encoder,
            options: &self.options,
            corpus: &self.corpus,
            scores: &self.scores,
            held_out: &self.held_out_scores,
            steps: saved_step,
        });
        fill(output, WEIGHTS, &[CONFIGURATION, METRICS], |folder| {
            write_configuration(&self.options, folder)?;
            encoder.contents(&self.model_folder).save(&encoder.parameters, &card, folder)
        })?;
        self.checkpoints.finish()?;
        Ok(Outcome { steps, scores: self.scores, held_out: self.held_out_scores, saved_step, seconds })
    }
}

fn trainer(options: &TrainOptions, model: &SentenceEncoder) -> Result<Trainer, TrainError> {
    let optimizer = AdamWConfig {
        learning_rate: options.learning_rate,
        weight_decay: options.weight_decay,
        ..AdamWConfig::default()
    };
    let weights = model.parameters.copy()?;
    Ok(Trainer {
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
    })
}

/// Turns a batch of text into packed tokens, in the thread that prepares batches.
pub struct Preparation {
    pub encoder: Encoder,
    pub tokenizer: Arc<Tokenizer>,
    /// Put before both views, after the mask.
    pub prompt: Prompt,
    /// Tokens of a sentence beyond which it is cut.
    pub max_length: usize,
}

impl Preparation {
    /// 2N sequences: the N first views, then the N second views.
    pub fn pack(&self, batch: &Batch) -> Result<PackedBatch, TrainError> {
        let mut packed = PackedBatch::new();
        for (view, sentences) in [&batch.view1, &batch.view2].into_iter().enumerate() {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            let prompted = self.prompt.tokenize(&self.tokenizer, &sentences, self.max_length)?;
            for (sentence, tokens) in prompted.tokens.iter().enumerate() {
                let id = SequenceId { view: view as u32, sentence: sentence as u32 };
                self.encoder.push(&mut packed, tokens, id, self.max_length);
                packed.leave_out_of_last(prompted.left_out);
            }
        }
        Ok(packed)
    }
}
