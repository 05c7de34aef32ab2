//! Correlations of gold scores with other measures than the cosine. Papers on STS report none of them; MTEB does.

use crate::{Embeddings, Error, Task, correlation};

/// Of gold scores with one measure of similarity, in [−1, 1]; `None` where it is undefined.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Correlations {
    /// Pearson's r, in [−1, 1]; `None` where it is undefined.
    pub pearson: Option<f64>,
    /// Spearman's ρ, in [−1, 1]; `None` where it is undefined.
    pub spearman: Option<f64>,
}

/// Similarity by distance is its negative. The embeddings are as the model gives them, not scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Similarities {
    /// By −‖x − y‖₂.
    pub euclidean: Correlations,
    /// By −‖x − y‖₁.
    pub manhattan: Correlations,
}

impl Similarities {
    pub(super) fn new(task: &Task, gold: &[f64], embeddings: &Embeddings<'_>) -> Result<Self, Error> {
        let (mut euclidean, mut manhattan) = (Vec::with_capacity(gold.len()), Vec::with_capacity(gold.len()));
        for pair in task.pairs() {
            let (first, second) = (embeddings.row(&pair.first)?, embeddings.row(&pair.second)?);
            let (mut squares, mut sum) = (0.0, 0.0);
            for (&a, &b) in first.iter().zip(second) {
                let difference = f64::from(a) - f64::from(b);
                squares += difference * difference;
                sum += difference.abs();
            }
            euclidean.push(-f64::sqrt(squares));
            manhattan.push(-sum);
        }
        Ok(Self { euclidean: correlations(gold, &euclidean), manhattan: correlations(gold, &manhattan) })
    }
}

fn correlations(gold: &[f64], similarity: &[f64]) -> Correlations {
    Correlations {
        pearson: correlation::pearson(gold, similarity),
        spearman: correlation::spearman(gold, similarity),
    }
}
