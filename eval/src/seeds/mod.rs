//! Ways of training, each run with several seeds, in the layout of the papers' Table 2: means and standard deviations over
//! seeds, and how far each way is from the one that it is measured against.
//!
//! [`SeedTable::new`] takes the scored runs; its serde form is the JSON. [`SeedForm`] writes it for a terminal, as
//! markdown, as LaTeX, as JSON, and as a page with a point for every run.

mod format;
mod hierarchy;
mod holm;
mod page;
mod student;
mod wording;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use format::SeedForm;
pub use holm::holm;

use crate::bootstrap::check_paired;
use crate::report::averaged;
use crate::{Bootstrap, Difference, Error, Interval, Resampled, ScoredTask};

/// What the average's column is called where columns have names.
pub const AVERAGE: &str = "average";

/// A way of training, and its runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeedRow {
    /// As tables call it.
    pub name: String,
    /// What it was trained with, in a few words.
    pub settings: String,
    /// The name of the row that it is measured against, if it is.
    pub against: Option<String>,
    /// Its runs, all on the same tasks.
    pub runs: Vec<SeedRun>,
}

/// One run, scored.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedRun {
    /// What it was seeded with: runs of two rows with the same seed are a pair.
    pub seed: u64,
    /// The tasks, in the order of the table.
    pub scored: Vec<ScoredTask>,
}

/// A table of rows over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedTable {
    /// In the order in which they were given.
    pub rows: Vec<RowSummary>,
    /// The tasks that the average goes over: those of the seven that there are, or all if none of the seven is.
    pub averaged: Vec<String>,
    /// The settings that intervals and p-values were found with.
    pub bootstrap: Bootstrap,
    /// Sentences below the table.
    pub notes: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowSummary {
    /// As tables call it.
    pub name: String,
    /// What it was trained with.
    pub settings: String,
    /// The seeds of its runs.
    pub seeds: Vec<u64>,
    /// By task, and last that of the average, [`AVERAGE`].
    pub scores: IndexMap<String, Spread>,
    /// How far it is from the row that it is measured against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<RowDifference>,
}

/// A score over seeds, in points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// `None` where a run's score is undefined.
    pub mean: Option<f64>,
    /// The standard deviation of a sample (n − 1); `None` for fewer than two runs.
    pub deviation: Option<f64>,
    /// Each run's, in the order of the seeds.
    pub runs: Vec<Option<f64>>,
}

/// A row minus the one that it is measured against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowDifference {
    /// The other row's name.
    pub against: String,
    /// The seeds that both have.
    pub seeds: Vec<u64>,
    /// By task, and last that of the average; `None` where a score is undefined.
    pub scores: IndexMap<String, Option<TestedDifference>>,
}

/// A difference, and how sure it is beside the others of its column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestedDifference {
    /// Over seeds and pairs.
    #[serde(flatten)]
    pub difference: Difference,
    /// The p-value corrected for the number of rows (Holm).
    pub p_holm: f64,
}

impl TestedDifference {
    /// Its estimate and ends.
    pub fn interval(&self) -> &Interval {
        &self.difference.interval
    }

    /// Whether the corrected p-value is below 1 − confidence.
    pub fn is_significant(&self, bootstrap: &Bootstrap) -> bool {
        self.p_holm < 1.0 - bootstrap.confidence
    }
}

impl Spread {
    fn of(runs: Vec<Option<f64>>) -> Self {
        let defined: Option<Vec<f64>> = runs.iter().copied().collect();
        let n = runs.len() as f64;
        let mean = defined.as_ref().filter(|runs| !runs.is_empty()).map(|runs| runs.iter().sum::<f64>() / n);
        let deviation = defined.zip(mean).filter(|(runs, _)| runs.len() > 1).map(|(runs, mean)| {
            (runs.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
        });
        Self { mean, deviation, runs }
    }
}

impl SeedTable {
    /// Resamples every run's tasks, and compares each row with the one that it is measured against, over the seeds that
    /// both have.
    ///
    /// # Errors
    /// Settings of the bootstrap without meaning, runs of different pairs.
    pub fn new(rows: &[SeedRow], bootstrap: &Bootstrap, notes: Vec<String>) -> Result<Self, Error> {
        bootstrap.check()?;
        check_same_pairs(rows)?;
        let resampled: Vec<Vec<ResampledRun>> = rows
            .iter()
            .map(|row| row.runs.par_iter().map(|run| ResampledRun::new(run, bootstrap)).collect())
            .collect::<Result<_, _>>()?;
        let mut summaries: Vec<RowSummary> =
            rows.iter().zip(&resampled).map(|(row, runs)| summary(row, runs)).collect();
        for (place, row) in rows.iter().enumerate() {
            let other =
                row.against.as_ref().and_then(|name| rows.iter().position(|other| other.name == *name));
            summaries[place].difference = other.filter(|&other| other != place).and_then(|other| {
                difference(bootstrap, (&rows[other], &resampled[other]), (row, &resampled[place]))
            });
        }
        correct(&mut summaries);
        let first = rows.iter().flat_map(|row| &row.runs).next();
        let averaged =
            first.map_or_else(Vec::new, |run| averaged(&run.scored).map(|task| task.name.clone()).collect());
        Ok(Self { rows: summaries, averaged, bootstrap: *bootstrap, notes })
    }

