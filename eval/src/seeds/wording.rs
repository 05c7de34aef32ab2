//! What tables and pages of rows over seeds say in words.

use super::{AVERAGE, RowSummary, SeedTable, Spread, TestedDifference};
use crate::format::{html::set_label, supplement::p_value};

/// The heading of a column.
pub(super) fn heading(column: &str) -> String {
    if column == AVERAGE { "Avg.".to_owned() } else { set_label(column) }
}

pub(super) fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}

/// `71.49 ± 0.31`
pub(super) fn spread(spread: &Spread) -> String {
    match (spread.mean, spread.deviation) {
        (Some(mean), Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
        (Some(mean), None) => two_decimals(mean),
        (None, _) => "undefined".to_owned(),
    }
}

/// `+0.47 (+0.12 to +0.80, p = 0.021)`
pub(super) fn tested_text(tested: TestedDifference) -> String {
    let interval = tested.interval();
    format!(
        "{:+.2} ({:+.2} to {:+.2}, {})",
        interval.estimate,
        interval.low,
        interval.high,
        p_value(tested.p_holm)
    )
}

/// What the numbers are, in sentences.
pub(super) fn explanations(table: &SeedTable) -> Vec<String> {
    let percent = (table.bootstrap.confidence * 1e8).round() / 1e6;
    let over = if table.averaged.len() > 1 {
        let sets: Vec<String> = table.averaged.iter().map(|name| set_label(name)).collect();
        format!(" Avg. is over {}.", sets.join(", "))
    } else {
        String::new()
    };
    let mut sentences =
        vec![format!("Spearman’s ρ × 100: mean ± standard deviation over runs with different seeds.{over}")];
    if table.rows.iter().any(|row| row.difference.is_some()) {
        sentences.push(format!(
            "Differences are those of runs with the same seed; {percent} % intervals and p-values count seeds and \
             sentence pairs ({} resamples of both, seed {}), and p-values are corrected for the number of rows (Holm).",
            table.bootstrap.resamples, table.bootstrap.seed
        ));
    }
    sentences.extend(table.notes.iter().cloned());
    sentences
}

/// Rows with what they were trained with, where that says anything.
pub(super) fn with_settings(table: &SeedTable) -> Vec<&RowSummary> {
    table.rows.iter().filter(|row| !row.settings.is_empty()).collect()
}
