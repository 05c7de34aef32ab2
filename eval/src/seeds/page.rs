//! A table of rows over seeds as a page, in the manner of the evaluator's report: it asks nothing of the network and runs
//! no script, and every name goes through maud's escaping.

use std::io::{self, Write};

use maud::{Markup, html};

use super::wording::{explanations, heading, spread, tested_text, with_settings};
use super::{AVERAGE, RowSummary, SeedTable, TestedDifference};
use crate::axis::{Axis, number};
use crate::format::html::{document, printable, scrolling};

const TITLE: &str = "Ways of training over seeds";

/// Height of a row in the drawing.
const LINE: f64 = 22.0;

/// Colours of the style sheet.
const COLOURS: usize = 6;

pub(super) fn write(table: &SeedTable, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(page(table).into_string().as_bytes())
}

fn page(table: &SeedTable) -> Markup {
    let main = html! {
        header { p.kicker { "Semantic textual similarity" } h1 { (TITLE) } }
        (section("scores", "Scores", scores(table)))
        @if table.rows.iter().any(|row| row.difference.is_some()) {
            (section("differences", "Differences", differences(table)))
        }
        (section("runs", "Every run", runs(table)))
        @if !with_settings(table).is_empty() { (section("settings", "Settings", settings(table))) }
        footer { p { @for sentence in explanations(table) { (printable(&sentence)) " " } } }
    };
    document(TITLE, main)
}

fn section(id: &str, title: &str, content: Markup) -> Markup {
    html! { section id=(id) { h2 { (title) } (content) } }
}

fn headings(table: &SeedTable, first: &str) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { (first) }
                @for column in table.columns() { th.number scope="col" { (heading(column)) } }
            }
        }
    }
}

fn scores(table: &SeedTable) -> Markup {
    let row = |row: &RowSummary| {
        html! {
            tr {
                th scope="row" { bdi.name { (printable(&row.name)) } }
                @for column in table.columns() {
                    td.number { (row.scores.get(column).map_or_else(|| "n/a".to_owned(), spread)) }
                }
            }
        }
    };
    let rows = html! { table { (headings(table, "Row")) tbody { @for own in &table.rows { (row(own)) } } } };
    scrolling("Scores", rows)
}

fn differences(table: &SeedTable) -> Markup {
    let cell = |tested: Option<TestedDifference>| {
        let significant = tested.is_some_and(|tested| tested.is_significant(&table.bootstrap));
        html! {
            td.number {
                span.best[significant] { (tested.map_or_else(|| "n/a".to_owned(), tested_text)) }
            }
        }
    };
    let rows = table.rows.iter().filter_map(|row| Some((row, row.difference.as_ref()?)));
    let content = html! {
        table.differences {
            (headings(table, "Difference"))
            tbody {
                @for (row, difference) in rows {
                    tr {
                        th scope="row" {
                            bdi.name { (printable(&row.name)) } " minus " bdi.name { (printable(&difference.against)) }
                        }
                        @for column in table.columns() { (cell(difference.scores.get(column).copied().flatten())) }
                    }
                }
            }
        }
    };
    html! {
        p.explanation { "In bold where the corrected p-value is below " (number(1.0 - table.bootstrap.confidence, 2)) "." }
        (scrolling("Differences", content))
    }
}

/// A point for each run and a line at each row's mean, on the last column.
fn runs(table: &SeedTable) -> Markup {
    let Some(column) = table.columns().last().copied().or(Some(AVERAGE)) else { return html! {} };
    let of = |row: &RowSummary| -> Vec<f64> {
        row.scores.get(column).map(|own| own.runs.iter().flatten().copied().collect()).unwrap_or_default()
    };
    let Some(axis) = Axis::over(table.rows.iter().flat_map(of), 6.0) else { return html! {} };
    html! {
        p.explanation { "A dot is a run, the line its row’s mean. " (heading(column)) ", Spearman’s ρ × 100." }
        figure.intervals {
            div.interval-rows {
                @for (place, row) in table.rows.iter().enumerate() { (strip(place, row, column, &of(row), &axis)) }
                div.interval-label {}
                div.interval-line {
                    svg.wide height="20" aria-hidden="true" {
                        @for &tick in &axis.ticks {
                            text x=(axis.percent(tick)) y="14" text-anchor="middle" { (axis.label(tick)) }
                        }
                    }
                }
            }
        }
    }
}

fn strip(place: usize, row: &RowSummary, column: &str, runs: &[f64], axis: &Axis) -> Markup {
    let said: Vec<String> = runs.iter().map(|&run| number(run, 2)).collect();
    let mean = row.scores.get(column).and_then(|own| own.mean);
    let colour = format!("m{}", place % COLOURS);
    html! {
        div.interval-label { bdi.name { (printable(&row.name)) } }
        div.interval-line {
            svg.wide.(colour) height=(LINE) role="img" aria-label={ (printable(&row.name)) ": " (said.join(", ")) } {
                @for &tick in &axis.ticks {
                    line.grid x1=(axis.percent(tick)) x2=(axis.percent(tick)) y1="0" y2=(LINE) {}
                }
                @if let Some(mean) = mean {
                    line.whisker x1=(axis.percent(mean)) x2=(axis.percent(mean)) y1="3" y2=(LINE - 3.0) {}
                }
                @for (&run, seed) in runs.iter().zip(&row.seeds) {
                    svg.point x=(axis.percent(run)) y=(LINE / 2.0) {
                        path d="M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z" { title { "seed " (seed) ": " (number(run, 2)) } }
                    }
                }
            }
        }
    }
}

fn settings(table: &SeedTable) -> Markup {
    let rows = html! {
        table {
            tbody {
                @for row in with_settings(table) {
                    tr {
                        th scope="row" { bdi.name { (printable(&row.name)) } }
                        td { (printable(&row.settings)) }
                    }
                }
            }
        }
    };
    scrolling("Settings", rows)
}
