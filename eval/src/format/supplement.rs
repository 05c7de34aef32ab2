//! The tables that a full report has besides its scores, for forms of text. Cells are plain: a form escapes them.

use super::grid::{Column, columns};
use crate::{Difference, Report, TaskDetails};

/// A table under a title; the first columns are labels, the last `numbers` are numbers.
pub(super) struct Supplement {
    pub title: String,
    pub headings: Vec<String>,
    pub numbers: usize,
    pub rows: Vec<Vec<Cell>>,
}

pub(super) struct Cell {
    pub text: String,
    pub bold: bool,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, bold: false }
    }
}

/// What there is of: intervals, differences, alignment and uniformity, subsets. Nothing for reports of scores alone.
pub(super) fn supplements(reports: &[Report]) -> Vec<Supplement> {
    let mut tables = Vec::new();
    if let Some(bootstrap) = reports.iter().find_map(|report| report.bootstrap) {
        let settings = format!("{} resamples, seed {}", bootstrap.resamples, bootstrap.seed);
        let percent = (bootstrap.confidence * 1e8).round() / 1e6;
        let title = format!("{percent} % intervals ({settings})");
        tables.push(by_set(reports, title, |report, column| {
            let interval = report.interval(column.task());
            missing_or(interval.map(|interval| format!("{:.2} to {:.2}", interval.low, interval.high)))
        }));
        if reports.len() > 1 {
            let title = format!(
                "Differences, {percent} % intervals, p (paired bootstrap, {settings}); in bold where the interval leaves out zero"
            );
            tables.push(differences(reports, title));
        }
    }
    if reports.iter().any(|report| report.tasks.iter().any(|(_, task)| task.details.is_some())) {
        let detail = |pick: fn(&TaskDetails) -> Option<f64>| {
            move |report: &Report, column: &Column| {
                missing_or(report.detail(column.task(), pick).map(|value| format!("{value:.3}")))
            }
        };
        let title = "Alignment of pairs scored above 4 of 5 (lower is closer)";
        tables.push(by_set(reports, title.to_owned(), detail(|details| details.alignment)));
        let title = "Uniformity of distinct sentences (lower is more spread)";
        tables.push(by_set(reports, title.to_owned(), detail(|details| details.uniformity)));
        tables.extend(subsets(reports));
    }
    tables
}

fn by_set(reports: &[Report], title: String, cell: impl Fn(&Report, &Column) -> String) -> Supplement {
    let columns = columns(reports);
    let row = |report: &Report| {
        let cells = columns.iter().map(|column| Cell::from(cell(report, column)));
        std::iter::once(Cell::from(report.model.clone())).chain(cells).collect()
    };
    Supplement {
        title,
        headings: headings("Model", &columns),
        numbers: columns.len(),
        rows: reports.iter().map(row).collect(),
    }
}

fn differences(reports: &[Report], title: String) -> Supplement {
    let columns = columns(reports);
    let mut rows = Vec::new();
    for report in reports {
        for comparison in &report.differences {
            let label = Cell::from(format!("{} minus {}", report.model, comparison.against));
            let cell = |column: &Column| difference(comparison.of(column.task()));
            rows.push(std::iter::once(label).chain(columns.iter().map(cell)).collect());
        }
    }
    Supplement { title, headings: headings("Difference", &columns), numbers: columns.len(), rows }
}

fn difference(difference: Option<&Difference>) -> Cell {
    let Some(difference) = difference else { return Cell::from(missing_or(None)) };
    let interval = &difference.interval;
    let (low, high) = (interval.low, interval.high);
    let text =
        format!("{:+.2} ({low:+.2} to {high:+.2}, {})", interval.estimate, p_value(difference.p_value));
    Cell { text, bold: difference.is_significant() }
}

/// `p = 0.012`, or that it is below what three decimals show.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

fn subsets(reports: &[Report]) -> Option<Supplement> {
    let first = reports.first()?;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (set, task) in first.tasks.iter() {
        for (subset, part) in task.subsets.iter() {
            let score = |report: &Report| {
                let task = report.tasks.get(set)?;
                task.subsets.get(subset)?.spearman.map(|spearman| format!("{spearman:.2}"))
            };
            let labels = [set.to_owned(), subset.to_owned(), part.pairs.to_string()];
            let scores = reports.iter().map(|report| score(report).unwrap_or_else(|| "undefined".to_owned()));
            rows.push(labels.into_iter().chain(scores).map(Cell::from).collect());
        }
    }
    let labels = ["Set", "Subset", "Pairs"].map(str::to_owned).into_iter();
    let headings = labels.chain(reports.iter().map(|report| report.model.clone())).collect();
    (!rows.is_empty()).then(|| Supplement {
        title: "Subsets".to_owned(),
        headings,
        numbers: reports.len() + 1,
        rows,
    })
}

fn headings(first: &str, columns: &[Column]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(columns.iter().map(Column::heading)).collect()
}

fn missing_or(text: Option<String>) -> String {
    text.unwrap_or_else(|| "n/a".to_owned())
}
