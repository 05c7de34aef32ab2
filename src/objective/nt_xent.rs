//! NT-Xent, the normalised temperature-scaled cross entropy (Chen et al., *SimCLR*, 2020), for
//! each instance: with s_ik = cos(e_i, e_k)/τ, an anchor's loss is −s_{i,pos} + log Σ_{k≠i} exp s_ik,
//! and an instance's loss is the mean over its two views as anchors.

use candle_core::{D, Device, Result, Tensor};

/// In place of −∞ for an anchor's similarity to itself: exp gives 0, and differences stay finite.
const EXCLUDED: f64 = -1e30;

/// What NT-Xent makes of a batch's embeddings: each anchor's distribution over the other embeddings, once for each
/// width that is looked at. Losses and divergences are means over the widths, so that Matryoshka (Kusupati et al.,
/// *Matryoshka Representation Learning*, 2022) is one more setting of the loss and of every term that compares
/// distributions.
#[derive(Clone)]
pub struct Distributions {
    /// `[2N, 2N]` log-probabilities for each width, the narrowest first.
    of_widths: Vec<Tensor>,
}

impl Distributions {
    /// Of `[2N, hidden]` embeddings, first views first: of their first `prefixes` values, each prefix scaled to length
    /// 1 by itself, and of the whole. A prefix that is no shorter than an embedding is the whole.
    ///
    /// # Errors
    /// An operation that fails.
    pub fn new(embeddings: &Tensor, temperature: f64, prefixes: &[usize]) -> Result<Self> {
        let whole = embeddings.dim(D::Minus1)?;
        let narrowed = prefixes
            .iter()
            .filter(|&&prefix| prefix < whole)
            .map(|&prefix| log_probabilities(&embeddings.narrow(D::Minus1, 0, prefix)?, temperature));
        let mut of_widths: Vec<Tensor> = narrowed.collect::<Result<_>>()?;
        of_widths.push(log_probabilities(embeddings, temperature)?);
        Ok(Distributions { of_widths })
    }

    /// `[N]`: the loss of each instance.
    ///
    /// # Errors
    /// An operation that fails.
    pub fn instance_losses(&self) -> Result<Tensor> {
        mean_of_widths(self.of_widths.iter().map(losses_of_width))
    }

    /// `[N]`: KL(P‖Q) + KL(Q‖P) of the anchors' distributions over the others, averaged over an instance's two
    /// anchors. Gradients flow through both.
    ///
    /// # Errors
    /// Distributions of batches of different sizes.
    pub fn divergence(&self, other: &Self) -> Result<Tensor> {
        let pairs = self.of_widths.iter().zip(&other.of_widths);
        mean_of_widths(pairs.map(|(log_p, log_q)| symmetric_divergence(log_p, log_q)))
    }
}

/// The mean of `[N]` values; of one width they are what they were, to the bit.
fn mean_of_widths(of_widths: impl ExactSizeIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let count = of_widths.len();
    let sum = of_widths.reduce(|sum, values| sum? + values?);
    let Some(sum) = sum else { candle_core::bail!("a loss of no width") };
    if count == 1 { sum } else { sum? / count as f64 }
}

/// `[N]` losses from `[2N, hidden]` embeddings, of their whole width alone.
pub fn instance_losses(embeddings: &Tensor, temperature: f64) -> Result<Tensor> {
    Distributions::new(embeddings, temperature, &[])?.instance_losses()
}

/// `[2N, 2N]` log-probabilities of each anchor (row) over the other embeddings (columns): the
/// log-softmax over k ≠ i of cos(e_i, e_k)/τ. `embeddings` is `[2N, hidden]`, first views first.
fn log_probabilities(embeddings: &Tensor, temperature: f64) -> Result<Tensor> {
    let (n, _) = embeddings.dims2()?;
    // The square root of 0 has no gradient; a zero embedding has no direction either.
    let norms = (embeddings.sqr()?.sum_keepdim(D::Minus1)? + 1e-30)?.sqrt()?;
    let unit = embeddings.broadcast_div(&norms)?;
    let similarities = (unit.matmul(&unit.t()?)? / temperature)?;
    let mut diagonal = vec![0f64; n * n];
    diagonal.iter_mut().step_by(n + 1).for_each(|d| *d = EXCLUDED);
    let logits = (similarities + Tensor::from_vec(diagonal, (n, n), &Device::Cpu)?)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&log_sum)
}

/// `[N]` losses from the `[2N, 2N]` log-probabilities of one width.
fn losses_of_width(log_probabilities: &Tensor) -> Result<Tensor> {
    let rows = log_probabilities.dim(0)?;
    let n = rows / 2;
    let positives: Vec<u32> = (0..rows).map(|i| ((i + n) % rows) as u32).collect();
    let positives = Tensor::from_vec(positives, (rows, 1), &Device::Cpu)?;
    mean_of_views(&log_probabilities.gather(&positives, 1)?.squeeze(1)?.neg()?)
}

/// `[2N]` values of anchors to `[N]` means over an instance's two views.
pub fn mean_of_views(anchors: &Tensor) -> Result<Tensor> {
    let n = anchors.dim(0)? / 2;
    (anchors.narrow(0, 0, n)? + anchors.narrow(0, n, n)?)? * 0.5
}

