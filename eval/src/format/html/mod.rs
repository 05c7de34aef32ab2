//! A page to look at: one file that asks nothing of the network and runs no script, legible in light, in dark and on
//! paper.
//!
//! Texts of data and names of models are untrusted. All markup goes through maud, which escapes every value, and the
//! page's policy forbids scripts and requests besides.

mod geometry;
mod intervals;
mod models;
mod pairs;
mod scatter;
mod scores;
mod subsets;
mod training;

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::models::Models;
use super::Format;
use crate::Report;
use crate::axis::{number, plain};

const STYLE: &str = include_str!("style.css");

/// Nothing may be loaded but the icon, which is empty, and nothing may run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A section for each thing that the reports hold: without details or intervals, there is the table of scores alone.
#[derive(Debug, Clone, Copy)]
pub struct Html;

impl Format for Html {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()> {
        let models = Models::new(reports);
        let sections: Vec<Section> = [
            scores::section(&models),
            intervals::section(&models),
            scatter::section(&models),
            subsets::section(&models),
            geometry::section(&models),
            training::section(&models),
            pairs::section(&models),
        ]
        .into_iter()
        .flatten()
        .collect();
        output.write_all(page(&models, &sections).into_string().as_bytes())
    }
}

/// A part of the page: what it shows, and in a sentence or two how to read it.
struct Section {
    id: &'static str,
    title: &'static str,
    explanation: Markup,
    content: Markup,
}

fn page(models: &Models, sections: &[Section]) -> Markup {
    let main = html! {
        (head(models, sections))
        @for section in sections {
            section id=(section.id) {
                h2 { (section.title) }
                p.explanation { (section.explanation) }
                (section.content)
            }
        }
        (foot(models))
    };
    document(&format!("Sentence similarity: {}", models.title()), main)
}

/// A page that asks nothing of the network and runs no script.
pub(crate) fn document(title: &str, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("sts-eval ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (main)
                }
            }
        }
    }
}

fn head(models: &Models, sections: &[Section]) -> Markup {
    html! {
        header {
            p.kicker { "Semantic textual similarity" }
            h1 { (models.title()) }
            ul.cards { @for model in models.iter() { li { (model.card()) } } }
            nav aria-label="Sections" {
                ul { @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } } }
            }
        }
    }
}

fn foot(models: &Models) -> Markup {
    let reports = models.reports();
    let sick = reports.iter().any(|report| report.tasks.get("SICKR").is_some());
    html! {
        footer {
            p {
                "Scores are Spearman’s rank correlation × 100 between people’s scores and the cosines of sentence \
                 embeddings, a data set’s subsets scored together. "
                @if let Some(report) = reports.first().filter(|_| sick) {
                    "SICK-R’s pairs are those of the convention " code { (report.convention) } ". "
                }
                @if let Some(bootstrap) = reports.first().and_then(|report| report.bootstrap) {
                    "Intervals cover " (plain(bootstrap.confidence * 100.0)) " % of " (bootstrap.resamples)
                    " resamples of the pairs, seed " (bootstrap.seed) ": the same data and models give the same page, \
                     to the byte. "
                }
                "Written by sts-eval " (env!("CARGO_PKG_VERSION")) "."
            }
        }
    }
}

/// A difference always has its sign.
pub(crate) fn signed(value: f64, decimals: usize) -> String {
    let text = number(value, decimals);
    if text.starts_with('−') || text.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        text
    } else {
        format!("+{text}")
    }
}

/// Control characters have no place in HTML, and are no reason to drop a sentence.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// The name of a set in headings: papers write STS-B where keys have STSB.
pub(crate) fn set_label(name: &str) -> String {
    crate::Benchmark::from_key(name).map_or_else(|| printable(name), |benchmark| benchmark.label().to_owned())
}

/// Something wide, which scrolls by itself on a narrow screen, with the keyboard too.
pub(crate) fn scrolling(label: &str, content: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (content) } }
}
