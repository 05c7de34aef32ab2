//! What an earlier part of a run left: its newest checkpoint, and the place that the run goes on from.

use std::path::Path;
use std::time::Instant;

use super::job::{Job, LoopSettings, Measurements};
use super::{Best, Made, Observer, Run};
use crate::checkpoint::{Checkpoint, Origin, RunCheckpoints, SaveEvery, Schedule, State};
use crate::interrupt::Interrupt;
use crate::output::OutputFolder;
use crate::trainer::memory::Estimate;
use crate::trainer::metrics::Metrics;
use crate::trainer::{TrainError, Trainer};
use crate::weights::Parameters;

/// What a run is made of before it is known whether there was an earlier part of it.
pub(super) struct Parts<'a> {
    pub job: Box<dyn Job>,
    pub settings: LoopSettings,
    pub trainer: Trainer,
    pub origin: Origin,
    pub memory: Option<Estimate>,
    /// When checkpoints are written.
    pub save_every: SaveEvery,
    /// How many stay.
    pub keep_last: usize,
    /// Where TensorBoard's files go.
    pub log_dir: Option<&'a Path>,
}

impl Run {
    /// Takes up a run from the newest whole checkpoint of its folder; a new folder has none.
    pub(super) fn take_up(
        parts: Parts,
        output: &OutputFolder,
        interrupt: Interrupt,
        observer: &mut dyn Observer,
    ) -> Result<Run, TrainError> {
        let Parts { mut job, settings, mut trainer, origin, memory, save_every, keep_last, log_dir } = parts;
        let checkpoints = RunCheckpoints::open(output.work(), keep_last)?;
        let metrics = |bytes, step| Metrics::open(output.work(), bytes)?.with_events(log_dir, step);
        let made = match newest(&checkpoints, &origin, job.weights(), observer)? {
            Some(checkpoint) => {
                let metrics = metrics(checkpoint.state.metrics_bytes, checkpoint.state.step)?;
                take_up(checkpoint, &mut trainer, job.weights_mut(), metrics)?
            }
            None => Made::nothing(metrics(0, 0)?),
        };
        let began = Instant::now();
        let schedule = Schedule::new(save_every, began);
        Ok(Run { job, settings, interrupt, trainer, made, origin, checkpoints, schedule, memory, began })
    }
}

/// The newest whole checkpoint of this very run, if there is one.
fn newest(
    checkpoints: &RunCheckpoints,
    origin: &Origin,
    like: &Parameters,
    observer: &mut dyn Observer,
) -> Result<Option<Checkpoint>, TrainError> {
    if let Some(warning) = checkpoints.settle_origin(origin)? {
        observer.note(&warning);
    }
    let newest = checkpoints.newest(like.layout(), like.dtype(), like.device())?;
    newest.skipped.iter().for_each(|sentence| observer.note(sentence));
    if let Some(checkpoint) = &newest.checkpoint {
        origin.check_against(&checkpoint.state.origin)?;
        observer.note(&format!("resuming after step {}", checkpoint.state.step));
    }
    Ok(newest.checkpoint)
}

/// Puts a checkpoint into the trainer and the weights.
fn take_up(
    checkpoint: Checkpoint,
    trainer: &mut Trainer,
    weights: &mut Parameters,
    metrics: Metrics,
) -> Result<Made, TrainError> {
    let State { step, epoch, position, scores, held_out, tasks, perplexities, best, .. } = checkpoint.state;
    let best = match best {
        Some(best) => {
            let weights = checkpoint.best.map_or_else(|| checkpoint.weights.copy(), Ok)?;
            Some(Best { score: f64::from_bits(best.score_bits), step: best.step, weights })
        }
        None => None,
    };
    *weights = checkpoint.weights;
    trainer.restore(step, [checkpoint.m, checkpoint.v], checkpoint.memories);
    let measured = Measurements { scores, held_out, tasks, perplexities };
    Ok(Made { metrics, epoch, position, measured, best, saved: Some(step) })
}
