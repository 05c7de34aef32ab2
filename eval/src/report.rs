//! One model's scores, as JSON has them.

use serde::{Deserialize, Serialize};

use crate::{Benchmark, Convention, OrderedMap, ScoredTask};

/// One model's scores on all tasks. Its serde form is the JSON that [`format::Json`](crate::format::Json) writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub tasks: OrderedMap<TaskScore>,
    /// The mean of [`Self::averaged`]'s scores; `None` if one of them is undefined, since a mean over the rest
    /// would hide a model that collapsed on it.
    pub average: Option<f64>,
    /// The tasks that the average goes over: those of the seven that were scored; where there is none, all.
    pub averaged: Vec<String>,
    pub convention: Convention,
    /// Those of the seven that were not scored because their data was not there.
    pub missing: Vec<String>,
    pub model: String,
}

/// A score on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskScore {
    /// Spearman's ρ × 100 over the pairs of all subsets together; `null` in JSON where it is undefined.
    pub spearman: Option<f64>,
    pub pairs: usize,
    /// Empty if the task has one part only.
    pub subsets: OrderedMap<SubsetScore>,
}

/// A score on a part of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetScore {
    /// Spearman's ρ × 100.
    pub spearman: Option<f64>,
    pub pairs: usize,
}

impl Report {
    pub fn new(
        model: impl Into<String>,
        convention: Convention,
        scored: &[ScoredTask],
        missing: &[Benchmark],
    ) -> Self {
        let tasks: OrderedMap<TaskScore> =
            scored.iter().map(|task| (task.name.clone(), task.score())).collect();
        let averaged: Vec<String> = averaged(scored).map(|task| task.name.clone()).collect();
        let scores: Option<Vec<f64>> =
            averaged.iter().map(|name| tasks.get(name).and_then(|task| task.spearman)).collect();
        Self {
            average: scores.as_deref().and_then(mean),
            tasks,
            averaged,
            convention,
            missing: missing.iter().map(|benchmark| benchmark.key().to_owned()).collect(),
            model: model.into(),
        }
    }

    /// Whether the average is the one that papers report, over all seven.
    pub fn is_complete(&self) -> bool {
        self.averaged.len() == crate::SEVEN.len() && self.averaged.iter().all(|name| is_benchmark(name))
    }
}

/// The tasks that an average goes over: those of the seven that are there; where there is none, all.
pub(crate) fn averaged(scored: &[ScoredTask]) -> impl Iterator<Item = &ScoredTask> {
    let some_benchmark = scored.iter().any(|task| is_benchmark(&task.name));
    scored.iter().filter(move |task| !some_benchmark || is_benchmark(&task.name))
}

fn is_benchmark(name: &str) -> bool {
    Benchmark::from_key(name).is_some()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
