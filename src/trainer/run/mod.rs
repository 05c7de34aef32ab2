//! A whole training run: corpus → batches → steps → scores → a folder that others load.

mod early_stop;
mod inherited;
mod open;
mod preparation;
mod saving;
mod scoring;

use std::path::{Path, PathBuf};
use std::time::Instant;

use sts_eval::Task;
use sts_eval::unlabeled::Views;

pub use preparation::Preparation;

use super::memory::Estimate;
use super::metrics::{METRICS, Metrics};
use super::model_card::{Trained, model_card};
use super::options::TrainOptions;
use super::{StepReport, TrainError, Trainer, equal_views};
use crate::backend;
use crate::checkpoint::configuration::{CONFIGURATION, write_configuration};
use crate::checkpoint::{HeldOutScore, Origin, RunCheckpoints, Schedule, Score};
use crate::corpus::{Batch, Batching, Corpus, EpochBatches, Prefetch};
use crate::interrupt::{Interrupt, Signal};
use crate::model_folder::WEIGHTS;
use crate::objective::Contrastive;
use crate::output::{OutputFolder, fill};
use crate::quote::counted;
use crate::sentence_encoder::SentenceEncoder;
use crate::weights::Parameters;

/// Who watches a run: a progress bar, plain lines, or nobody.
pub trait Observer {
    /// Steps made in earlier parts of the run, and steps in all.
    fn started(&mut self, made: u64, steps: u64, batch_size: usize);
    /// A step was made.
    fn stepped(&mut self, report: &StepReport);
    /// A set was scored.
    fn scored(&mut self, score: &Score);
    /// What the held-out lines say.
    fn measured(&mut self, score: &HeldOutScore);
    /// Something that the user should know and that stops nothing.
    fn note(&mut self, message: &str);
}

/// How a run ended.
pub enum Ended {
    /// All steps were made, and the model is saved.
    Finished(Outcome),
    /// A signal stopped it. All steps made are in a checkpoint.
    Stopped {
        /// The signal.
        signal: Signal,
        /// Steps made.
        step: u64,
    },
}

/// What a run gives.
pub struct Outcome {
    /// Steps made, those of earlier parts included.
    pub steps: u64,
    /// All scores of the run.
    pub scores: Vec<Score>,
    /// All measurements on held-out lines.
    pub held_out: Vec<HeldOutScore>,
    /// The step whose weights were saved.
    pub saved_step: u64,
    /// The time that this part of the run took.
    pub seconds: f64,
}

/// What a run puts into its folder before its first step: files, and the folders that they are in.
pub const FIRST_FILES: [&str; 4] = [CONFIGURATION, METRICS, "checkpoints/run.json", "checkpoints"];

/// A run between its first step and its last, made by [`Run::open`].
pub struct Run {
    options: TrainOptions,
    corpus: Corpus,
    batching: Batching,
    /// The batches of the first epoch, dealt when the run was planned.
    first_epoch: Option<EpochBatches>,
    /// With the weights that are trained.
    model: SentenceEncoder,
    /// Where the model's files are: config.json and the pooler are passed on from there.
    transformer: PathBuf,
    /// The set to score on, before, during and after.
    scored_on: Option<Task>,
    /// Lines that are kept out of training, to measure on at the same times.
    held_out: Option<Views>,
    /// Asked between steps whether to stop.
    interrupt: Interrupt,
    trainer: Trainer,
    objective: Contrastive,
    made: Made,
    origin: Origin,
    checkpoints: RunCheckpoints,
    schedule: Schedule,
    /// What was estimated before the first step.
    memory: Estimate,
    began: Instant,
}

/// How far a run has come, and what it has to show for it besides weights.
struct Made {
    metrics: Metrics,
    /// Counted from 0.
    epoch: u64,
    /// Batches of this epoch that were trained on.
    position: u64,
    scores: Vec<Score>,
    held_out: Vec<HeldOutScore>,
    /// Weights that scored best, where those are to be kept.
    best: Option<Best>,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
}

impl Made {
    /// What a run starts with.
    fn nothing(metrics: Metrics) -> Self {
        Made {
            metrics,
            epoch: 0,
            position: 0,
            scores: Vec::new(),
            held_out: Vec::new(),
            best: None,
            saved: None,
        }
    }
}

