//! NT-Xent, the normalised temperature-scaled cross entropy (Chen et al., *SimCLR*, 2020), for
//! each instance: with s_ik = cos(e_i, e_k)/τ, an anchor's loss is −s_{i,pos} + log Σ_{k≠i} exp s_ik,
//! and an instance's loss is the mean over its two views as anchors.

use std::ops::Range;

use candle_core::{D, Result, Tensor};

use super::log_probabilities::{log_softmax, symmetric_divergences};

/// In place of −∞ for an anchor's similarity to itself: exp gives 0, and differences stay finite.
const EXCLUDED: f64 = -1e30;

/// `[2N, 2N]` log-probabilities of each anchor (row) over the other embeddings (columns): the
/// log-softmax over k ≠ i of cos(e_i, e_k)/τ. `embeddings` is `[2N, hidden]`, first views first.
pub fn log_probabilities(embeddings: &Tensor, temperature: f64) -> Result<Tensor> {
    log_probabilities_of(0..embeddings.dim(0)?, embeddings, temperature)
}

/// `[rows, 2N]`: the same of the anchors in a range of rows.
pub fn log_probabilities_of(rows: Range<usize>, embeddings: &Tensor, temperature: f64) -> Result<Tensor> {
    let n = embeddings.dim(0)?;
    // The square root of 0 has no gradient; a zero embedding has no direction either.
    let norms = (embeddings.sqr()?.sum_keepdim(D::Minus1)? + 1e-30)?.sqrt()?;
    let unit = embeddings.broadcast_div(&norms)?;
    let anchors = unit.narrow(0, rows.start, rows.len())?;
    let similarities = (anchors.matmul(&unit.t()?)? / temperature)?;
    // Made where it is used: as large as it is, it would take longer to upload than all losses to compute.
    let anchor = Tensor::arange(rows.start as u32, rows.end as u32, unit.device())?.unsqueeze(1)?;
    let other = Tensor::arange(0, n as u32, unit.device())?.unsqueeze(0)?;
    let excluded = anchor.broadcast_eq(&other)?.to_dtype(similarities.dtype())?.affine(EXCLUDED, 0.0)?;
    log_softmax(&(similarities + excluded)?)
}

/// `[N]` losses of instances from `[2N, 2N]` log-probabilities.
pub fn losses(log_probabilities: &Tensor) -> Result<Tensor> {
    let rows = log_probabilities.dim(0)?;
    mean_of_views(&anchor_losses(log_probabilities, 0..rows, rows)?)
}

/// `[rows]` losses of the anchors in a range of rows of `all`, from their log-probabilities `[rows, all]`.
pub fn anchor_losses(log_probabilities: &Tensor, rows: Range<usize>, all: usize) -> Result<Tensor> {
    let count = rows.len();
    let positives: Vec<u32> = rows.map(|i| ((i + all / 2) % all) as u32).collect();
    let positives = Tensor::from_vec(positives, (count, 1), log_probabilities.device())?;
    log_probabilities.gather(&positives, 1)?.squeeze(1)?.neg()
}

/// `[2N]` values of anchors to `[N]` means over an instance's two views.
pub fn mean_of_views(anchors: &Tensor) -> Result<Tensor> {
    let n = anchors.dim(0)? / 2;
    (anchors.narrow(0, 0, n)? + anchors.narrow(0, n, n)?)? * 0.5
}

/// `[N]`: KL(P‖Q) + KL(Q‖P) of the anchors' distributions over the others, given as
/// log-probabilities `[2N, 2N]`, averaged over an instance's two anchors. Gradients flow through both.
pub fn symmetric_divergence(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    mean_of_views(&symmetric_divergences(log_p, log_q)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use proptest::prelude::*;

    fn embeddings(values: Vec<f64>, n: usize, hidden: usize) -> Tensor {
        Tensor::from_vec(values, (2 * n, hidden), &Device::Cpu).unwrap()
    }

    /// The definition, as written in the paper.
    fn plain(values: &[f64], n: usize, hidden: usize, tau: f64) -> Vec<f64> {
        let row = |i: usize| &values[i * hidden..(i + 1) * hidden];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let s = |i, k| dot(row(i), row(k)) / (dot(row(i), row(i)) * dot(row(k), row(k))).sqrt() / tau;
        let anchor = |i: usize| {
            let sum: f64 = (0..2 * n).filter(|&k| k != i).map(|k| f64::exp(s(i, k))).sum();
            sum.ln() - s(i, (i + n) % (2 * n))
        };
        (0..n).map(|j| (anchor(j) + anchor(j + n)) / 2.0).collect()
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            (n, hidden, values) in (2usize..6, 1usize..9).prop_flat_map(|(n, h)| {
                (Just(n), Just(h), prop::collection::vec(prop_oneof![-3.0..-0.1, 0.1..3.0], 2 * n * h))
            }),
            tau in 0.04f64..2.0,
        ) {
            let log_probabilities = log_probabilities(&embeddings(values.clone(), n, hidden), tau).unwrap();
            let ours: Vec<f64> = losses(&log_probabilities).unwrap().to_vec1().unwrap();
            for (a, b) in ours.iter().zip(plain(&values, n, hidden, tau)) {
                prop_assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} {b}");
            }
        }

        #[test]
        fn divergence_is_zero_of_itself_and_positive_otherwise(
            a in prop::collection::vec(-3.0f64..3.0, 4 * 5),
            b in prop::collection::vec(-3.0f64..3.0, 4 * 5),
        ) {
            let p = log_probabilities(&embeddings(a, 2, 5), 0.5).unwrap();
            let q = log_probabilities(&embeddings(b, 2, 5), 0.5).unwrap();
            let own: Vec<f64> = symmetric_divergence(&p, &p).unwrap().to_vec1().unwrap();
            let other: Vec<f64> = symmetric_divergence(&p, &q).unwrap().to_vec1().unwrap();
            prop_assert!(own.iter().all(|&d| d == 0.0));
            prop_assert!(other.iter().all(|&d| d >= 0.0 && d.is_finite()));
        }
    }
}
