//! Measuring without labels: sentences of a corpus and a second view of each, as training has them.
//!
//! The arithmetic is the evaluator's ([`sts_eval::unlabeled`]); here is where sentences and views come from.

mod collapse;

use sts_eval::unlabeled::Views;

pub use collapse::collapse;

use crate::corpus::{Entry, Format, mask_span};
use crate::random::{Key, Site};

/// Characters that the view's mask covers by default, as in training.
pub const DEFAULT_MASK_SPAN: usize = 5;

/// The sentences and their views: each with a span of `span` characters masked, or the second columns of pairs.
///
/// A sentence that is too short for a mask has no view, since it would find itself by its own text; it is still
/// one that others are ranked against. Where a sentence is masked is a function of `seed` and its line.
pub fn views(entries: &[Entry], format: Format, span: usize, mask_token: &str, seed: u64) -> Views {
    let key = Key::new(seed).site(Site::Holdout);
    let view = |entry: &Entry| -> Option<String> {
        let [sentence, second] = &entry.texts;
        let view = match format {
            Format::Sentences => mask_span(sentence, span, mask_token, key.at(entry.line)),
            Format::Pairs => second.clone(),
        };
        (view != *sentence).then_some(view)
    };
    Views {
        sentences: entries.iter().map(|entry| entry.texts[0].clone()).collect(),
        views: entries.iter().enumerate().filter_map(|(i, entry)| Some((i, view(entry)?))).collect(),
    }
}
