//! What a person should know where the two views of sentences are the same text.

use super::TrainOptions;
use crate::corpus::{Corpus, CorpusError, Format, shortest_masked};
use crate::quote::counted;

/// A sentence on equal views, if there are any that the settings do not ask for: without a mask two views differ
/// by dropout alone, and without dropout not at all.
pub fn remark(corpus: &Corpus, options: &TrainOptions) -> Result<Option<String>, CorpusError> {
    let (span, all, name) = (options.mask_span, corpus.len(), corpus.name());
    let equal = corpus.equal_views(span)?;
    let differ = options.dropout > 0.0 || options.drophead > 0.0;
    let unmasked = corpus.format() == Format::Sentences && span == 0;
    if equal == 0 || (unmasked && differ) {
        return Ok(None);
    }
    let thing = if corpus.format() == Format::Pairs { "pair" } else { "sentence" };
    let of = if equal == all {
        format!("all {}", counted(all, thing))
    } else {
        format!("{equal} of {}", counted(all, thing))
    };
    let why = match corpus.format() {
        Format::Pairs => "have the same text twice".to_owned(),
        Format::Sentences if span == 0 => "are not masked (--mask-span 0)".to_owned(),
        Format::Sentences => {
            format!("are too short for a mask (fewer than {} characters)", shortest_masked(span))
        }
    };
    Ok(Some(if differ {
        format!("{name}: {of} {why}; their two views differ by dropout alone")
    } else {
        format!(
            "warning: {name}: {of} {why}, and with --dropout 0 their two views are equal; set --dropout above 0, or \
             nothing is learned of what belongs together"
        )
    }))
}
