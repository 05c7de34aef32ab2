//! What alignment and uniformity are taken of: a task's positive pairs, and its distinct sentences.

use std::collections::HashSet;

use ndarray::{Array2, Axis};

use crate::geometry::unit_rows;
use crate::{Embeddings, Error, Pair, Task};

/// Sentences beyond which uniformity is taken of an evenly spaced part of them: its cost is quadratic. The largest
/// of the seven sets has 7,000.
const MOST_SENTENCES: usize = 20_000;

/// The gold score above which a pair counts as positive: 4 on a scale of 5, as in SimCSE (STS scores of 4 to 5 differ
/// in unimportant details only). On a scale whose highest score of the set is not in (4, 5], four fifths of it.
pub fn positive_above(gold: impl Iterator<Item = f64>) -> f64 {
    let highest = gold.filter(|gold| gold.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    if highest > 4.0 && highest <= 5.0 { 4.0 } else { highest * 0.8 }
}

/// The embeddings of a task's positive pairs, each scaled to length 1: first and second sentences, both of shape
/// [pairs, width].
pub(super) fn positive_units(task: &Task, embeddings: &Embeddings<'_>) -> Result<[Array2<f64>; 2], Error> {
    let threshold = positive_above(task.pairs().map(|pair| pair.gold));
    let positive: Vec<&Pair> = task.pairs().filter(|pair| pair.gold > threshold && threshold > 0.0).collect();
    let units = |sentence: fn(&Pair) -> &str| units(embeddings, positive.iter().map(|pair| sentence(pair)));
    Ok([units(|pair| &pair.first)?, units(|pair| &pair.second)?])
}

/// How many distinct sentences a task has, and their embeddings, each scaled to length 1, of shape [n, width], in order
/// of appearance. Of more than 20,000, 20,000 evenly spaced ones are taken.
pub(super) fn distinct_units(
    task: &Task,
    embeddings: &Embeddings<'_>,
) -> Result<(usize, Array2<f64>), Error> {
    let mut seen = HashSet::new();
    let sentences = task.pairs().flat_map(|pair| [pair.first.as_str(), pair.second.as_str()]);
    let distinct: Vec<&str> = sentences.filter(|&sentence| seen.insert(sentence)).collect();
    let taken = distinct.len().min(MOST_SENTENCES);
    let spaced = (0..taken).map(|index| distinct[index * distinct.len() / taken]);
    Ok((distinct.len(), units(embeddings, spaced)?))
}

fn units<'s>(
    embeddings: &Embeddings<'_>,
    sentences: impl Iterator<Item = &'s str>,
) -> Result<Array2<f64>, Error> {
    let rows: Vec<usize> = sentences.map(|sentence| embeddings.place(sentence)).collect::<Result<_, _>>()?;
    Ok(unit_rows(embeddings.rows().select(Axis(0), &rows).view()))
}
