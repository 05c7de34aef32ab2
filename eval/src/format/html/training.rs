//! How training went, where a model's folder records it: a drawing for each thing that was measured, a line for each model.

use maud::{Markup, html};

use super::models::{Model, Models};
use super::{Section, printable};
use crate::Curve;
use crate::axis::Axis;

const HEIGHT: f64 = 180.0;
/// Points below which a curve shows them.
const FEW: usize = 24;

pub(super) fn section(models: &Models) -> Option<Section> {
    let mut names: Vec<&str> = Vec::new();
    for curve in models.reports().iter().flat_map(|report| &report.training) {
        if !names.contains(&curve.name.as_str()) {
            names.push(&curve.name);
        }
    }
    let figures: Vec<Markup> = names.into_iter().filter_map(|name| figure(models, name)).collect();
    (!figures.is_empty()).then(|| Section {
        id: "training",
        title: "Training",
        explanation: html! {
            "What " code { "metrics.jsonl" } " in a model’s folder records of its training, by step: the loss, what a \
             perturbation of the weights adds to it where there was one, and the scores taken on the way. Long runs \
             are drawn as means over neighbouring steps."
        },
        content: html! { div.curves { @for figure in &figures { (figure) } } },
    })
}

fn figure(models: &Models, name: &str) -> Option<Markup> {
    let curves: Vec<(Model, &Curve)> = models
        .iter()
        .flat_map(|model| {
            model.report.training.iter().filter(|curve| curve.name == name).map(move |curve| (model, curve))
        })
        .collect();
    let points = || curves.iter().flat_map(|(_, curve)| &curve.points);
    let across = Axis::over(points().map(|point| point.0), 5.0)?;
    let upward = Axis::over(points().map(|point| point.1), 4.0)?;
    let percent_up = |value: f64| format!("{:.2}%", (1.0 - upward.share(value)) * 100.0);
    Some(html! {
        figure {
            figcaption { (printable(name)) }
            div.curve {
                div.curve-labels aria-hidden="true" {
                    @for &tick in &upward.ticks { span style={ "top:" (percent_up(tick)) } { (upward.label(tick)) } }
                }
                svg.wide height=(HEIGHT) role="img" aria-label={ (printable(name)) " by step" } {
                    @for &tick in &upward.ticks { line.grid x1="0" x2="100%" y1=(percent_up(tick)) y2=(percent_up(tick)) {} }
                    // Lines stretch with the page; their width does not.
                    svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" {
                        @for (model, curve) in &curves {
                            g.(model.class()) { path.curve-line d=(path(curve, &across, &upward)) {} }
                        }
                    }
                    @for (model, curve) in curves.iter().filter(|(_, curve)| curve.points.len() <= FEW) {
                        g.(model.class()) {
                            @for point in &curve.points {
                                svg.point x=(across.percent(point.0)) y=(percent_up(point.1)) { path d=(model.shape()) {} }
                            }
                        }
                    }
                }
                div.curve-steps aria-hidden="true" {
                    @for &tick in &across.ticks { span style={ "left:" (across.percent(tick)) } { (across.label(tick)) } }
                }
            }
            @if models.len() > 1 { ul.legend { @for (model, _) in &curves { li { (model.named()) } } } }
        }
    })
}

fn path(curve: &Curve, across: &Axis, upward: &Axis) -> String {
    let point = |&(step, value): &(f64, f64)| {
        format!("{:.0} {:.0}", across.share(step) * 1000.0, (1.0 - upward.share(value)) * 1000.0)
    };
    format!("M{}", curve.points.iter().map(point).collect::<Vec<_>>().join("L"))
}
