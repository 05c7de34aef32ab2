//! Alignment and uniformity, as numbers and as a plane.

use maud::{Markup, html};

use super::models::{Model, Models};
use super::{Section, number, scrolling, set_label};
use crate::TaskDetails;
use crate::axis::Axis;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 280.0;
/// Left, right, top, bottom.
const AREA: (f64, f64, f64, f64) = (48.0, 350.0, 10.0, 236.0);

pub(super) fn section(models: &Models) -> Option<Section> {
    let sets = models.sets();
    let known = sets.iter().any(|set| models.iter().any(|model| details(&model, set).is_some()));
    known.then(|| Section {
        id: "geometry",
        title: "Alignment and uniformity",
        explanation: html! {
            "How embeddings lie on the sphere (Wang and Isola, 2020); both are better when lower. " b { "Alignment" }
            " is the mean squared distance of pairs that people call similar: those scored above 4 of 5, as in SimCSE \
             (on another scale, above four fifths of the set’s highest score). " b { "Uniformity" } " is ln of the \
             mean of exp(−2 d²) over all pairs of distinct sentences: near 0 all embeddings are in one place, near −4 \
             they are spread evenly. Training should lower the second without raising the first much."
        },
        content: html! {
            div.beside {
                (scrolling("Alignment and uniformity", table(models, &sets)))
                figure { (plane(models, &sets)) }
            }
        },
    })
}

fn details<'r>(model: &Model<'r>, set: &str) -> Option<&'r TaskDetails> {
    model.report.tasks.get(set).and_then(|task| task.details.as_ref())
}

fn table(models: &Models, sets: &[&str]) -> Markup {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| number(value, 3));
    html! {
        table {
            thead {
                tr {
                    th {}
                    th.group colspan=(models.len()) scope="colgroup" { "Alignment" }
                    th.group colspan=(models.len()) scope="colgroup" { "Uniformity" }
                }
                tr {
                    th scope="col" { "Set" }
                    @for _ in 0..2 { @for model in models.iter() { th.number scope="col" { (model.named()) } } }
                }
            }
            tbody {
                @for set in sets {
                    tr {
                        th scope="row" { (set_label(set)) }
                        @for model in models.iter() { td.number { (shown(details(&model, set).and_then(|d| d.alignment))) } }
                        @for model in models.iter() { td.number { (shown(details(&model, set).and_then(|d| d.uniformity))) } }
                    }
                }
                @if sets.len() > 1 {
                    tr.total {
                        th scope="row" { "Mean" }
                        @for model in models.iter() { td.number { (shown(model.report.mean_of(|d| d.alignment))) } }
                        @for model in models.iter() { td.number { (shown(model.report.mean_of(|d| d.uniformity))) } }
                    }
                }
            }
        }
    }
}

/// Each set a small mark and their mean a large one, uniformity to the right, alignment upward: lower left is better.
fn plane(models: &Models, sets: &[&str]) -> Markup {
    let place = |details: &TaskDetails| details.uniformity.zip(details.alignment);
    let points: Vec<(Model, &str, (f64, f64))> = models
        .iter()
        .flat_map(|model| {
            sets.iter().filter_map(move |set| Some((model, *set, place(details(&model, set)?)?)))
        })
        .collect();
    let across = Axis::over(points.iter().map(|(_, _, point)| point.0), 5.0);
    let upward = Axis::over(points.iter().map(|(_, _, point)| point.1), 5.0);
    let (Some(across), Some(upward)) = (across, upward) else { return html! {} };
    let x = |value: f64| AREA.0 + across.share(value) * (AREA.1 - AREA.0);
    let y = |value: f64| AREA.3 - upward.share(value) * (AREA.3 - AREA.2);
    let mark = |model: &Model, (uniformity, alignment): (f64, f64), scale: f64| {
        let (x, y) = (x(uniformity), y(alignment));
        html! { path d=(model.shape()) transform={ "translate(" (format!("{x:.1} {y:.1}")) ") scale(" (scale) ")" } {} }
    };
    html! {
        svg.plane viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Uniformity against alignment" {
            @for &tick in &across.ticks {
                line.grid x1=(x(tick)) x2=(x(tick)) y1=(AREA.2) y2=(AREA.3) {}
                text x=(x(tick)) y=(AREA.3 + 16.0) text-anchor="middle" { (across.label(tick)) }
            }
            @for &tick in &upward.ticks {
                line.grid x1=(AREA.0) x2=(AREA.1) y1=(y(tick)) y2=(y(tick)) {}
                text x=(AREA.0 - 8.0) y=(y(tick) + 4.0) text-anchor="end" { (upward.label(tick)) }
            }
            @for (model, set, point) in &points {
                g.faint.(model.class()) { title { (model.name()) ", " (set_label(set)) } (mark(model, *point, 0.7)) }
            }
            @for model in models.iter() {
                @let mean = model.report.mean_of(|d| d.uniformity).zip(model.report.mean_of(|d| d.alignment));
                @if let Some(mean) = mean.filter(|_| sets.len() > 1) {
                    g.mean.(model.class()) { title { (model.name()) ", mean" } (mark(&model, mean, 1.5)) }
                }
            }
            text.axis-name x=((AREA.0 + AREA.1) / 2.0) y=(HEIGHT - 6.0) text-anchor="middle" { "uniformity (lower is more spread)" }
            text.axis-name transform={ "translate(12 " ((AREA.2 + AREA.3) / 2.0) ") rotate(-90)" } text-anchor="middle" { "alignment (lower is closer)" }
        }
        figcaption { "Lower left is better. " @if sets.len() > 1 { "Small marks are sets, large ones their means." } }
    }
}
