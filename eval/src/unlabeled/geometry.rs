//! How embeddings lie on the unit sphere: alignment, uniformity, mean cosine, effective dimension.
//!
//! All sums have a fixed order, so that the numbers do not depend on the number of threads.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Variance below which embeddings are the same but for the rounding of f32.
const NO_VARIANCE: f64 = 1e-12;

/// Rows scaled to length 1, of shape [n, width]; a row of zeros stays one.
pub fn unit_rows(embeddings: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut units = embeddings.mapv(f64::from);
    for mut row in units.rows_mut() {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
    units
}

/// Alignment (Wang and Isola, 2020): the mean of ‖x − x⁺‖² over positive pairs, row i of one with row i of the other,
/// both of shape [pairs, width] and of unit length. 0 is best. `None` without pairs.
///
/// # Panics
/// If the shapes differ.
pub fn alignment(first: &Array2<f64>, second: &Array2<f64>) -> Option<f64> {
    assert_eq!(first.dim(), second.dim(), "alignment of arrays of different shapes");
    let distances = first.rows().into_iter().zip(second.rows()).map(|(a, b)| squared_distance(a, b));
    (first.nrows() > 0).then(|| distances.sum::<f64>() / first.nrows() as f64)
}

/// Uniformity (Wang and Isola, 2020): log of the mean of exp(−2‖x − y‖²) over all pairs of different rows of `units`,
/// of shape [n, width]. 0 where all are the same; the lower, the more evenly they cover the sphere. `None` for fewer
/// than two rows.
pub fn uniformity(units: &Array2<f64>) -> Option<f64> {
    let n = units.nrows();
    let potential = sum_over_pairs(units, |a, b| (-2.0 * squared_distance(a, b)).exp());
    (n >= 2).then(|| (potential / pairs(n)).ln())
}

/// The mean cosine over all pairs of different rows of `units`, of shape [n, width]. `None` for fewer than two rows.
pub fn mean_cosine(units: &Array2<f64>) -> Option<f64> {
    let n = units.nrows();
    let sum = units.sum_axis(Axis(0));
    let squares: f64 = units.iter().map(|value| value * value).sum();
    (n >= 2).then(|| (sum.dot(&sum) - squares) / (2.0 * pairs(n)))
}

/// The effective dimension of `units`, of shape [n, width]: the participation ratio (Σλ)² / Σλ² of the eigenvalues λ of
/// their covariance matrix. It is 1 where all vary along one line, k where they vary equally in k directions, at most
/// min(n − 1, width), and 0 where they do not vary. It rises with n, so that only numbers of the same n compare.
/// `None` for fewer than two rows.
///
/// No eigenvalue is computed: Σλ is the matrix's trace, and Σλ² the sum of its squared entries.
pub fn effective_dimension(units: &Array2<f64>) -> Option<f64> {
    let n = units.nrows();
    let mean = units.mean_axis(Axis(0)).filter(|_| n >= 2)?;
    let centred = units - &mean;
    let trace: f64 = centred.iter().map(|value| value * value).sum();
    if trace / n as f64 <= NO_VARIANCE {
        return Some(0.0);
    }
    // XXᵀ and XᵀX have the same eigenvalues but for zeros: take the smaller one.
    let rows =
        if n <= centred.ncols() { centred } else { centred.reversed_axes().as_standard_layout().to_owned() };
    let square = |a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>| dot(a, b).powi(2);
    let diagonal: f64 = rows.rows().into_iter().map(|row| square(row, row)).sum();
    Some(trace * trace / (diagonal + 2.0 * sum_over_pairs(&rows, square)))
}

/// Pairs of n rows.
fn pairs(n: usize) -> f64 {
    (n * n.saturating_sub(1)) as f64 / 2.0
}

/// The sum of a function over all pairs i < j of rows.
fn sum_over_pairs(
    rows: &Array2<f64>,
    function: impl Fn(ArrayView1<'_, f64>, ArrayView1<'_, f64>) -> f64 + Sync,
) -> f64 {
    let of_row = |i: usize| -> f64 { (0..i).map(|j| function(rows.row(i), rows.row(j))).sum() };
    let sums: Vec<f64> = (0..rows.nrows()).into_par_iter().map(of_row).collect();
    sums.iter().sum()
}

fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    lanes(a, b, |a, b| (a - b) * (a - b))
}

/// The scalar product of two vectors of shape [width].
pub(super) fn dot(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    lanes(a, b, |a, b| a * b)
}

/// A sum in eight lanes, which compiles to vector instructions and has one order.
fn lanes(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>, term: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let (Some(a), Some(b)) = (a.as_slice(), b.as_slice()) else {
        return a.iter().zip(b).map(|(&a, &b)| term(a, b)).sum();
    };
    let mut sums = [0.0; LANES];
    let (heads, tails) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = heads.remainder().iter().zip(tails.remainder()).map(|(&a, &b)| term(a, b)).sum();
    for (a, b) in heads.zip(tails) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}