/// `[N]`: KL(P‖Q) + KL(Q‖P) from log-probabilities `[2N, 2N]` of one width.
fn symmetric_divergence(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    // KL(P‖Q) + KL(Q‖P) = Σ (P − Q)(log P − log Q)
    let summand = ((log_p.exp()? - log_q.exp()?)? * (log_p - log_q)?)?;
    mean_of_views(&summand.sum(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
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

    /// What MatryoshkaLoss of sentence-transformers 6.2 gives in f64 with the dimensions 2, 4 and 6 around PyTorch's
    /// cross-entropy of cosines over τ, divided by three, and its gradient of the embeddings.
    #[test]
    fn losses_of_prefixes_are_those_of_matryoshka_loss() {
        const LOSS: f64 = 4.661433881816706;
        const GRADIENT: [[f64; 6]; 6] = [
            [-1.5770993666, 0.2687619869, -0.271223571, 0.1447042459, -0.0576752491, 0.0345403421],
            [0.3404441665, -0.0082352267, 0.2489343851, 0.2785923573, -0.2951786387, 0.118919094],
            [-0.2641830925, 0.3720410077, 0.2079235484, -0.5990826547, 0.1358829463, 0.0192778958],
            [-0.3755111319, -0.5363638498, -0.2239753176, -0.105005591, 0.0663969566, 0.1252669788],
            [0.4068036251, 0.9895625209, 0.6429158712, -0.0483015619, -0.1319357977, 0.0597273709],
            [0.0632574268, 0.5308245788, -0.5294596847, 0.1110362888, 0.2285390832, -0.1963725491],
        ];
        let value = |i: f64, k: f64| (2.3 * i * i + 0.9 * k + 0.7 * i * k).sin();
        let values: Vec<f64> = (0..36).map(|at| value((at / 6).into(), (at % 6).into())).collect();
        let leaf = Var::from_tensor(&embeddings(values, 3, 6)).unwrap();
        let losses = Distributions::new(leaf.as_tensor(), 0.2, &[2, 4]).unwrap().instance_losses().unwrap();
        let loss = losses.mean_all().unwrap();
        assert!((loss.to_scalar::<f64>().unwrap() - LOSS).abs() < 1e-12, "{loss}");
        let gradient: Vec<Vec<f64>> = loss.backward().unwrap().get(&leaf).unwrap().to_vec2().unwrap();
        for (ours, theirs) in gradient.iter().flatten().zip(GRADIENT.iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            (n, hidden, values) in (2usize..6, 1usize..9).prop_flat_map(|(n, h)| {
                (Just(n), Just(h), prop::collection::vec(prop_oneof![-3.0..-0.1, 0.1..3.0], 2 * n * h))
            }),
            tau in 0.04f64..2.0,
        ) {
            let ours: Vec<f64> =
                instance_losses(&embeddings(values.clone(), n, hidden), tau).unwrap().to_vec1().unwrap();
            for (a, b) in ours.iter().zip(plain(&values, n, hidden, tau)) {
                prop_assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} {b}");
            }
        }

        /// With prefixes: the mean of the definition on embeddings that end there, each in its own right.
        #[test]
        fn prefixes_give_the_mean_of_the_losses_of_narrower_embeddings(
            (n, hidden, values) in (2usize..5, 2usize..9).prop_flat_map(|(n, h)| {
                (Just(n), Just(h), prop::collection::vec(prop_oneof![-3.0..-0.1, 0.1..3.0], 2 * n * h))
            }),
            chosen in prop::collection::btree_set(1usize..12, 0..4), tau in 0.04f64..2.0,
        ) {
            let prefixes: Vec<usize> = chosen.into_iter().collect();
            let widths: Vec<usize> = prefixes.iter().copied().filter(|&w| w < hidden).chain([hidden]).collect();
            let of_width = |width: usize| {
                let narrowed: Vec<f64> =
                    values.chunks(hidden).flat_map(|row| row[..width].iter().copied()).collect();
                plain(&narrowed, n, width, tau)
            };
            let losses: Vec<Vec<f64>> = widths.iter().map(|&width| of_width(width)).collect();
            let ours = Distributions::new(&embeddings(values.clone(), n, hidden), tau, &prefixes).unwrap();
            let ours: Vec<f64> = ours.instance_losses().unwrap().to_vec1().unwrap();
            for (j, ours) in ours.iter().enumerate() {
                let mean = losses.iter().map(|of_width| of_width[j]).sum::<f64>() / widths.len() as f64;
                prop_assert!((ours - mean).abs() < 1e-9 * mean.abs().max(1.0), "{ours} {mean}");
            }
        }

        #[test]
        fn divergence_is_zero_of_itself_and_positive_otherwise(
            a in prop::collection::vec(-3.0f64..3.0, 4 * 5),
            b in prop::collection::vec(-3.0f64..3.0, 4 * 5),
        ) {
            let p = Distributions::new(&embeddings(a, 2, 5), 0.5, &[2]).unwrap();
            let q = Distributions::new(&embeddings(b, 2, 5), 0.5, &[2]).unwrap();
            let own: Vec<f64> = p.divergence(&p).unwrap().to_vec1().unwrap();
            let other: Vec<f64> = p.divergence(&q).unwrap().to_vec1().unwrap();
            prop_assert!(own.iter().all(|&d| d == 0.0));
            prop_assert!(other.iter().all(|&d| d >= 0.0 && d.is_finite()));
        }
    }
}
