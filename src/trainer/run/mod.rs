//! A whole training run: batches → steps → measurements → a folder that others load.
//!
//! A [`Run`] makes steps, keeps the log, writes checkpoints and ends in time, whatever it trains: a [`Job`] knows its
//! text, what is measured and what is saved. [`sentences`] is that of a sentence encoder,
//! [`labels`] that of a classifier, [`words`] that of a model for masked words.

mod early_stop;
mod examples;
mod job;
mod labels;
mod open;
mod preparation;
mod saving;
mod sentences;
mod taking_up;
mod words;

use std::path::Path;
use std::time::Instant;

pub use job::{Measured, Measurements};
pub use preparation::Preparation;

use super::memory::Estimate;
use super::metrics::{METRICS, Metrics};
use super::{StepReport, TrainError, Trainer};
use crate::backend;
use crate::checkpoint::configuration::CONFIGURATION;
use crate::checkpoint::{Origin, RunCheckpoints, Schedule};
use crate::interrupt::{Interrupt, Signal};
use crate::model_folder::WEIGHTS;
use crate::output::{OutputFolder, fill};
use crate::weights::Parameters;
use job::{Job, LoopSettings, Prepared};

/// Who watches a run: a progress bar, plain lines, or nobody.
pub trait Observer {
    /// Steps made in earlier parts of the run, and steps in all.
    fn started(&mut self, made: u64, steps: u64, batch_size: usize);
    /// A step was made.
    fn stepped(&mut self, report: &StepReport);
    /// Something was measured.
    fn measured(&mut self, measured: &Measured);
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
    /// Everything that was measured.
    pub measured: Measurements,
    /// The step whose weights were saved.
    pub saved_step: u64,
    /// The time that this part of the run took.
    pub seconds: f64,
}

/// What a run puts into its folder before its first step: files, and the folders that they are in.
pub const FIRST_FILES: [&str; 4] = [CONFIGURATION, METRICS, "checkpoints/run.json", "checkpoints"];

/// A run between its first step and its last, made by [`Run::open`].
pub struct Run {
    job: Box<dyn Job>,
    settings: LoopSettings,
    /// Asked between steps whether to stop.
    interrupt: Interrupt,
    trainer: Trainer,
    made: Made,
    origin: Origin,
    checkpoints: RunCheckpoints,
    schedule: Schedule,
    /// What was estimated before the first step, where that can be.
    memory: Option<Estimate>,
    began: Instant,
}

/// How far a run has come, and what it has to show for it besides weights.
struct Made {
    metrics: Metrics,
    /// Counted from 0.
    epoch: u64,
    /// Batches of this epoch that were trained on.
    position: u64,
    measured: Measurements,
    /// Weights that scored best, where those are to be kept.
    best: Option<Best>,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
}

impl Made {
    /// What a run starts with.
    fn nothing(metrics: Metrics) -> Self {
        let measured = Measurements::default();
        Made { metrics, epoch: 0, position: 0, measured, best: None, saved: None }
    }
}

/// The weights that scored best.
struct Best {
    score: f64,
    step: u64,
    weights: Parameters,
}

impl Run {
    /// Makes the steps that are left and writes the folder to `output`, or stops where a signal asks for it.
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
        self.job.remarks()?.iter().for_each(|remark| observer.note(remark));
        if self.made.measured.last_step().is_none() {
            self.measure(observer)?;
        }
        let steps = self.settings.steps(self.job.steps_per_epoch());
        observer.started(self.step(), steps, self.settings.batch_size);
        while self.made.epoch < self.settings.epochs && self.step() < self.most() && !self.is_past_its_best()
        {
            if let Some(signal) = self.epoch(output, observer)? {
                return Ok(Some(signal));
            }
            (self.made.epoch, self.made.position) = (self.made.epoch + 1, 0);
        }
        if self.made.measured.last_step() != Some(self.step()) {
            self.measure(observer)?;
        }
        self.remark_on_the_end(observer);
        Ok(None)
    }

    /// Makes the steps of an epoch that are left of it.
    fn epoch(
        &mut self,
        output: &mut OutputFolder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Signal>, TrainError> {
        let mut batches = self.job.epoch(self.made.epoch, self.made.position)?;
        for batch in batches.by_ref() {
            let Prepared { packed, objective, lines } = batch?;
            if let Some(signal) = self.interrupt.received() {
                return Ok(Some(signal));
            }
            let step = self.trainer.step(self.job.weights_mut(), &packed, objective.as_ref());
            let report = step.map_err(|error| self.rescue(error, lines))?;
            self.made.position += 1;
            output.keep();
            self.made.metrics.write(&report)?;
            observer.stepped(&report);
            let every = self.settings.eval_every;
            if every > 0 && report.step.is_multiple_of(every) {
                self.measure(observer)?;
            }
            self.save_if_due(observer);
            if report.step >= self.most() || self.is_past_its_best() {
                return Ok(None);
            }
        }
        if let Some(remark) = batches.finish()? {
            observer.note(&remark);
        }
        Ok(None)
    }

    /// Measures the weights as they are, on all that there is to measure on.
    fn measure(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.step();
        let made = &mut self.made;
        self.job.measure(step, &mut |measured| {
            made.metrics.write(&measured)?;
            observer.measured(&measured);
            made.measured.push(measured);
            Ok(())
        })?;
        if self.settings.keep_best {
            self.keep_if_best()?;
        }
        Ok(())
    }

    /// Keeps a copy of the weights if the latest evaluation is the best so far. What was measured without labels is no
    /// score to keep weights by.
    fn keep_if_best(&mut self) -> Result<(), TrainError> {
        let measured = &self.made.measured;
        let is_scored =
            !(measured.scores.is_empty() && measured.tasks.is_empty() && measured.perplexities.is_empty());
        let latest = self.job.evaluations(measured).last().copied().filter(|_| is_scored);
        let Some((step, score)) = latest else { return Ok(()) };
        if self.made.best.as_ref().is_none_or(|best| score > best.score) {
            self.made.best = Some(Best { score, step, weights: self.job.weights().copy()? });
        }
        Ok(())
    }

    /// Steps made so far.
    fn step(&self) -> u64 {
        self.trainer.optimizer.step
    }

    fn most(&self) -> u64 {
        self.settings.max_steps.unwrap_or(u64::MAX)
    }

    /// Writes the folder.
    fn finish(mut self, output: &Path) -> Result<Outcome, TrainError> {
        let steps = self.trainer.optimizer.step;
        self.made.metrics.sync()?;
        let mut saved_step = steps;
        if let Some(best) = self.made.best.take() {
            (saved_step, *self.job.weights_mut()) = (best.step, best.weights);
        }
        let seconds = self.began.elapsed().as_secs_f64();
        // Writing should not be what takes the most memory.
        drop(self.trainer);
        backend::release_kept();
        let (job, measured) = (&self.job, &self.made.measured);
        fill(output, WEIGHTS, &[CONFIGURATION, METRICS], |folder| job.save(measured, saved_step, folder))?;
        self.checkpoints.finish()?;
        Ok(Outcome { steps, measured: self.made.measured, saved_step, seconds })
    }
}
