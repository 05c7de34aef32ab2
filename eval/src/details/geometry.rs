//! Alignment and uniformity (Wang and Isola, 2020), the two properties that contrastive training trades: positive
//! pairs close to each other, and all sentences spread over the sphere.

use std::collections::HashSet;

use ndarray::{Array2, ArrayView1, Axis, s};
use rayon::prelude::*;

use crate::{Embeddings, Error, Task};

/// t of the Gaussian potential, as in the paper's and SimCSE's code.
const T: f64 = 2.0;

/// Sentences beyond which uniformity is taken of an evenly spaced part of them: its cost is quadratic. The largest
/// of the seven sets has 7,000.
const MOST_SENTENCES: usize = 20_000;

/// Rows whose products with all rows before them are taken at a time.
const BLOCK: usize = 256;

/// The gold score above which a pair counts as positive: 4 on a scale of 5, as in SimCSE (STS scores of 4 to 5 differ
/// in unimportant details only). On a scale whose highest score of the set is not in (4, 5], four fifths of it.
pub fn positive_above(gold: impl Iterator<Item = f64>) -> f64 {
    let highest = gold.filter(|gold| gold.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    if highest > 4.0 && highest <= 5.0 { 4.0 } else { highest * 0.8 }
}

/// Embeddings of shape [width] of a task's positive pairs.
pub(super) fn positive_rows<'e>(
    task: &Task,
    embeddings: &'e Embeddings<'_>,
) -> Result<Vec<[ArrayView1<'e, f32>; 2]>, Error> {
    let threshold = positive_above(task.pairs().map(|pair| pair.gold));
    let positive = task.pairs().filter(|pair| pair.gold > threshold && threshold > 0.0);
    positive.map(|pair| Ok([embeddings.row(&pair.first)?, embeddings.row(&pair.second)?])).collect()
}

/// Embeddings of shape [width] of a task's distinct sentences, in order of appearance.
pub(super) fn distinct_rows<'e>(
    task: &Task,
    embeddings: &'e Embeddings<'_>,
) -> Result<Vec<ArrayView1<'e, f32>>, Error> {
    let mut seen = HashSet::new();
    let sentences = task.pairs().flat_map(|pair| [pair.first.as_str(), pair.second.as_str()]);
    sentences.filter(|&sentence| seen.insert(sentence)).map(|sentence| embeddings.row(sentence)).collect()
}

/// Mean of ‖x/‖x‖ − y/‖y‖‖² over pairs of embeddings of shape [width], α = 2; `None` without a pair.
pub fn alignment<'e>(pairs: impl ExactSizeIterator<Item = [ArrayView1<'e, f32>; 2]>) -> Option<f64> {
    let count = pairs.len();
    let sum: f64 = pairs.map(|[first, second]| square_distance(first, second)).sum();
    (count > 0).then(|| sum / count as f64)
}

/// Of the two vectors scaled to length 1; a zero vector stays at zero.
fn square_distance(first: ArrayView1<'_, f32>, second: ArrayView1<'_, f32>) -> f64 {
    let is_zero = |row: &ArrayView1<'_, f32>| row.iter().all(|&value| value == 0.0);
    match (is_zero(&first), is_zero(&second)) {
        (false, false) => 2.0 - 2.0 * crate::cosine(first, second),
        (true, true) => 0.0,
        _ => 1.0,
    }
}

/// ln mean exp(−2 ‖x − y‖²) over all pairs of different rows, scaled to length 1; `None` for fewer than two rows.
///
/// Of more than 20,000 rows, 20,000 evenly spaced ones are taken. Sums are in f64 and in fixed blocks: the result has
/// the same bits on any number of threads.
///
/// # Panics
/// If the widths differ.
pub fn uniformity(rows: &[ArrayView1<'_, f32>]) -> Option<f64> {
    let count = rows.len().min(MOST_SENTENCES);
    if count < 2 {
        return None;
    }
    let mut unit = Array2::<f32>::zeros((count, rows[0].len()));
    let mut squares = vec![0.0f32; count];
    for (index, (mut unit, square)) in unit.axis_iter_mut(Axis(0)).zip(&mut squares).enumerate() {
        let row = rows[(index as u128 * rows.len() as u128 / count as u128) as usize];
        let norm = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            unit.zip_mut_with(&row, |unit, &value| *unit = (f64::from(value) / norm) as f32);
            *square = 1.0;
        }
    }
    let starts: Vec<usize> = (0..count).step_by(BLOCK).collect();
    let sums: Vec<f64> =
        starts.into_par_iter().map(|start| block_potential(&unit, &squares, start)).collect();
    let pairs = count as f64 * (count as f64 - 1.0) / 2.0;
    Some((sums.iter().sum::<f64>() / pairs).ln())
}

/// Σ exp(−t ‖x_i − x_j‖²) over the rows i of a block and all j < i.
fn block_potential(unit: &Array2<f32>, squares: &[f32], start: usize) -> f64 {
    let end = (start + BLOCK).min(unit.nrows());
    let block = unit.slice(s![start..end, ..]);
    let mut sum = 0.0;
    for other in (0..end).step_by(BLOCK) {
        let other_end = (other + BLOCK).min(end);
        let dots = block.dot(&unit.slice(s![other..other_end, ..]).t());
        for (row, dots) in dots.rows().into_iter().enumerate() {
            let i = start + row;
            for (&dot, &square) in dots.iter().zip(&squares[other..]).take(i.saturating_sub(other)) {
                let distance = f64::from(squares[i] + square - 2.0 * dot).max(0.0);
                sum += (-T * distance).exp();
            }
        }
    }
    sum
}