/// The weights that scored best.
struct Best {
    score: f64,
    step: u64,
    weights: Parameters,
}

/// Steps of the whole run, if nothing ends it early.
fn steps(options: &TrainOptions, corpus: &Corpus) -> u64 {
    let most = options.max_steps.unwrap_or(u64::MAX);
    (corpus.steps_per_epoch(options.batch_size) * options.epochs).min(most)
}

impl Run {
    /// Makes the steps that are left and writes the sentence encoder to `output`, or stops where a signal asks for it.
    ///
    /// # Errors
    /// A step whose losses are not numbers, with the weights before it in a checkpoint; files that cannot be read or
    /// written, with the newest checkpoint whole.
    pub fn train(
        mut self,
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        match self.epochs(output, observer)? {
            Some(signal) => self.stop(signal, output),
            None => self.finish(output.work()).map(Ended::Finished),
        }
    }

    /// Makes all steps that are left, or stops where a signal asks for it.
    fn epochs(
        &mut self,
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Signal>, TrainError> {
        self.tell_of_the_model(observer);
        self.remark_on_the_data(observer)?;
        if self.last_scored().is_none() {
            self.score(observer)?;
        }
        let steps = steps(&self.options, &self.corpus);
        observer.started(self.step(), steps, self.options.batch_size);
        while self.made.epoch < self.options.epochs && self.step() < self.most() && !self.is_past_its_best() {
            if let Some(signal) = self.epoch(output, observer)? {
                return Ok(Some(signal));
            }
            (self.made.epoch, self.made.position) = (self.made.epoch + 1, 0);
        }
        if self.last_scored() != Some(self.step()) {
            self.score(observer)?;
        }
        self.remark_on_the_end(observer);
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
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Signal>, TrainError> {
        let mut batches = match self.first_epoch.take().filter(|_| self.made.epoch == 0) {
            Some(first) => first.masked(self.batching.mask_span, &self.batching.mask_token),
            None => self.corpus.epoch(&self.batching, self.made.epoch)?,
        };
        batches.skip_to(self.made.position)?;
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
            let step = self.trainer.step(&mut self.model.parameters, &packed, &self.objective);
            let report = step.map_err(|error| self.rescue(error, lines))?;
            self.made.position += 1;
            output.keep();
            self.made.metrics.write(&report)?;
            observer.stepped(&report);
            let every = self.options.eval_every;
            if every > 0 && report.step.is_multiple_of(every) {
                self.score(observer)?;
            }
            self.save_if_due(observer);
            if report.step >= self.most() || self.is_past_its_best() {
                return Ok(None);
            }
        }
        if let Some(summary) = prepared.finish()?.summary().filter(|summary| summary.surplus > 0) {
            observer.note(&format!(
                "epoch {}: {} left out, since a batch holds no sentence twice",
                self.made.epoch + 1,
                counted(summary.surplus, "repeated line")
            ));
        }
        Ok(None)
    }

    /// Steps made so far.
    fn step(&self) -> u64 {
        self.trainer.optimizer.step
    }

    fn most(&self) -> u64 {
        self.options.max_steps.unwrap_or(u64::MAX)
    }

    /// Writes the folder.
    fn finish(mut self, output: &Path) -> Result<Outcome, TrainError> {
        let steps = self.trainer.optimizer.step;
        self.made.metrics.sync()?;
        let mut saved_step = steps;
        if let Some(best) = self.made.best.take() {
            (saved_step, self.model.parameters) = (best.step, best.weights);
        }
        let seconds = self.began.elapsed().as_secs_f64();
        // Writing should not be what takes the most memory.
        drop(self.trainer);
        backend::release_kept();
        let card = model_card(&Trained {
            encoder: &self.model,
            options: &self.options,
            corpus: &self.corpus,
            scores: &self.made.scores,
            held_out: &self.made.held_out,
            steps: saved_step,
        });
        fill(output, WEIGHTS, &[CONFIGURATION, METRICS], |folder| {
            write_configuration(&self.options, folder)?;
            self.model.contents(&self.transformer).save(&self.model.parameters, &card, folder)
        })?;
        self.checkpoints.finish()?;
        Ok(Outcome { steps, scores: self.made.scores, held_out: self.made.held_out, saved_step, seconds })
    }
}
