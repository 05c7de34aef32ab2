//! Scoring: cosines of a task's pairs and their rank correlation with the gold scores.

use std::ops::Range;

use rayon::prelude::*;

use crate::report::{SubsetScore, TaskScore};
use crate::{Embeddings, Encode, Error, Progress, Task, correlation, task};

/// Sentences handed to the encoder at a time, where the caller has no opinion.
pub const DEFAULT_BLOCK_SIZE: usize = 256;

/// A task's gold scores beside one model's cosines, pair by pair: what every report is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredTask {
    /// That of the [`Task`].
    pub name: String,
    /// The gold scores, in the order of [`Task::pairs`].
    pub gold: Vec<f64>,
    /// The model's cosines in [−1, 1], in the same order.
    pub cosines: Vec<f64>,
    /// The subsets, as ranges of the two.
    pub subsets: Vec<(String, Range<usize>)>,
}

impl ScoredTask {
    /// Spearman's ρ in [−1, 1] over all pairs; `None` if undefined, as where a model gives all pairs one cosine.
    pub fn spearman(&self) -> Option<f64> {
        correlation::spearman(&self.gold, &self.cosines)
    }

    /// Pearson's r in [−1, 1] over all pairs.
    pub fn pearson(&self) -> Option<f64> {
        correlation::pearson(&self.gold, &self.cosines)
    }

    /// The score as reports have it: ρ × 100, over all pairs and for each subset. A task of one subset lists none.
    pub fn score(&self) -> TaskScore {
        let subset_score = |(name, range): &(String, Range<usize>)| {
            let spearman = correlation::spearman(&self.gold[range.clone()], &self.cosines[range.clone()]);
            (name.clone(), SubsetScore { spearman: spearman.map(hundredfold), pairs: range.len() })
        };
        let subsets = if self.subsets.len() > 1 { self.subsets.as_slice() } else { &[] };
        TaskScore {
            spearman: self.spearman().map(hundredfold),
            pairs: self.gold.len(),
            subsets: subsets.iter().map(subset_score).collect(),
            interval: None,
            details: None,
        }
    }
}

fn hundredfold(correlation: f64) -> f64 {
    correlation * 100.0
}

/// The cosine of each pair of a task.
pub fn score_task(task: &Task, embeddings: &Embeddings<'_>) -> Result<ScoredTask, Error> {
    let mut end = 0;
    let subsets = task.subsets.iter().map(|subset| {
        let start = end;
        end += subset.pairs.len();
        (subset.name.clone(), start..end)
    });
    Ok(ScoredTask {
        name: task.name.clone(),
        subsets: subsets.collect(),
        gold: task.pairs().map(|pair| pair.gold).collect(),
        cosines: task
            .pairs()
            .map(|pair| embeddings.cosine(&pair.first, &pair.second))
            .collect::<Result<_, _>>()?,
    })
}

/// Encodes each distinct sentence of the tasks once and scores all tasks in parallel.
pub fn evaluate<E: Encode + ?Sized>(
    tasks: &[Task],
    encoder: &E,
    block_size: usize,
    progress: impl FnMut(Progress),
) -> Result<Vec<ScoredTask>, Error> {
    task::check_names(tasks)?;
    let embeddings = Embeddings::encode(tasks, encoder, block_size, progress)?;
    tasks.par_iter().map(|task| score_task(task, &embeddings)).collect()
}

/// Scores one task, as between training steps: on [`SentEval::sts_b_dev`](crate::SentEval::sts_b_dev), say.
pub fn evaluate_task<E: Encode + ?Sized>(task: &Task, encoder: &E) -> Result<ScoredTask, Error> {
    let embeddings = Embeddings::encode(std::slice::from_ref(task), encoder, DEFAULT_BLOCK_SIZE, |_| ())?;
    score_task(task, &embeddings)
}
