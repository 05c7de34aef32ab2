//! The anchors' distributions over the other embeddings of a batch: NT-Xent's losses and the divergences between two
//! of them, in memory that does not grow with the square of the batch.
//!
//! A batch of usual size has its matrix of log-probabilities `[2N, 2N]` whole, and autograd goes through it. A large
//! one (the matrix of 4096 instances takes half a gigabyte, and its way back dozens of that size) goes through in
//! blocks of rows, forward without a graph, and once more on the way back.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Device, Layout, Result, Shape, Tensor, Var};

use super::log_probabilities::symmetric_divergences;
use super::nt_xent;

/// Rows up to which the matrix is whole: 8 MiB of f64.
pub(crate) const MOST_WHOLE: usize = 1024;

/// Rows of a block.
const BLOCK: usize = 256;

/// For each of 2N anchors, a distribution over the others: by the embeddings as a whole, and by each prefix of them that
/// is trained to do by itself (Kusupati et al., *Matryoshka Representation Learning*, 2022). Losses and divergences are
/// means over these widths, so that terms need not know of them.
#[derive(Clone)]
pub struct Distributions {
    /// The narrowest first, the whole last.
    of_widths: Vec<OfWidth>,
}

impl Distributions {
    /// Of `[2N, hidden]` embeddings in f64, first views first, and of their first `prefixes` values, each
    /// with cosines of its own. A prefix that is no shorter than an embedding is the whole.
    pub fn of(embeddings: &Tensor, temperature: f64, prefixes: &[usize]) -> Result<Self> {
        let hidden = embeddings.dim(D::Minus1)?;
        let prefixes = prefixes.iter().copied().filter(|&prefix| prefix < hidden);
        let of_widths = prefixes.chain([hidden]).map(|width| {
            OfWidth::with_most_whole(&embeddings.narrow(D::Minus1, 0, width)?, temperature, MOST_WHOLE)
        });
        Ok(Distributions { of_widths: of_widths.collect::<Result<_>>()? })
    }

    /// `[N]`: NT-Xent's loss of each instance.
    pub fn losses(&self) -> Result<Tensor> {
        mean_of_widths(self.of_widths.iter().map(OfWidth::losses))
    }

    /// `[N]`: KL(P‖Q) + KL(Q‖P) to other distributions of the same batch and the same widths, averaged over an
    /// instance's two anchors. Gradients flow through both.
    pub fn divergence(&self, other: &Distributions) -> Result<Tensor> {
        let widths = self.of_widths.iter().zip(&other.of_widths);
        mean_of_widths(widths.map(|(ours, theirs)| ours.divergence(theirs)))
    }
}

/// The mean of `[N]` values; of a single width they stay what they are, to the bit.
fn mean_of_widths(of_widths: impl ExactSizeIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let count = of_widths.len();
    match of_widths.reduce(|sum, values| sum? + values?) {
        Some(sum) if count > 1 => sum? / count as f64,
        Some(sum) => sum,
        None => candle_core::bail!("a loss of no width"),
    }
}

/// The same of one width.
#[derive(Clone)]
struct OfWidth {
    /// `[2N, hidden]`
    embeddings: Tensor,
    temperature: f64,
    /// `[2N, 2N]` log-probabilities, where they are whole.
    whole: Option<Tensor>,
}

impl OfWidth {
    fn with_most_whole(embeddings: &Tensor, temperature: f64, most: usize) -> Result<Self> {
        let is_small = embeddings.dim(0)? <= most;
        // Blocks are made on the CPU.
        let embeddings = if is_small { embeddings.clone() } else { embeddings.to_device(&Device::Cpu)? };
        let embeddings = embeddings.contiguous()?;
        let whole = is_small.then(|| nt_xent::log_probabilities(&embeddings, temperature)).transpose()?;
        Ok(OfWidth { embeddings, temperature, whole })
    }

    fn losses(&self) -> Result<Tensor> {
        match &self.whole {
            Some(log_probabilities) => nt_xent::losses(log_probabilities),
            None => nt_xent::mean_of_views(&self.embeddings.apply_op1(self.in_blocks(losses_of))?),
        }
    }

