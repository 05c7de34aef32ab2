//! The anchors' distributions over the other embeddings of a batch: NT-Xent's losses and the divergences between two
//! of them, in memory that does not grow with the square of the batch.
//!
//! A batch of usual size has its matrix of log-probabilities `[2N, 2N]` whole, and autograd goes through it. A large
//! one (the matrix of 4096 instances takes half a gigabyte, and its way back dozens of that size) goes through in
//! blocks of rows, forward without a graph, and once more on the way back.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, Var};

use super::nt_xent;

/// Rows up to which the matrix is whole: 8 MiB of f64.
const MOST_WHOLE: usize = 1024;

/// Rows of a block.
const BLOCK: usize = 256;

/// For each of 2N anchors, a distribution over the others.
#[derive(Clone)]
pub struct Distributions {
    /// `[2N, hidden]`
    embeddings: Tensor,
    temperature: f64,
    /// `[2N, 2N]` log-probabilities, where they are whole.
    whole: Option<Tensor>,
}

impl Distributions {
    /// Of `[2N, hidden]` embeddings in f64 on the CPU, first views first.
    pub fn of(embeddings: &Tensor, temperature: f64) -> Result<Self> {
        Self::with_most_whole(embeddings, temperature, MOST_WHOLE)
    }

    fn with_most_whole(embeddings: &Tensor, temperature: f64, most: usize) -> Result<Self> {
        let embeddings = embeddings.contiguous()?;
        let is_small = embeddings.dim(0)? <= most;
        let whole = is_small.then(|| nt_xent::log_probabilities(&embeddings, temperature)).transpose()?;
        Ok(Distributions { embeddings, temperature, whole })
    }

    /// `[N]`: NT-Xent's loss of each instance.
    pub fn losses(&self) -> Result<Tensor> {
        match &self.whole {
            Some(log_probabilities) => nt_xent::losses(log_probabilities),
            None => nt_xent::mean_of_views(&self.embeddings.apply_op1(self.in_blocks(losses_of))?),
        }
    }

    /// `[N]`: KL(P‖Q) + KL(Q‖P) to other distributions of the same batch, averaged over an instance's two anchors.
    /// Gradients flow through both.
    pub fn divergence(&self, other: &Distributions) -> Result<Tensor> {
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
    nt_xent::anchor_divergences(&log_p, &log_q)
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
        let of = |e: &Var| Distributions::with_most_whole(e.as_tensor(), 0.3, most_whole).unwrap();
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
}
