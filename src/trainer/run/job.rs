//! What a run is about: its batches, what is measured in its course, and the folder that it leaves. Everything else
//! about a run (steps, checkpoints, the log, when it ends) knows a job by this alone.

use std::path::Path;

use serde::Serialize;

use crate::batch::PackedBatch;
use crate::checkpoint::{HeldOutScore, PerplexityScore, Score, TaskScore};
use crate::model_folder::SaveError;
use crate::objective::Objective;
use crate::trainer::TrainError;
use crate::weights::Parameters;

/// What a run trains for.
pub(super) trait Job {
    /// What messages call the text that is trained on.
    fn name(&self) -> String;

    /// The weights that are trained.
    fn weights(&self) -> &Parameters;

    /// The same, to be changed.
    fn weights_mut(&mut self) -> &mut Parameters;

    /// What a person should know of model and text before the first step.
    fn remarks(&self) -> Result<Vec<String>, TrainError>;

    /// Steps of an epoch, the same in all of them.
    fn steps_per_epoch(&self) -> u64;

    /// The batches of an epoch, counted from 0, from the `position`-th on.
    fn epoch(&mut self, epoch: u64, position: u64) -> Result<Box<dyn Batches>, TrainError>;

    /// Measures the weights as they are, after `step` steps, and hands over each thing that was measured.
    fn measure(
        &self,
        step: u64,
        found: &mut dyn FnMut(Measured) -> Result<(), TrainError>,
    ) -> Result<(), TrainError>;

    /// How good the weights were at each evaluation so far: more is better, and what is undefined is worse than
    /// anything.
    fn evaluations(&self, measured: &Measurements) -> Vec<(u64, f64)>;

    /// Writes the folder of the weights as they are, which `steps` steps made.
    fn save(&self, measured: &Measurements, steps: u64, folder: &Path) -> Result<(), SaveError>;
}

/// The batches of an epoch that are left, prepared ahead of the steps.
pub(super) trait Batches: Iterator<Item = Result<Prepared, TrainError>> {
    /// Ends the epoch; gives what a person should know of it, if anything. All batches were taken.
    fn finish(self: Box<Self>) -> Result<Option<String>, TrainError>;
}

/// A batch that is ready for a step.
pub(super) struct Prepared {
    /// What goes through the encoder.
    pub packed: PackedBatch,
    /// What is asked of it.
    pub objective: Box<dyn Objective + Send>,
    /// Where its texts stand in their file, counted from 1.
    pub lines: Vec<u64>,
}

/// One thing that was measured in the course of training; a line of metrics.jsonl.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Measured {
    /// On pairs with scores.
    Pairs(Score),
    /// On held-out lines, without labels.
    HeldOut(HeldOutScore),
    /// On labelled text.
    Task(TaskScore),
    /// On held-out lines with masked words.
    Perplexity(PerplexityScore),
}

/// Everything that a run has measured so far, each in its order.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    /// On pairs with scores.
    pub scores: Vec<Score>,
    /// On held-out lines.
    pub held_out: Vec<HeldOutScore>,
    /// On labelled text.
    pub tasks: Vec<TaskScore>,
    /// On held-out lines with masked words.
    pub perplexities: Vec<PerplexityScore>,
}

impl Measurements {
    /// Adds what was measured last.
    pub(super) fn push(&mut self, measured: Measured) {
        match measured {
            Measured::Pairs(score) => self.scores.push(score),
            Measured::HeldOut(score) => self.held_out.push(score),
            Measured::Task(score) => self.tasks.push(score),
            Measured::Perplexity(score) => self.perplexities.push(score),
        }
    }

    /// The step of the newest measurement.
    pub(super) fn last_step(&self) -> Option<u64> {
        let of_scores = self.scores.last().map(|score| score.step);
        let of_tasks = self.tasks.last().map(|score| score.step);
        let of_perplexities = self.perplexities.last().map(|score| score.step);
        of_scores.max(of_tasks).max(of_perplexities).max(self.held_out.last().map(|score| score.step))
    }
}

/// The settings of the loop itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoopSettings {
    /// Instances of a step.
    pub batch_size: usize,
    /// Parts in which a batch goes through the encoder.
    pub parts: usize,
    pub epochs: u64,
    pub max_steps: Option<u64>,
    /// Steps from one evaluation to the next; 0 for none in between.
    pub eval_every: u64,
    /// Whether the weights that were best at an evaluation are kept, not the last ones.
    pub keep_best: bool,
    /// Evaluations without a gain after which the run ends.
    pub early_stop: Option<u64>,
}

impl LoopSettings {
    /// Steps of the whole run, if nothing ends it early.
    pub fn steps(&self, steps_per_epoch: u64) -> u64 {
        (steps_per_epoch * self.epochs).min(self.max_steps.unwrap_or(u64::MAX))
    }
}