    fn divergence(&self, other: &OfWidth) -> Result<Tensor> {
        match (&self.whole, &other.whole) {
            (Some(log_p), Some(log_q)) => nt_xent::symmetric_divergence(log_p, log_q),
            _ => {
                let divergences = self.in_blocks(divergences_of);
                nt_xent::mean_of_views(&self.embeddings.apply_op2(&other.embeddings, divergences)?)
            }
        }
    }

    fn in_blocks(&self, values_of: ValuesOf) -> InBlocks {
        InBlocks { temperature: self.temperature, values_of }
    }
}

/// `[rows]` values of the anchors in a range of rows, from all embeddings.
type ValuesOf = fn(Range<usize>, &[Tensor], f64) -> Result<Tensor>;

fn losses_of(rows: Range<usize>, embeddings: &[Tensor], temperature: f64) -> Result<Tensor> {
    let all = embeddings[0].dim(0)?;
    let log_probabilities = nt_xent::log_probabilities_of(rows.clone(), &embeddings[0], temperature)?;
    nt_xent::anchor_losses(&log_probabilities, rows, all)
}

fn divergences_of(rows: Range<usize>, embeddings: &[Tensor], temperature: f64) -> Result<Tensor> {
    let log_p = nt_xent::log_probabilities_of(rows.clone(), &embeddings[0], temperature)?;
    let log_q = nt_xent::log_probabilities_of(rows, &embeddings[1], temperature)?;
    symmetric_divergences(&log_p, &log_q)
}

/// `[2N, hidden]` embeddings, once or twice, to `[2N]` values of anchors, a block of rows at a time.
struct InBlocks {
    temperature: f64,
    values_of: ValuesOf,
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..rows.min(start + BLOCK))
}

impl InBlocks {
    fn values(&self, embeddings: &[Tensor]) -> Result<(CpuStorage, Shape)> {
        let rows = embeddings[0].dim(0)?;
        let mut values = Vec::with_capacity(rows);
        for block in blocks(rows) {
            values.extend((self.values_of)(block, embeddings, self.temperature)?.to_vec1::<f64>()?);
        }
        Ok((CpuStorage::F64(values), Shape::from(rows)))
    }

    /// The gradients of `Σ weights · values` for each of the embeddings.
    fn gradients(&self, embeddings: &[&Tensor], weights: &Tensor) -> Result<Vec<Tensor>> {
        let leaves = embeddings.iter().map(|e| Var::from_tensor(e)).collect::<Result<Vec<_>>>()?;
        let tracked: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
        let mut sums = tracked.iter().map(Tensor::zeros_like).collect::<Result<Vec<_>>>()?;
        for block in blocks(weights.dim(0)?) {
            let weights = weights.narrow(0, block.start, block.len())?;
            let values = (self.values_of)(block, &tracked, self.temperature)?;
            let gradients = (values * weights)?.sum_all()?.backward()?;
            for (sum, leaf) in sums.iter_mut().zip(&leaves) {
                if let Some(gradient) = gradients.get(leaf) {
                    *sum = (&*sum + gradient)?;
                }
            }
        }
        Ok(sums)
    }
}

fn tensor(storage: &CpuStorage, layout: &Layout) -> Result<Tensor> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("embeddings that are not contiguous")
    };
    Tensor::from_slice(&storage.as_slice::<f64>()?[start..end], layout.shape(), &Device::Cpu)
}

impl CustomOp1 for InBlocks {
    fn name(&self) -> &'static str {
        "anchors in blocks"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.values(&[tensor(storage, layout)?])
    }

    fn bwd(&self, embeddings: &Tensor, _values: &Tensor, weights: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.gradients(&[embeddings], weights)?.pop())
    }
}

impl CustomOp2 for InBlocks {
    fn name(&self) -> &'static str {
        "pairs of anchors in blocks"
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.values(&[tensor(first, first_layout)?, tensor(second, second_layout)?])
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _values: &Tensor,
        weights: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(&[first, second], weights)?;
        let second = gradients.pop();
        Ok((gradients.pop(), second))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Key;

    /// Random embeddings, some of them near each other.
    fn embeddings(seed: u64, rows: usize) -> Var {
        let values: Vec<f64> = (0..rows * 5).map(|i| Key::new(seed).at(i as u64 % 400).normal(0)).collect();
        let noise: Vec<f64> =
            (0..rows * 5).map(|i| 0.3 * Key::new(seed + 9).at(i as u64).normal(0)).collect();
        let values: Vec<f64> = values.iter().zip(noise).map(|(a, b)| a + b).collect();
        Var::from_tensor(&Tensor::from_vec(values, (rows, 5), &Device::Cpu).unwrap()).unwrap()
    }

