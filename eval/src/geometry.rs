//! How embeddings lie on the unit sphere: alignment, uniformity, mean cosine, effective dimension.
//!
//! All sums have a fixed order, so that the numbers do not depend on the number of threads.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows whose products with all rows before them are taken at a time.
const BLOCK: usize = 256;

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
    let distance: f64 = first.iter().zip(second).map(|(a, b)| (a - b).powi(2)).sum();
    (first.nrows() > 0).then(|| distance / first.nrows() as f64)
}

/// Uniformity (Wang and Isola, 2020): log of the mean of exp(−2‖x − y‖²) over all pairs of different rows of `units`,
/// of shape [n, width]. 0 where all are the same; the lower, the more evenly they cover the sphere. `None` for fewer
/// than two rows.
pub fn uniformity(units: &Array2<f64>) -> Option<f64> {
    let n = units.nrows();
    let potential = sum_over_pairs(units, |a, b, product| (-2.0 * (a + b - 2.0 * product).max(0.0)).exp());
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
    let diagonal: f64 = rows.rows().into_iter().map(|row| row.dot(&row).powi(2)).sum();
    let off_diagonal = 2.0 * sum_over_pairs(&rows, |_, _, product| product.powi(2));
    Some(trace * trace / (diagonal + off_diagonal))
}

/// Pairs of n rows.
fn pairs(n: usize) -> f64 {
    (n * n.saturating_sub(1)) as f64 / 2.0
}

/// The sum over all pairs i < j of rows, of a function of the rows' own squares and their scalar product.
fn sum_over_pairs(rows: &Array2<f64>, term: impl Fn(f64, f64, f64) -> f64 + Sync) -> f64 {
    let squares: Vec<f64> = rows.rows().into_iter().map(|row| row.dot(&row)).collect();
    let of_block = |start: usize| -> f64 {
        let end = (start + BLOCK).min(rows.nrows());
        let block = rows.slice(s![start..end, ..]);
        let mut sum = 0.0;
        for before in (0..end).step_by(BLOCK) {
            let products = block.dot(&rows.slice(s![before..(before + BLOCK).min(end), ..]).t());
            for (i, products) in (start..).zip(products.rows()) {
                let earlier = products.iter().zip(&squares[before..]).take(i.saturating_sub(before));
                sum += earlier.map(|(&product, &square)| term(squares[i], square, product)).sum::<f64>();
            }
        }
        sum
    };
    let starts: Vec<usize> = (0..rows.nrows()).step_by(BLOCK).collect();
    let sums: Vec<f64> = starts.into_par_iter().map(of_block).collect();
    sums.iter().sum()
}
