//! Contrastive learning: each sentence's two views are to find each other among the batch.

use candle_core::Result;

use super::{Distributions, Leaf, Objective, Prediction, head};
use crate::batch::PackedBatch;
use crate::model::Head;

/// NT-Xent on batches of 2N sequences: the N sentences' first views, then their second views.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrastive {
    /// τ, what cosines are divided by.
    pub temperature: f64,
    /// Prefixes of embeddings that are compared beside the whole: Matryoshka's widths, ascending. None for the whole
    /// alone.
    pub prefixes: Vec<usize>,
    /// What embeddings go through before they are compared.
    pub head: Option<Head>,
}

impl Contrastive {
    /// On whole embeddings as they are.
    pub fn new(temperature: f64) -> Self {
        Contrastive { temperature, prefixes: Vec::new(), head: None }
    }
}

impl Objective for Contrastive {
    fn instances(&self, batch: &PackedBatch) -> usize {
        batch.len() / 2
    }

    fn predict(&self, leaf: &Leaf) -> Result<Prediction> {
        let projected = self.head.as_ref().map(|head| head::forward(head, leaf)).transpose()?;
        let embeddings = projected.as_ref().unwrap_or(leaf.embeddings);
        Distributions::of(embeddings, self.temperature, &self.prefixes).map(Prediction::Others)
    }
}
