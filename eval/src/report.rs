//! One model's scores, as JSON has them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    Benchmark, Bootstrap, Convention, Curve, Difference, Examined, Interval, ScoredTask, TaskDetails,
};

/// One model's scores on all tasks. Its serde form is the JSON that [`format::Json`](crate::format::Json) writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// By name, in the order in which they were scored.
    pub tasks: IndexMap<String, TaskScore>,
    /// The mean of [`Self::averaged`]'s scores; `None` if one of them is undefined, since a mean over the rest
    /// would hide a model that collapsed on it.
    pub average: Option<f64>,
    /// The tasks that the average goes over: those of the seven that were scored, or all if none of the seven was.
    pub averaged: Vec<String>,
    /// Which pairs the sets consist of.
    pub convention: Convention,
    /// Those of the seven that were not scored because their data was not there.
    pub missing: Vec<String>,
    /// The model, as reports call it.
    pub model: String,
    /// How far the average can be trusted; see [`compare`](crate::compare()), which fills in all intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_interval: Option<Interval>,
    /// This model against each of those before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Comparison>,
    /// The settings that intervals and differences were found with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// How its training went, for reports that draw.
    #[serde(skip)]
    pub training: Vec<Curve>,
}

/// A model against an earlier one, on the same resamples: what it scores more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The earlier model.
    pub against: String,
    /// By name, those of [`Report::tasks`]; `None` where a score is undefined.
    pub tasks: IndexMap<String, Option<Difference>>,
    /// That of the averages; `None` where one is undefined.
    pub average: Option<Difference>,
}

impl Comparison {
    /// The difference on a task, or that of the averages for `None`.
    pub fn of(&self, task: Option<&str>) -> Option<&Difference> {
        task.map_or(self.average.as_ref(), |name| self.tasks.get(name).and_then(Option::as_ref))
    }
}

/// A score on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskScore {
    /// Spearman's ρ × 100 over the pairs of all subsets together; `null` in JSON where it is undefined.
    pub spearman: Option<f64>,
    /// Scored pairs, those of all subsets.
    pub pairs: usize,
    /// Empty if the task has one part only.
    pub subsets: IndexMap<String, SubsetScore>,
    /// How far the score can be trusted; `None` without a bootstrap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// What a full report has beyond the score; its fields stand beside `spearman` in JSON.
    #[serde(flatten)]
    pub details: Option<TaskDetails>,
}

/// A score on a part of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetScore {
    /// Spearman's ρ × 100.
    pub spearman: Option<f64>,
    /// Scored pairs.
    pub pairs: usize,
}

impl Report {
    /// The scores of one model; `missing` are those of the seven that were not scored.
    pub fn new(
        model: impl Into<String>,
        convention: Convention,
        scored: &[ScoredTask],
        missing: &[Benchmark],
    ) -> Self {
        let tasks: IndexMap<String, TaskScore> =
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
            average_interval: None,
            differences: Vec::new(),
            bootstrap: None,
            training: Vec::new(),
        }
    }

    /// A report with what was seen of each task beyond its score.
    pub fn full(
        model: impl Into<String>,
        convention: Convention,
        examined: &Examined,
        missing: &[Benchmark],
    ) -> Self {
        let mut report = Self::new(model, convention, &examined.scored, missing);
        for (task, details) in report.tasks.values_mut().zip(&examined.details) {
            task.details = Some(details.clone());
        }
        report
    }

    /// The interval of a task's score, or that of the average for `None`.
    pub fn interval(&self, task: Option<&str>) -> Option<&Interval> {
        task.map_or(self.average_interval.as_ref(), |name| {
            self.tasks.get(name).and_then(|task| task.interval.as_ref())
        })
    }

    /// A detail of a task, or its mean for `None`.
    pub fn detail(&self, task: Option<&str>, detail: impl Fn(&TaskDetails) -> Option<f64>) -> Option<f64> {
        let Some(name) = task else { return self.mean_of(detail) };
        self.tasks.get(name).and_then(|task| task.details.as_ref()).and_then(detail)
    }

    /// The mean of a detail over the tasks that the average goes over; `None` where one of them lacks it.
    pub fn mean_of(&self, detail: impl Fn(&TaskDetails) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self
            .averaged
            .iter()
            .map(|name| self.tasks.get(name).and_then(|task| task.details.as_ref()).and_then(&detail))
            .collect();
        values.as_deref().and_then(mean)
    }

    /// Whether the average is the one that papers report, over all seven.
    pub fn is_complete(&self) -> bool {
        self.averaged.len() == crate::SEVEN.len() && self.averaged.iter().all(|name| is_benchmark(name))
    }
}

/// The tasks that an average goes over: those of the seven that are there, or all if none of the seven is.
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
