//! When a run writes its checkpoints, and what it leaves when it ends early.

use std::time::Instant;

use super::{Ended, Observer, Run};
use crate::checkpoint::run_checkpoints::BestState;
use crate::checkpoint::{Snapshot, State};
use crate::device::Failure;
use crate::interrupt::Signal;
use crate::output::OutputFolder;
use crate::trainer::memory::Estimate;
use crate::trainer::{StepError, TrainError};

impl Run {
    /// Writes a checkpoint if one is due. One that cannot be written is reported and stops nothing: the
    /// older ones stand, and the next may be written again.
    pub(super) fn save_if_due(&mut self, observer: &mut dyn Observer) {
        let step = self.step();
        if !self.schedule.is_due(step, Instant::now()) {
            return;
        }
        if let Err(error) = self.save_checkpoint().and_then(|()| Ok(self.checkpoints.prune(step)?)) {
            observer.note(&format!("warning: {error}; training continues, and older checkpoints stay"));
        }
        self.schedule.tried(Instant::now());
    }

    /// Ends a run that a signal stopped, with all its steps in a checkpoint.
    pub(super) fn stop(mut self, signal: Signal, output: &mut OutputFolder) -> Result<Ended, TrainError> {
        // Even where no step was made, so that the run can be resumed from its configuration.
        output.keep();
        let step = self.step();
        if step > 0 {
            self.save_checkpoint()?;
            self.checkpoints.prune(step)?;
        }
        Ok(Ended::Stopped { signal, step })
    }

    /// What to tell of a step that failed.
    pub(super) fn rescue(&mut self, error: StepError, lines: Vec<u64>) -> TrainError {
        let failure = match &error {
            StepError::NotFinite { .. } => return self.not_finite(error, lines),
            StepError::Candle(error) => Failure::of(error),
        };
        let step = self.step() + 1;
        match failure {
            Some(Failure::OutOfMemory) => TrainError::OutOfMemory { step, advice: self.smaller() },
            Some(Failure::Lost(reason)) => TrainError::DeviceLost { step, reason, saved: self.made.saved },
            None => error.into(),
        }
    }

    /// With what a step would need less memory.
    fn smaller(&self) -> String {
        let (batch, parts) = (self.settings.batch_size as u64, self.settings.parts as u64);
        let most = self.memory.as_ref().and_then(Estimate::most_sentences);
        match most.map(|most| batch.div_ceil(most)).filter(|&more| more > parts) {
            Some(more) => {
                format!("--accumulate {more} would fit by the estimate, and so would a smaller --batch-size")
            }
            None => "raise --accumulate, or lower --batch-size or --max-length".to_owned(),
        }
    }

    /// The weights before a step whose losses are not finite are kept, and so are all older checkpoints, since it may be
    /// one of them that training was still sound at.
    fn not_finite(&mut self, error: StepError, mut lines: Vec<u64>) -> TrainError {
        lines.sort_unstable();
        let lines = lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let kept = match (self.step(), self.save_checkpoint()) {
            (0, _) => String::new(),
            (step, Ok(())) => format!("; the weights of step {step} are in checkpoints/step-{step:08}"),
            (_, Err(failed)) => format!("; {failed}"),
        };
        TrainError::NotFinite { source: Box::new(error), lines, corpus: self.job.name(), kept }
    }

    /// Writes a checkpoint of the steps made, unless the newest one is that already.
    fn save_checkpoint(&mut self) -> Result<(), TrainError> {
        let step = self.step();
        if step == 0 || self.made.saved == Some(step) {
            return Ok(());
        }
        let metrics_bytes = self.made.metrics.sync()?;
        let memories = self.trainer.memories();
        let best = self.made.best.as_ref();
        let state = State {
            step,
            epoch: self.made.epoch,
            position: self.made.position,
            metrics_bytes,
            scores: self.made.measured.scores.clone(),
            held_out: self.made.measured.held_out.clone(),
            tasks: self.made.measured.tasks.clone(),
            perplexities: self.made.measured.perplexities.clone(),
            best: best.map(|best| BestState { step: best.step, score_bits: best.score.to_bits() }),
            memories: memories.iter().map(|&(term, _)| term.to_owned()).collect(),
            origin: self.origin.clone(),
        };
        self.checkpoints.save(&Snapshot {
            state,
            weights: self.job.weights(),
            m: &self.trainer.optimizer.m,
            v: &self.trainer.optimizer.v,
            memories,
            best: best.filter(|best| best.step != step).map(|best| &best.weights),
        })?;
        self.made.saved = Some(step);
        Ok(())
    }
}
