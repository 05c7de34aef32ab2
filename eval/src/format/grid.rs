//! What the tables share: columns in the papers' order, one row a model, the best of each column.

use crate::{Benchmark, Report, SEVEN};

/// The columns STS12 … SICK-R, Avg., then the user's sets; and a row for each report.
pub(super) struct Grid {
    pub headings: Vec<String>,
    pub rows: Vec<Row>,
    /// Sentences below the table: what an average goes over if not all seven, and what was missing.
    pub notes: Vec<String>,
}

pub(super) struct Row {
    pub model: String,
    pub cells: Vec<Cell>,
}

/// A score in points, where there is one.
pub(super) struct Cell {
    pub score: Score,
    /// The highest of its column, as printed, where several models are compared.
    pub best: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Score {
    Points(f64),
    /// The task was scored, yet the correlation is undefined.
    Undefined,
    /// The task was not scored.
    Absent,
}

impl Grid {
    pub fn new(reports: &[Report]) -> Self {
        let columns = columns(reports);
        let best: Vec<Option<f64>> = columns.iter().map(|column| best(column, reports)).collect();
        let row = |report: &Report| Row {
            model: report.model.clone(),
            cells: columns
                .iter()
                .zip(&best)
                .map(|(column, best)| {
                    let score = column.score(report);
                    Cell { score, best: score.rounded().is_some() && score.rounded() == *best }
                })
                .collect(),
        };
        Self {
            headings: columns.iter().map(Column::heading).collect(),
            rows: reports.iter().map(row).collect(),
            notes: notes(reports),
        }
    }
}

/// The columns of a table over reports: those of the seven that some report has, their average, other sets.
pub(super) fn columns(reports: &[Report]) -> Vec<Column<'_>> {
    let scored = |name: &str| reports.iter().any(|report| report.tasks.get(name).is_some());
    let mut columns: Vec<Column> =
        SEVEN.into_iter().filter(|benchmark| scored(benchmark.key())).map(Column::Benchmark).collect();
    columns.push(Column::Average);
    for name in reports.iter().flat_map(|report| report.tasks.keys().map(String::as_str)) {
        let column = Column::UserSet(name);
        if Benchmark::from_key(name).is_none() && !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

#[derive(PartialEq)]
pub(super) enum Column<'r> {
    Benchmark(Benchmark),
    Average,
    UserSet(&'r str),
}

impl Column<'_> {
    pub fn heading(&self) -> String {
        match self {
            Self::Benchmark(benchmark) => benchmark.label().to_owned(),
            Self::Average => "Avg.".to_owned(),
            Self::UserSet(name) => (*name).to_owned(),
        }
    }

    /// The key of the column's task; `None` for the average.
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Benchmark(benchmark) => Some(benchmark.key()),
            Self::UserSet(name) => Some(name),
            Self::Average => None,
        }
    }

    fn score(&self, report: &Report) -> Score {
        let Some(task) = self.task() else {
            return report.average.map_or(Score::Undefined, Score::Points);
        };
        match report.tasks.get(task) {
            Some(task) => task.spearman.map_or(Score::Undefined, Score::Points),
            None => Score::Absent,
        }
    }
}

impl Score {
    /// In hundredths of a point, as printed: what looks equal is equally the best.
    fn rounded(self) -> Option<f64> {
        match self {
            Self::Points(points) => Some((points * 100.0).round()),
            Self::Undefined | Self::Absent => None,
        }
    }

    pub fn is_negative(self) -> bool {
        matches!(self, Self::Points(points) if points < 0.0)
    }

    /// Two decimals, or what stands for a missing number.
    pub fn text(self, absent: &str) -> String {
        match self {
            Self::Points(points) => format!("{points:.2}"),
            Self::Undefined => "undefined".to_owned(),
            Self::Absent => absent.to_owned(),
        }
    }
}

fn best(column: &Column<'_>, reports: &[Report]) -> Option<f64> {
    if reports.len() < 2 {
        return None;
    }
    reports.iter().filter_map(|report| column.score(report).rounded()).reduce(f64::max)
}

fn notes(reports: &[Report]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for report in reports.iter().filter(|report| !report.is_complete()) {
        let mut note = format!("Avg. is over {}.", report.averaged.join(", "));
        if !report.missing.is_empty() {
            note += &format!(" No data found for {}.", report.missing.join(", "));
        }
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}
