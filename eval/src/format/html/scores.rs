//! The table of papers, and below it what each model scores more than those before it.

use maud::{Markup, html};

use super::models::{Models, range};
use super::{Section, printable, scrolling, signed};
use crate::Difference;
use crate::format::grid::{Grid, Score, columns};
use crate::format::supplement::p_value;

pub(super) fn section(models: &Models) -> Option<Section> {
    let grid = Grid::new(models.reports());
    Some(Section {
        id: "scores",
        title: "Scores",
        explanation: html! {
            "Spearman’s ρ × 100 on each set"
            @if models.len() > 1 { ", the best of each column in bold" }
            "; higher is better."
            @for note in &grid.notes { " " (printable(note)) }
        },
        content: html! { (scrolling("Scores", table(models, &grid))) (differences(models)) },
    })
}

fn table(models: &Models, grid: &Grid) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Model" } @for heading in &grid.headings { th.number scope="col" { (printable(heading)) } } } }
            tbody {
                @for (model, row) in models.iter().zip(&grid.rows) {
                    tr {
                        th scope="row" { (model.named()) }
                        @for cell in &row.cells {
                            td.number.best[cell.best].muted[!matches!(cell.score, Score::Points(_))] {
                                (cell.score.text("–").replacen('-', "−", 1))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Nothing for one model, or without a bootstrap.
fn differences(models: &Models) -> Markup {
    let Some(bootstrap) =
        models.reports().iter().find_map(|report| report.bootstrap).filter(|_| models.len() > 1)
    else {
        return html! {};
    };
    let columns = columns(models.reports());
    let table = html! {
        table.differences {
            thead {
                tr {
                    th scope="col" { "Difference" }
                    @for column in &columns { th.number scope="col" { (printable(&column.heading())) } }
                }
            }
            tbody {
                @for model in models.iter() {
                    @for comparison in &model.report.differences {
                        tr {
                            th scope="row" {
                                (model.named()) span.minus { " − " } bdi.name { (printable(&comparison.against)) }
                            }
                            @for column in &columns { (cell(comparison.of(column.task()))) }
                        }
                    }
                }
            }
        }
    };
    html! {
        h3 { "Differences" }
        p.explanation {
            "Points gained on the same pairs, and the " (super::plain(bootstrap.confidence * 100.0))
            " % interval of a paired bootstrap. What is in bold is significant: its interval leaves out zero. The \
             p-value, two-sided and not corrected for the number of comparisons, cannot be below "
            (super::plain((2.0 / (bootstrap.resamples as f64 + 1.0) * 1e6).ceil() / 1e6)) "."
        }
        (scrolling("Differences between models", table))
    }
}

fn cell(difference: Option<&Difference>) -> Markup {
    let Some(difference) = difference else { return html! { td.number.muted { "–" } } };
    html! {
        td.number {
            span.best[difference.is_significant()] { (signed(difference.interval.estimate, 2)) }
            span.below { (range(&difference.interval)) }
            span.below { (p_value(difference.p_value)) }
        }
    }
}
