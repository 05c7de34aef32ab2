//! Gold score against cosine: for each set and model a histogram in two dimensions.

use std::fmt::Write;

use maud::{Markup, html};

use super::models::{Model, Models};
use super::{Section, number, set_label};
use crate::axis::Axis;
use crate::details::Density;

/// The drawing and the drawn area in it: left, right, top, bottom.
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 190.0;
const AREA: (f64, f64, f64, f64) = (36.0, 244.0, 8.0, 156.0);

/// Shades, from few pairs to many.
const SHADES: usize = 6;

pub(super) fn section(models: &Models) -> Option<Section> {
    let sets: Vec<Markup> = models.sets().into_iter().filter_map(|name| set(models, name)).collect();
    if sets.is_empty() {
        return None;
    }
    Some(Section {
        id: "scatter",
        title: "Gold score against cosine",
        explanation: html! {
            "Where a set’s pairs lie: people’s score to the right, the model’s cosine upward. The fuller the colour, \
             the more pairs; shades are even steps of the count’s logarithm. The line is the median cosine: the \
             straighter it rises and the narrower the cloud around it, the better. A cloud high up at all scores is a \
             model that finds everything similar."
        },
        content: html! { div.sets style={ "--panels:" (models.len().min(3)) } { @for set in &sets { (set) } } },
    })
}

fn set(models: &Models, name: &str) -> Option<Markup> {
    let density_of = |model: &Model| {
        model
            .report
            .tasks
            .get(name)
            .and_then(|task| task.details.as_ref())
            .map(|details| details.density.clone())
    };
    let densities: Vec<(Model, Density)> =
        models.iter().filter_map(|model| density_of(&model).map(|density| (model, density))).collect();
    // The same axis for all models of a set, or their clouds would not compare.
    let rows = densities.iter().flat_map(|(_, density)| density.cells().map(|(_, row, _)| row));
    let ends: Vec<f64> = rows.flat_map(|row| [Density::cosine(row), Density::cosine(row + 1)]).collect();
    let cosine = Axis::over(ends.iter().copied(), 4.0)?.tight(ends.iter().copied());
    Some(html! {
        figure.set {
            figcaption { (set_label(name)) }
            div.panels {
                @for (model, density) in &densities {
                    div.panel.(model.class()) {
                        p.panel-name { (model.named()) span.score { (score(model, name)) } }
                        (panel(model, name, density, &cosine))
                    }
                }
            }
        }
    })
}

fn score(model: &Model, name: &str) -> String {
    let spearman = model.report.tasks.get(name).and_then(|task| task.spearman);
    spearman.map_or_else(|| "undefined".to_owned(), |spearman| format!("ρ {}", number(spearman, 2)))
}

fn panel(model: &Model, name: &str, density: &Density, cosine: &Axis) -> Markup {
    let gold_ends = [density.gold.value(0), density.gold.value(density.columns - 1)];
    let Some(gold) = Axis::over(gold_ends.into_iter(), 5.0) else { return html! {} };
    // Half a column's room, since columns are centred on their scores.
    let room = density.gold.step / 2.0;
    let (low, high) = (gold_ends[0] - room, gold_ends[1] + room);
    let place = Place { gold: (low, high), cosine: (cosine.low, cosine.high) };
    let (left, right, top, bottom) = AREA;
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (set_label(name)) ", " (model.name()) ": gold score against cosine" } {
            @for &tick in &cosine.ticks {
                line.grid x1=(left) x2=(right) y1=(short(place.y(tick))) y2=(short(place.y(tick))) {}
                text x=(left - 6.0) y=(short(place.y(tick) + 4.0)) text-anchor="end" { (cosine.label(tick)) }
            }
            @for &tick in gold.ticks.iter().filter(|tick| (low..=high).contains(tick)) {
                line.grid x1=(short(place.x(tick))) x2=(short(place.x(tick))) y1=(top) y2=(bottom) {}
                text x=(short(place.x(tick))) y=(bottom + 15.0) text-anchor="middle" { (gold.label(tick)) }
            }
            @for (shade, path) in shades(density, &place).iter().enumerate() {
                @if !path.is_empty() { path.cell.{ "s" (shade) } d=(path) {} }
            }
            @let line = median_line(density, &place);
            @if !line.is_empty() { path.median-edge d=(line) {} path.median d=(line) {} }
            text.axis-name x=((left + right) / 2.0) y=(HEIGHT - 3.0) text-anchor="middle" { "gold score" }
            text.axis-name transform={ "translate(9 " ((top + bottom) / 2.0) ") rotate(-90)" } text-anchor="middle" { "cosine" }
        }
    }
}

/// From scores to the drawing's units.
struct Place {
    gold: (f64, f64),
    cosine: (f64, f64),
}

impl Place {
    fn x(&self, gold: f64) -> f64 {
        AREA.0 + (gold - self.gold.0) / (self.gold.1 - self.gold.0) * (AREA.1 - AREA.0)
    }

    fn y(&self, cosine: f64) -> f64 {
        AREA.3 - (cosine - self.cosine.0) / (self.cosine.1 - self.cosine.0) * (AREA.3 - AREA.2)
    }
}

/// A path for each shade, of the cells that have it; shades are even steps of the logarithm of counts.
fn shades(density: &Density, place: &Place) -> Vec<String> {
    let most = density.cells().map(|(_, _, count)| count).max().unwrap_or(1);
    let mut paths = vec![String::new(); SHADES];
    for (column, row, count) in density.cells() {
        let share = if most > 1 { f64::from(count).ln() / f64::from(most).ln() } else { 1.0 };
        let shade = ((share * SHADES as f64) as usize).min(SHADES - 1);
        let (x, step) = (density.gold.value(column), density.gold.step);
        let (left, right) = (place.x(x - step / 2.0), place.x(x + step / 2.0));
        let (top, bottom) = (place.y(Density::cosine(row + 1)), place.y(Density::cosine(row)));
        // Writing to a String cannot fail.
        let _ = write!(
            paths[shade],
            "M{} {}h{}v{}h-{2}z",
            short(left),
            short(top),
            short(right - left),
            short(bottom - top),
        );
    }
    paths
}

fn median_line(density: &Density, place: &Place) -> String {
    let known = density
        .medians
        .iter()
        .enumerate()
        .filter_map(|(column, median)| median.map(|median| (column, median)));
    let points: Vec<String> = known
        .map(|(column, median)| {
            format!("{} {}", short(place.x(density.gold.value(column))), short(place.y(median)))
        })
        .collect();
    if points.len() < 2 { String::new() } else { format!("M{}", points.join("L")) }
}

/// A tenth of a pixel is enough.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