    /// The columns: tasks in the order in which they first appear, and last the average where there are several.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for name in self.rows.iter().flat_map(|row| row.scores.keys()) {
            if name != AVERAGE && !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
        if columns.len() > 1 {
            columns.push(AVERAGE);
        }
        columns
    }
}

/// A run's score on each task and on all together, on every resample.
struct ResampledRun {
    seed: u64,
    by_task: IndexMap<String, Resampled>,
}

impl ResampledRun {
    fn new(run: &SeedRun, bootstrap: &Bootstrap) -> Result<Self, Error> {
        let mut by_task = IndexMap::new();
        for task in &run.scored {
            by_task.insert(task.name.clone(), bootstrap.resample(task)?);
        }
        let members: Vec<&Resampled> =
            averaged(&run.scored).filter_map(|task| by_task.get(&task.name)).collect();
        if !members.is_empty() {
            let average = Resampled::mean(&members);
            by_task.insert(AVERAGE.to_owned(), average);
        }
        Ok(Self { seed: run.seed, by_task })
    }
}

fn summary(row: &SeedRow, runs: &[ResampledRun]) -> RowSummary {
    let names = runs.first().into_iter().flat_map(|run| run.by_task.keys());
    let spread = |name: &String| {
        let defined = |run: &ResampledRun| {
            Some(run.by_task.get(name)?.estimate()).filter(|estimate| estimate.is_finite())
        };
        Spread::of(runs.iter().map(defined).collect())
    };
    RowSummary {
        name: row.name.clone(),
        settings: row.settings.clone(),
        seeds: row.runs.iter().map(|run| run.seed).collect(),
        scores: names.map(|name| (name.clone(), spread(name))).collect(),
        difference: None,
    }
}

fn difference(
    bootstrap: &Bootstrap,
    (first_row, first): (&SeedRow, &[ResampledRun]),
    (_, second): (&SeedRow, &[ResampledRun]),
) -> Option<RowDifference> {
    let pairs: Vec<(&ResampledRun, &ResampledRun)> = second
        .iter()
        .filter_map(|run| Some((first.iter().find(|other| other.seed == run.seed)?, run)))
        .collect();
    let (_, some) = pairs.first()?;
    let of = |name: &String| {
        let both: Vec<(&Resampled, &Resampled)> = pairs
            .iter()
            .map(|(a, b)| Some((a.by_task.get(name)?, b.by_task.get(name)?)))
            .collect::<Option<_>>()?;
        let (a, b): (Vec<_>, Vec<_>) = both.into_iter().unzip();
        // Corrected once all rows of the column are known.
        hierarchy::difference(bootstrap, &a, &b)
            .map(|difference| TestedDifference { p_holm: difference.p_value, difference })
    };
    let names: Vec<&String> = some.by_task.keys().collect();
    Some(RowDifference {
        against: first_row.name.clone(),
        seeds: pairs.iter().map(|(_, run)| run.seed).collect(),
        scores: names
            .into_par_iter()
            .map(|name| (name.clone(), of(name)))
            .collect::<Vec<_>>()
            .into_iter()
            .collect(),
    })
}

/// Holm's correction, a column at a time.
fn correct(rows: &mut [RowSummary]) {
    let names: Vec<String> = rows
        .iter()
        .flat_map(|row| &row.difference)
        .flat_map(|difference| difference.scores.keys().cloned())
        .collect();
    for name in names {
        let tested = |row: &RowSummary| row.difference.as_ref()?.scores.get(&name).copied().flatten();
        let values: Vec<Option<f64>> =
            rows.iter().map(|row| tested(row).map(|tested| tested.difference.p_value)).collect();
        for (row, corrected) in rows.iter_mut().zip(holm(&values)) {
            let own =
                row.difference.as_mut().and_then(|difference| difference.scores.get_mut(&name)?.as_mut());
            if let Some((own, corrected)) = own.zip(corrected) {
                own.p_holm = corrected;
            }
        }
    }
}

fn check_same_pairs(rows: &[SeedRow]) -> Result<(), Error> {
    let mut runs = rows.iter().flat_map(|row| &row.runs);
    let Some(first) = runs.next() else { return Ok(()) };
    for run in runs {
        for task in &run.scored {
            if let Some(same) = first.scored.iter().find(|other| other.name == task.name) {
                check_paired(same, task)?;
            }
        }
    }
    Ok(())
}
