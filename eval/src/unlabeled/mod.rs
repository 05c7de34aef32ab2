//! What can be measured of an encoder without labels: on sentences, and a second view of each (the sentence with a span
//! masked, or its other half of a pair).
//!
//! A good encoder finds a sentence by its view among the others ([`ranks`]), keeps the two near ([`alignment`]) and
//! different sentences apart ([`uniformity`], [`mean_cosine`]), and uses many directions to do so
//! ([`effective_dimension`]). None of it shows whether near means alike in meaning, which takes scored pairs.

mod format;
mod retrieval;

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

pub use format::UnlabeledForm;
pub use retrieval::{mean_rank, mean_reciprocal_rank, ranks, recall_at_1};

use crate::encode::encode_blocks;
use crate::geometry::{alignment, effective_dimension, mean_cosine, uniformity, unit_rows};
use crate::{Encode, Error, Progress};

/// Different sentences, and second views of some or all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    /// Each once.
    pub sentences: Vec<String>,
    /// Each with the place of its sentence among [`Self::sentences`].
    pub views: Vec<(usize, String)>,
}

/// What an encoder makes of sentences and their views. An undefined number (no view, fewer than two sentences) is
/// `None`, and null in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unlabeled {
    /// Sentences among which each view is to find its own.
    pub sentences: usize,
    /// Views that were to find their sentence.
    pub views: usize,
    /// The share of views to which their own sentence is the nearest.
    pub recall_at_1: Option<f64>,
    /// Mean reciprocal rank of the own sentence.
    pub mrr: Option<f64>,
    /// Mean rank of the own sentence, counted from 1.
    pub mean_rank: Option<f64>,
    /// Of sentences and their views.
    pub alignment: Option<f64>,
    /// Of the sentences.
    pub uniformity: Option<f64>,
    /// Over all pairs of sentences.
    pub mean_cosine: Option<f64>,
    /// Of the sentences.
    pub effective_dimension: Option<f64>,
}

/// One model's numbers, as JSON has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnlabeledReport {
    /// The model, as reports call it.
    pub model: String,
    /// What was measured.
    #[serde(flatten)]
    pub unlabeled: Unlabeled,
}

impl Unlabeled {
    /// From embeddings of the sentences `[n, width]` and of the views `[views, width]`; view i is of sentence `own[i]`.
    pub fn of(sentences: &Array2<f32>, views: &Array2<f32>, own: &[usize]) -> Self {
        let (sentences, views) = (unit_rows(sentences.view()), unit_rows(views.view()));
        let ranks = ranks(&views, own, &sentences);
        Unlabeled {
            sentences: sentences.nrows(),
            views: views.nrows(),
            recall_at_1: recall_at_1(&ranks),
            mrr: mean_reciprocal_rank(&ranks),
            mean_rank: mean_rank(&ranks),
            alignment: alignment(&sentences.select(Axis(0), own), &views),
            uniformity: uniformity(&sentences),
            mean_cosine: mean_cosine(&sentences),
            effective_dimension: effective_dimension(&sentences),
        }
    }
}

/// Encodes sentences and views, `block_size` at a time, and measures. `progress` is called after each block.
pub fn evaluate_views<E: Encode + ?Sized>(
    views: &Views,
    encoder: &E,
    block_size: usize,
    progress: impl FnMut(Progress),
) -> Result<Unlabeled, Error> {
    let texts: Vec<&str> =
        views.sentences.iter().chain(views.views.iter().map(|(_, view)| view)).map(String::as_str).collect();
    let rows = encode_blocks(&texts, encoder, block_size.max(1), progress)?;
    let (sentences, views_rows) = rows.view().split_at(Axis(0), views.sentences.len().min(rows.nrows()));
    let own: Vec<usize> = views.views.iter().map(|&(own, _)| own).collect();
    Ok(Unlabeled::of(&sentences.to_owned(), &views_rows.to_owned(), &own))
}
