//! The pairs that each model gets most wrong.

use maud::{Markup, html};

use super::models::{Model, Models};
use super::{Section, number, printable, scrolling, set_label, signed};
use crate::details::WrongPair;

pub(super) fn section(models: &Models) -> Option<Section> {
    let sets: Vec<&str> = models
        .sets()
        .into_iter()
        .filter(|set| models.iter().any(|model| !wrong(&model, set).is_empty()))
        .collect();
    (!sets.is_empty()).then(|| Section {
        id: "pairs",
        title: "Pairs most wrong",
        explanation: html! {
            "Spearman’s ρ compares places, so these are the pairs whose place among a set’s pairs, from 0 (least \
             similar) to 100, is furthest from the one that people gave. In the drawing, the ring is where people put \
             a pair and the mark where the model does."
        },
        content: html! {
            @for (index, set) in sets.iter().enumerate() {
                details open[index == 0] {
                    summary { (set_label(set)) }
                    @for model in models.iter() {
                        @if !wrong(&model, set).is_empty() {
                            h3 { (model.named()) }
                            (scrolling(&format!("Pairs of {} most wrong", set_label(set)), table(&model, wrong(&model, set))))
                        }
                    }
                }
            }
        },
    })
}

fn wrong<'r>(model: &Model<'r>, set: &str) -> &'r [WrongPair] {
    let details = model.report.tasks.get(set).and_then(|task| task.details.as_ref());
    details.map_or(&[], |details| details.most_wrong.as_slice())
}

fn table(model: &Model, pairs: &[WrongPair]) -> Markup {
    html! {
        table.pairs {
            thead {
                tr {
                    th scope="col" { "Sentences" }
                    th.number scope="col" { "Gold" }
                    th.number scope="col" { "Cosine" }
                    th.strip scope="col" { span.strip-ends { span { "0" } span { "place" } span { "100" } } }
                    th.number scope="col" { "Apart" }
                }
            }
            tbody {
                @for pair in pairs {
                    tr {
                        td.sentences { (sentence(&pair.first)) (sentence(&pair.second)) }
                        td.number { (number(pair.gold, 2)) }
                        td.number { (number(pair.cosine, 3)) }
                        td.strip { (strip(model, pair)) }
                        td.number { (signed(pair.gap(), 0)) }
                    }
                }
            }
        }
    }
}

/// In a direction of its own: right-to-left text, or what overrides directions, must not turn the page around.
fn sentence(text: &str) -> Markup {
    html! { p dir="auto" { bdi { (printable(text)) } } }
}

fn strip(model: &Model, pair: &WrongPair) -> Markup {
    let place = |percentile: f64| format!("{percentile:.1}%");
    let (gold, cosine) = (place(pair.gold_percentile), place(pair.cosine_percentile));
    html! {
        svg.wide.(model.class()) height="18" role="img"
            aria-label={ "people: " (number(pair.gold_percentile, 0)) ", model: " (number(pair.cosine_percentile, 0)) } {
            line.grid x1="0" x2="100%" y1="9" y2="9" {}
            line.between x1=(gold) x2=(cosine) y1="9" y2="9" {}
            circle.ring cx=(gold) cy="9" r="4.5" {}
            (model.mark_at(&cosine, 9.0))
        }
    }
}
