//! When a run writes its checkpoints, and how it goes on from one.

use std::path::Path;
use std::time::Instant;

use super::StepError;
use super::metrics::Metrics;
use super::run::{Best, Ended, Observer, Run, TrainError};
use crate::checkpoint::run_checkpoints::BestState;
use crate::checkpoint::{Snapshot, State};
use crate::interrupt::Signal;
use crate::output::OutputFolder;

impl Run {
    /// Goes on from the newest whole checkpoint of the folder, if there is one; else from the start.
    pub(super) fn go_on(&mut self, output: &Path, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if let Some(warning) = self.checkpoints.settle_origin(&self.origin)? {
            observer.note(&warning);
        }
        let weights = &self.trainer.weights;
        let newest = self.checkpoints.newest(weights.layout(), weights.dtype(), weights.device())?;
        newest.skipped.iter().for_each(|sentence| observer.note(sentence));
        let Some(checkpoint) = newest.checkpoint else {
            self.metrics = Metrics::open(output, 0)?;
            return Ok(());
        };
        let State { step, epoch, position, metrics_bytes, scores, held_out, best, origin, .. } =
            checkpoint.state;
        self.origin.check_against(&origin)?;
        observer.note(&format!("going on after step {step}"));
        self.metrics = Metrics::open(output, metrics_bytes)?;
        self.best = match best {
            Some(best) => {
                let weights = checkpoint.best.map_or_else(|| checkpoint.weights.copy(), Ok)?;
                Some(Best { score: f64::from_bits(best.score_bits), step: best.step, weights })
            }
            None => None,
        };
        let moments = [checkpoint.m, checkpoint.v];
        self.trainer.restore(step, checkpoint.weights, moments, checkpoint.memories);
        (self.epoch, self.position, self.saved) = (epoch, position, Some(step));
        (self.scores, self.held_out_scores) = (scores, held_out);
        Ok(())
    }

    /// Writes a checkpoint if one is due. One that cannot be written is told and stops nothing: the
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

    /// What to tell of a step that failed. If its losses are not finite, the weights before it are kept,
    /// and so are all older checkpoints, since it may be one of them that training was still sound at.
    pub(super) fn rescue(&mut self, error: StepError, mut lines: Vec<u64>) -> TrainError {
        if !matches!(error, StepError::NotFinite { .. }) {
            return error.into();
        }
        lines.sort_unstable();
        let lines = lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let kept = match (self.step(), self.save_checkpoint()) {
            (0, _) => String::new(),
            (step, Ok(())) => format!("; the weights of step {step} are in checkpoints/step-{step:08}"),
            (_, Err(failed)) => format!("; {failed}"),
        };
        TrainError::NotFinite { source: Box::new(error), lines, corpus: self.corpus_name(), kept }
    }

    /// Writes a checkpoint of the steps made, unless the newest one is that already.
    fn save_checkpoint(&mut self) -> Result<(), TrainError> {
        let step = self.step();
        if step == 0 || self.saved == Some(step) {
            return Ok(());
        }
        let metrics_bytes = self.metrics.sync()?;
        let memories = self.trainer.memories();
        let best = self.best.as_ref();
        let state = State {
            step,
            epoch: self.epoch,
            position: self.position,
            metrics_bytes,
            scores: self.scores.clone(),
            held_out: self.held_out_scores.clone(),
            best: best.map(|best| BestState { step: best.step, score_bits: best.score.to_bits() }),
            memories: memories.iter().map(|&(term, _)| term.to_owned()).collect(),
            origin: self.origin.clone(),
        };
        self.checkpoints.save(&Snapshot {
            state,
            weights: &self.trainer.weights,
            m: &self.trainer.optimizer.m,
            v: &self.trainer.optimizer.v,
            memories,
            best: best.filter(|best| best.step != step).map(|best| &best.weights),
        })?;
        self.saved = Some(step);
        Ok(())
    }
}
