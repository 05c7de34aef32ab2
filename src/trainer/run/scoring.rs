//! What is measured in the course of training: scores on scored pairs, and held-out lines without labels.

use sts_eval::DEFAULT_BLOCK_SIZE;
use sts_eval::unlabeled::evaluate_views;

use super::{Best, Observer, Run};
use crate::checkpoint::{HeldOutScore, Score};
use crate::trainer::TrainError;

impl Run {
    /// The step of the newest score or measurement.
    pub(super) fn last_scored(&self) -> Option<u64> {
        let scored = self.made.scores.last().map(|score| score.step);
        scored.max(self.made.held_out.last().map(|score| score.step))
    }

    /// Scores the weights as they are, on all that there is to score on.
    pub(super) fn score(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        self.score_pairs(observer)?;
        self.measure_held_out(observer)
    }

    fn score_pairs(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(task) = &self.scored_on else { return Ok(()) };
        let spearman = sts_eval::evaluate_task(task, &self.model)?.score().spearman;
        let score = Score { step: self.step(), set: task.name.clone(), spearman };
        self.made.metrics.write(&score)?;
        observer.scored(&score);
        if self.options.keep_best {
            let value = spearman.unwrap_or(f64::NEG_INFINITY);
            if self.made.best.as_ref().is_none_or(|best| value > best.score) {
                let weights = self.model.parameters.copy()?;
                self.made.best = Some(Best { score: value, step: score.step, weights });
            }
        }
        self.made.scores.push(score);
        Ok(())
    }

    fn measure_held_out(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(views) = &self.held_out else { return Ok(()) };
        let unlabeled = evaluate_views(views, &self.model, DEFAULT_BLOCK_SIZE * 8, |_| {})?;
        let score = HeldOutScore { step: self.step(), unlabeled };
        self.made.metrics.write(&score)?;
        observer.measured(&score);
        self.made.held_out.push(score);
        Ok(())
    }
}
