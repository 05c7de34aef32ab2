//! The scores of the parts that data sets have.

use maud::{Markup, html};

use super::models::Models;
use super::{Section, number, printable, scrolling, set_label, signed};
use crate::axis::Axis;

pub(super) fn section(models: &Models) -> Option<Section> {
    let rows: Vec<Row> = models.sets().into_iter().flat_map(|name| rows(models, name)).collect();
    if rows.is_empty() {
        return None;
    }
    let axis = Axis::over(rows.iter().flat_map(|row| row.scores.iter().copied().flatten()), 4.0)?;
    Some(Section {
        id: "subsets",
        title: "Subsets",
        explanation: html! {
            "The same ρ × 100 over the pairs of one subset. A set’s own score is of all its pairs together, so it is \
             no mean of these."
        },
        content: scrolling("Scores of subsets", table(models, &rows, &axis)),
    })
}

struct Row<'r> {
    set: &'r str,
    subset: &'r str,
    first_of_set: bool,
    pairs: usize,
    /// Of each model.
    scores: Vec<Option<f64>>,
}

fn rows<'r>(models: &Models<'r>, set: &'r str) -> Vec<Row<'r>> {
    let Some(task) = models.reports().iter().find_map(|report| report.tasks.get(set)) else {
        return Vec::new();
    };
    let score = |report: &crate::Report, subset: &str| report.tasks.get(set)?.subsets.get(subset)?.spearman;
    let subsets = task.subsets.iter().enumerate().map(|(index, (subset, part))| Row {
        set,
        subset,
        first_of_set: index == 0,
        pairs: part.pairs,
        scores: models.reports().iter().map(|report| score(report, subset)).collect(),
    });
    subsets.collect()
}

fn table(models: &Models, rows: &[Row], axis: &Axis) -> Markup {
    let last = models.len() - 1;
    html! {
        table.subsets {
            thead {
                tr {
                    th scope="col" { "Set" }
                    th scope="col" { "Subset" }
                    th.number scope="col" { "Pairs" }
                    @for model in models.iter() { th.number scope="col" { (model.named()) } }
                    @if models.len() == 2 { th.number scope="col" { "Difference" } }
                    th.strip scope="col" {
                        span.strip-ends { span { (axis.label(axis.low)) } span { (axis.label(axis.high)) } }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr.first[row.first_of_set] {
                        th scope="row" { @if row.first_of_set { (set_label(row.set)) } }
                        td { bdi { (printable(row.subset)) } }
                        td.number.muted { (row.pairs) }
                        @for score in &row.scores {
                            td.number { (score.map_or("undefined".to_owned(), |score| number(score, 2))) }
                        }
                        @if models.len() == 2 {
                            td.number {
                                @if let (Some(first), Some(second)) = (row.scores[0], row.scores[last]) { (signed(second - first, 2)) }
                            }
                        }
                        td.strip { (strip(models, row, axis)) }
                    }
                }
            }
        }
    }
}

/// The models' marks on a line, from worst to best.
fn strip(models: &Models, row: &Row, axis: &Axis) -> Markup {
    let known = || row.scores.iter().copied().flatten();
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    html! {
        svg.wide height="18" aria-hidden="true" {
            line.grid x1="0" x2="100%" y1="9" y2="9" {}
            @if low < high { line.between x1=(axis.percent(low)) x2=(axis.percent(high)) y1="9" y2="9" {} }
            @for (model, score) in models.iter().zip(&row.scores) {
                @if let Some(score) = score { g.(model.class()) { (model.mark_at(&axis.percent(*score), 9.0)) } }
            }
        }
    }
}
