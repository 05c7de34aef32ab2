//! Contrastive learning: each sentence's two views are to find each other among the batch.

use candle_core::Result;

use super::{Distributions, Leaf, Objective, Prediction};
use crate::batch::PackedBatch;

/// NT-Xent on batches of 2N sequences: the N sentences' first views, then their second views.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrastive {
    /// τ, what cosines are divided by.
    pub temperature: f64,
    /// Prefixes of embeddings that are compared beside the whole: Matryoshka's widths, ascending. None for the whole
    /// alone.
    pub prefixes: Vec<usize>,
}

impl Contrastive {
    /// On whole embeddings.
    pub fn new(temperature: f64) -> Self {
        Contrastive { temperature, prefixes: Vec::new() }
    }
}

impl Objective for Contrastive {
    fn instances(&self, batch: &PackedBatch) -> usize {
        batch.len() / 2
    }

    fn predict(&self, leaf: &Leaf) -> Result<Prediction> {
        Distributions::of(leaf.embeddings, self.temperature, &self.prefixes).map(Prediction::Others)
    }
}
