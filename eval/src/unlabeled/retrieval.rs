//! How often a view of a sentence finds its own sentence among others.

use ndarray::Array2;
use rayon::prelude::*;

/// The rank of its own sentence for each view: 1 where no other sentence is as near.
///
/// `views` has shape [views, width] and `sentences` [n, width], both of unit length; view i is of sentence `own[i]`. A
/// sentence that is exactly as near as its own counts as nearer: an encoder that gives all sentences the same embedding
/// finds none of them.
///
/// # Panics
/// If `own` has another length than `views`, or names a sentence that is not there.
pub fn ranks(views: &Array2<f64>, own: &[usize], sentences: &Array2<f64>) -> Vec<usize> {
    assert_eq!(views.nrows(), own.len(), "each view is of one sentence");
    let rank = |(view, &own): (usize, &usize)| {
        let view = views.row(view);
        let nearness = view.dot(&sentences.row(own));
        let as_near = |&j: &usize| j != own && view.dot(&sentences.row(j)) >= nearness;
        1 + (0..sentences.nrows()).filter(as_near).count()
    };
    own.par_iter().enumerate().map(|(view, own)| rank((view, own))).collect()
}

/// The share of ranks that are 1; `None` without ranks.
pub fn recall_at_1(ranks: &[usize]) -> Option<f64> {
    mean(ranks, |rank| if rank == 1 { 1.0 } else { 0.0 })
}

/// The mean of 1 / rank (MRR); `None` without ranks.
pub fn mean_reciprocal_rank(ranks: &[usize]) -> Option<f64> {
    mean(ranks, |rank| 1.0 / rank as f64)
}

/// The mean rank; `None` without ranks.
pub fn mean_rank(ranks: &[usize]) -> Option<f64> {
    mean(ranks, |rank| rank as f64)
}

fn mean(ranks: &[usize], value: impl Fn(usize) -> f64) -> Option<f64> {
    let sum: f64 = ranks.iter().map(|&rank| value(rank)).sum();
    (!ranks.is_empty()).then(|| sum / ranks.len() as f64)
}
