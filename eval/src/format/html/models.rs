//! The models of a page: each has a colour and a shape, so that neither alone has to distinguish them.

use maud::{Markup, html};

use super::{number, printable, signed};
use crate::{Interval, Report};

/// Colours of the style sheet, `--model-0` and so on.
const COLOURS: usize = 6;

/// Shapes around (0, 0), about 10 wide: circle, square, triangle, diamond, cross. Their number and that of colours
/// have no common divisor, so that thirty models differ.
const SHAPES: [&str; 5] = [
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "M-4.5-4.5h9v9h-9z",
    "M0-5.8L5.4 4H-5.4z",
    "M0-6L6 0 0 6-6 0z",
    "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
];

pub(super) struct Models<'r> {
    reports: &'r [Report],
}

#[derive(Clone, Copy)]
pub(super) struct Model<'r> {
    pub index: usize,
    pub report: &'r Report,
    pub first: &'r Report,
}

impl<'r> Models<'r> {
    pub fn new(reports: &'r [Report]) -> Self {
        Self { reports }
    }

    pub fn reports(&self) -> &'r [Report] {
        self.reports
    }

    pub fn iter(&self) -> impl Iterator<Item = Model<'r>> + use<'r> {
        let reports = self.reports;
        reports.iter().enumerate().map(|(index, report)| Model { index, report, first: &reports[0] })
    }

    pub fn len(&self) -> usize {
        self.reports.len()
    }

    pub fn title(&self) -> String {
        match self.reports {
            [] => "no model".to_owned(),
            [report] => printable(&report.model),
            [first, second] => format!("{} and {}", printable(&first.model), printable(&second.model)),
            [first, rest @ ..] => format!("{} and {} others", printable(&first.model), rest.len()),
        }
    }

    /// Names of all sets, those of the seven in their order, then others in order of appearance.
    pub fn sets(&self) -> Vec<&'r str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.reports.iter().flat_map(|report| report.tasks.keys().map(String::as_str)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Which mark is whose.
    pub fn legend(&self) -> Markup {
        html! { ul.legend { @for model in self.iter() { li { (model.named()) } } } }
    }
}

impl Model<'_> {
    /// The class that sets `--model` to the model's colour.
    pub fn class(&self) -> String {
        format!("m{}", self.index % COLOURS)
    }

    pub fn shape(&self) -> &'static str {
        SHAPES[self.index % SHAPES.len()]
    }

    pub fn name(&self) -> String {
        printable(&self.report.model)
    }

    /// Its mark in running text.
    pub fn mark(&self) -> Markup {
        html! {
            svg.mark.(self.class()) viewBox="-7 -7 14 14" aria-hidden="true" { path d=(self.shape()) {} }
        }
    }

    pub fn named(&self) -> Markup {
        html! { (self.mark()) bdi.name { (self.name()) } }
    }

    /// Its mark in a drawing whose width is 100 %.
    pub fn mark_at(&self, x: &str, y: f64) -> Markup {
        html! { svg.point x=(x) y=(y) { path d=(self.shape()) {} } }
    }

    /// What a reader looks for first: the average, how sure it is, and what it gained.
    pub fn card(&self) -> Markup {
        let report = self.report;
        let over = if report.is_complete() { "average of seven sets" } else { "average" };
        let difference = (self.index > 0).then(|| report.average.zip(self.first.average)).flatten();
        html! {
            p.card-name { (self.named()) }
            p.card-score { (report.average.map_or("undefined".to_owned(), |average| number(average, 2))) }
            p.card-note {
                (over)
                @if let Some(interval) = &report.average_interval { ", " (range(interval)) }
                @if let Some((own, first)) = difference {
                    br;
                    (signed(own - first, 2)) " against " bdi.name { (printable(&self.first.model)) }
                }
            }
        }
    }
}

/// An interval's ends.
pub(super) fn range(interval: &Interval) -> String {
    format!("{} to {}", number(interval.low, 2), number(interval.high, 2))
}
