//! Tables and JSON of what was measured without labels.

use std::io::{self, Write};

use super::{Unlabeled, UnlabeledReport};
use crate::format::{one_line, write_aligned};

/// The forms in which [`UnlabeledReport`]s are written, a row a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlabeledForm {
    /// Aligned columns for a terminal.
    Table,
    /// A markdown table, for a README.
    Markdown,
    /// An object for one report, an array of them for several.
    Json,
}

type Number = fn(&Unlabeled) -> Option<f64>;

/// Heading, number, decimals.
const COLUMNS: [(&str, Number, usize); 7] = [
    ("recall@1", |u| u.recall_at_1, 4),
    ("MRR", |u| u.mrr, 4),
    ("mean rank", |u| u.mean_rank, 2),
    ("alignment", |u| u.alignment, 4),
    ("uniformity", |u| u.uniformity, 4),
    ("mean cosine", |u| u.mean_cosine, 4),
    ("eff. dimension", |u| u.effective_dimension, 2),
];

/// Which way is better, in a line.
const LEGEND: &str = "Better: recall@1, MRR and effective dimension higher; rank, alignment, uniformity and mean cosine lower.";

impl UnlabeledForm {
    /// Writes the reports in their order.
    ///
    /// # Errors
    /// Those of `output`.
    pub fn write(self, reports: &[UnlabeledReport], output: &mut dyn Write) -> io::Result<()> {
        match self {
            UnlabeledForm::Table => table(reports, output),
            UnlabeledForm::Markdown => markdown(reports, output),
            UnlabeledForm::Json => {
                match reports {
                    [report] => serde_json::to_writer_pretty(&mut *output, report)?,
                    several => serde_json::to_writer_pretty(&mut *output, several)?,
                }
                writeln!(output)
            }
        }
    }
}

fn rows(reports: &[UnlabeledReport]) -> Vec<Vec<String>> {
    let heading = std::iter::once("Model").chain(COLUMNS.map(|(heading, ..)| heading));
    let mut rows = vec![heading.map(str::to_owned).collect::<Vec<_>>()];
    for report in reports {
        let mut row = vec![one_line(&report.model)];
        row.extend(COLUMNS.map(|(_, number, decimals)| {
            number(&report.unlabeled).map_or("-".to_owned(), |value| format!("{value:.decimals$}"))
        }));
        rows.push(row);
    }
    rows
}

fn table(reports: &[UnlabeledReport], output: &mut dyn Write) -> io::Result<()> {
    write_aligned(&rows(reports), output)?;
    writeln!(output, "{}", sizes(reports))?;
    writeln!(output, "{LEGEND}")
}

fn markdown(reports: &[UnlabeledReport], output: &mut dyn Write) -> io::Result<()> {
    for (number, row) in rows(reports).iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(output, "| {} |", cells.join(" | "))?;
        if number == 0 {
            writeln!(output, "|---|{}", "---:|".repeat(row.len() - 1))?;
        }
    }
    writeln!(output, "\n{} {LEGEND}", sizes(reports))
}

fn sizes(reports: &[UnlabeledReport]) -> String {
    let Some(UnlabeledReport { unlabeled, .. }) = reports.first() else { return String::new() };
    format!("{} views, each to find its own sentence among {}.", unlabeled.views, unlabeled.sentences)
}