    /// Values of instances and the gradient of a weighted sum of them, of losses and of divergences together.
    fn found(rows: usize, most_whole: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
        let [first, second] = [1, 2].map(|seed| embeddings(seed, rows));
        let of = |e: &Var| OfWidth::with_most_whole(e.as_tensor(), 0.3, most_whole).unwrap();
        let (p, q) = (of(&first), of(&second));
        let values = (p.losses().unwrap() + (p.divergence(&q).unwrap() * 0.7).unwrap()).unwrap();
        let weights: Vec<f64> = (0..rows / 2).map(|i| Key::new(3).at(i as u64).normal(0)).collect();
        let weights = Tensor::from_vec(weights, rows / 2, &Device::Cpu).unwrap();
        let gradients = (&values * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = |e: &Var| gradients.get(e).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        (values.to_vec1().unwrap(), vec![gradient(&first), gradient(&second)])
    }

    /// Blocks that come out even, and one that does not.
    #[test]
    fn blocks_give_what_the_whole_matrix_gives() {
        for rows in [4, 2 * BLOCK, 2 * BLOCK + 6] {
            let ((whole, whole_gradients), (values, gradients)) = (found(rows, rows), found(rows, 0));
            let worst =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst(&whole, &values) < 1e-12, "{rows} rows: {:e}", worst(&whole, &values));
            for (a, b) in whole_gradients.iter().zip(&gradients) {
                assert!(worst(a, b) < 1e-12, "{rows} rows: {:e}", worst(a, b));
            }
        }
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
        let leaf = Var::from_tensor(&Tensor::from_vec(values, (6, 6), &Device::Cpu).unwrap()).unwrap();
        let losses = Distributions::of(leaf.as_tensor(), 0.2, &[2, 4]).unwrap().losses().unwrap();
        let loss = losses.mean_all().unwrap();
        assert!((loss.to_scalar::<f64>().unwrap() - LOSS).abs() < 1e-12, "{loss}");
        let gradient: Vec<Vec<f64>> = loss.backward().unwrap().get(&leaf).unwrap().to_vec2().unwrap();
        for (ours, theirs) in gradient.iter().flatten().zip(GRADIENT.iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
        }
    }

    proptest! {
        /// Losses and divergences of prefixes are the means of those of embeddings that end there.
        #[test]
        fn prefixes_give_the_mean_of_narrower_embeddings(
            n in 2usize..5, hidden in 2usize..9, seed in any::<u64>(),
            chosen in prop::collection::btree_set(1usize..12, 0..4), tau in 0.04f64..2.0,
        ) {
            let prefixes: Vec<usize> = chosen.into_iter().collect();
            let widths: Vec<usize> = prefixes.iter().copied().filter(|&w| w < hidden).chain([hidden]).collect();
            let value = |which: u64, i: usize| Key::new(seed).at(which).normal(i as u32);
            let of = |which: u64, prefixes: &[usize], width: usize| {
                let rows = (0..2 * n).flat_map(|row| (0..width).map(move |k| value(which, row * hidden + k)));
                let rows = Tensor::from_vec(rows.collect::<Vec<f64>>(), (2 * n, width), &Device::Cpu).unwrap();
                Distributions::of(&rows, tau, prefixes).unwrap()
            };
            let values = |prefixes: &[usize], width: usize| {
                let (p, q) = (of(0, prefixes, width), of(1, prefixes, width));
                [p.losses().unwrap(), p.divergence(&q).unwrap()].map(|t| t.to_vec1::<f64>().unwrap())
            };
            let [losses, divergences] = values(&prefixes, hidden);
            let narrower: Vec<_> = widths.iter().map(|&width| values(&[], width)).collect();
            for j in 0..n {
                for (which, ours) in [losses[j], divergences[j]].into_iter().enumerate() {
                    let mean = narrower.iter().map(|values| values[which][j]).sum::<f64>() / widths.len() as f64;
                    prop_assert!((ours - mean).abs() < 1e-9 * mean.abs().max(1.0), "{ours} {mean}");
                }
            }
        }
    }
}
