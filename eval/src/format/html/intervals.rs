//! Dots and whiskers: each score with its interval, the models of a set below one another.

use maud::{Markup, html};

use super::models::{Model, Models, range};
use super::{Section, number, set_label};
use crate::Interval;
use crate::axis::{Axis, plain};

/// Height of a model's line in a set.
const LINE: f64 = 18.0;

pub(super) fn section(models: &Models) -> Option<Section> {
    let bootstrap = models.reports().iter().find_map(|report| report.bootstrap)?;
    let intervals = models.reports().iter().flat_map(|report| {
        report.tasks.iter().filter_map(|(_, task)| task.interval.as_ref()).chain(&report.average_interval)
    });
    let axis = Axis::over(intervals.flat_map(|interval| [interval.low, interval.high]), 6.0)?;
    let sets = models.sets();
    let of_set = |name: &str| -> Vec<(Model, Option<Interval>)> {
        models
            .iter()
            .map(|model| (model, model.report.tasks.get(name).and_then(|task| task.interval)))
            .collect()
    };
    let average: Vec<_> = models.iter().map(|model| (model, model.report.average_interval)).collect();
    Some(Section {
        id: "intervals",
        title: "How sure",
        explanation: html! {
            "A dot is the score, its whiskers the " (plain(bootstrap.confidence * 100.0)) " % interval: how far it \
             would move with other pairs of the same kind. Whiskers that overlap may still hide a significant \
             difference, since both models see the same pairs; the table above tests for one."
        },
        content: html! {
            figure.intervals {
                @if models.len() > 1 { (models.legend()) }
                div.interval-rows {
                    @for name in &sets { (row(&set_label(name), &of_set(name), &axis, false)) }
                    @if sets.len() > 1 { (row("Avg.", &average, &axis, true)) }
                    (ticks(&axis))
                }
            }
        },
    })
}

fn row(label: &str, intervals: &[(Model, Option<Interval>)], axis: &Axis, average: bool) -> Markup {
    let height = LINE * intervals.len() as f64 + 8.0;
    let said = intervals.iter().map(|(model, interval)| match interval {
        Some(interval) => format!("{}: {}, {}", model.name(), number(interval.estimate, 2), range(interval)),
        None => format!("{}: undefined", model.name()),
    });
    let said = format!("{label}. {}", said.collect::<Vec<_>>().join("; "));
    html! {
        div.interval-label.average[average] { (label) }
        div.interval-line.average[average] {
            svg.wide height=(height) role="img" aria-label=(said) {
                @for &tick in &axis.ticks {
                    line.grid x1=(axis.percent(tick)) x2=(axis.percent(tick)) y1="0" y2=(height) {}
                }
                @for (place, (model, interval)) in intervals.iter().enumerate() {
                    @if let Some(interval) = interval { (whisker(model, interval, axis, LINE * (place as f64 + 0.5) + 4.0)) }
                }
            }
        }
    }
}

fn whisker(model: &Model, interval: &Interval, axis: &Axis, y: f64) -> Markup {
    let (low, high) = (axis.percent(interval.low), axis.percent(interval.high));
    html! {
        g.(model.class()) {
            title { (model.name()) ": " (number(interval.estimate, 2)) ", " (range(interval)) }
            line.whisker x1=(low) x2=(high) y1=(y) y2=(y) {}
            @for end in [&low, &high] { line.whisker x1=(end) x2=(end) y1=(y - 3.5) y2=(y + 3.5) {} }
            (model.mark_at(&axis.percent(interval.estimate), y))
        }
    }
}

fn ticks(axis: &Axis) -> Markup {
    html! {
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
