//! Distributions over a vocabulary, in memory that does not grow with the rows: logits are made for a block of rows,
//! used, and made again on the way back, which is written by hand.
//!
//! Products are in the dtype of the decoder's table, by all threads; exponentials and sums of a row are in f64. Sums over
//! rows have the order of the rows, so that the result has the same bits for any number of threads.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;

use operands::{Gradients, Number, Operands, slice};

mod operands;
#[cfg(test)]
mod tests;

/// Logits of a block: 32 MiB of f32.
const BLOCK_LOGITS: usize = 1 << 23;

/// From rows to logits: `rows · tableᵀ + bias`.
#[derive(Clone)]
pub struct Decoder {
    /// `[words, hidden]`, f32 or f64.
    pub table: Tensor,
    /// `[words]`, f64.
    pub bias: Tensor,
}

/// `[rows, hidden]` in f64, and the decoder that makes logits of them.
#[derive(Clone)]
pub struct Decoded {
    /// What the decoder takes.
    pub rows: Tensor,
    /// At the weights of the pass that the rows are from.
    pub decoder: Decoder,
}

impl Decoded {
    /// `[rows]`: −log of the probability of each row's target. Gradients flow to the rows and to the decoder.
    pub fn losses(&self, targets: Arc<[u32]>) -> Result<Tensor> {
        self.values(&self.rows, Asked::Losses(targets))
    }

    /// `[rows]`: KL(P‖Q) + KL(Q‖P) of the distributions of ours and of theirs, row by row. Gradients flow to the rows of
    /// both and to the decoder where that is one for both; of a pass at other weights they flow to none.
    ///
    /// # Errors
    /// Two decoders, both of which want a gradient.
    pub fn divergences(&self, other: &Decoded) -> Result<Tensor> {
        let wants = |decoded: &Decoded| decoded.decoder.table.is_variable();
        if self.decoder.table.id() == other.decoder.table.id() {
            return self.values(&Tensor::cat(&[&self.rows, &other.rows], 0)?, Asked::Divergences(None));
        }
        // The divergence is the same either way round.
        let (tracked, fixed) = match (wants(self), wants(other)) {
            (_, false) => (self, other),
            (false, true) => (other, self),
            (true, true) => {
                candle_core::bail!("a divergence of passes at two sets of weights has one gradient")
            }
        };
        tracked.values(&tracked.rows, Asked::Divergences(Some(fixed.clone())))
    }

    fn values(&self, rows: &Tensor, asked: Asked) -> Result<Tensor> {
        let Decoder { table, bias } = &self.decoder;
        rows.apply_op3(&table.contiguous()?, bias, InBlocks { asked, most: BLOCK_LOGITS })
    }
}

/// What is made of logits.
#[derive(Clone)]
enum Asked {
    /// With the target of each row.
    Losses(Arc<[u32]>),
    /// Of the rows with those of a pass that gets no gradient; without one, of their first half with their second.
    Divergences(Option<Decoded>),
}

/// `[rows, hidden]`, a table and a bias to values, a block of rows at a time.
struct InBlocks {
    asked: Asked,
    /// Logits that a block has, about.
    most: usize,
}

/// log Σ exp of a row.
fn log_sum<T: Number>(logits: &[T]) -> f64 {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, x| most.max(x.to_f64()));
    most + logits.iter().map(|x| (x.to_f64() - most).exp()).sum::<f64>().ln()
}

/// KL(P‖Q) and KL(Q‖P) of two rows of logits, with their log-sums.
fn both_ways<T: Number>([p, q]: [&[T]; 2], [of_p, of_q]: [f64; 2]) -> [f64; 2] {
    p.iter().zip(q).fold([0.0; 2], |[forth, back], (p, q)| {
        let (p, q) = (p.to_f64() - of_p, q.to_f64() - of_q);
        [forth + p.exp() * (p - q), back + q.exp() * (q - p)]
    })
}

impl InBlocks {
    fn blocks(&self, rows: usize, words: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let block = (self.most / words.max(1)).max(1);
        (0..rows).step_by(block).map(move |start| start..rows.min(start + block))
    }

    /// `other` has the rows that ours are compared with, where those are no half of ours.
    fn values<T: Number>(&self, of: &Operands<T>, other: Option<&Operands<T>>) -> Vec<f64> {
        let words = of.words();
        let Asked::Losses(targets) = &self.asked else {
            let pairs = |block: Range<usize>| {
                let (p, q) = (of.logits(&block), other_logits(of, other, &block));
                let pairs = p.par_chunks_exact(words).zip(q.par_chunks_exact(words));
                let divergence =
                    |(p, q): (&[T], &[T])| both_ways([p, q], [log_sum(p), log_sum(q)]).iter().sum::<f64>();
                pairs.map(divergence).collect::<Vec<f64>>()
            };
            return self.blocks(compared(of, other), words).flat_map(pairs).collect();
        };
        let losses = |block: Range<usize>| {
            let logits = of.logits(&block);
            let rows = logits.par_chunks_exact(words).zip(&targets[block]);
            let loss = |(row, &target): (&[T], &u32)| log_sum(row) - row[target as usize].to_f64();
            rows.map(loss).collect::<Vec<f64>>()
        };
        self.blocks(of.count(), words).flat_map(losses).collect()
    }

    /// The gradients of `Σ weights · values`, from the rows alone whose weight is not 0: a gradient of one instance costs
    /// what its own rows do.
    fn gradients_of_weighted<T: Number>(
        &self,
        of: &Operands<T>,
        other: Option<&Operands<T>>,
        weights: &[f64],
    ) -> Gradients<T> {
        let count = weights.len();
        let places: Vec<usize> = (0..count).filter(|&row| weights[row] != 0.0).collect();
        let weights: Vec<f64> = places.iter().map(|&row| weights[row]).collect();
        let asked = match &self.asked {
            Asked::Losses(targets) => Asked::Losses(places.iter().map(|&row| targets[row]).collect()),
            divergences => divergences.clone(),
        };
        let mut taken = places.clone();
        if other.is_none() && matches!(asked, Asked::Divergences(_)) {
            taken.extend(places.iter().map(|row| row + count));
        }
        let (weighted, other) = (of.of_rows(&taken), other.map(|other| other.of_rows(&places)));
        let found = InBlocks { asked, most: self.most }.gradients(&weighted, other.as_ref(), &weights);
        let mut rows = vec![0.0; of.rows.len()];
        for (&row, gradient) in taken.iter().zip(found.rows.chunks_exact(of.hidden)) {
            rows[row * of.hidden..(row + 1) * of.hidden].copy_from_slice(gradient);
        }
        Gradients { rows, ..found }
    }

    fn gradients<T: Number>(
        &self,
        of: &Operands<T>,
        other: Option<&Operands<T>>,
        weights: &[f64],
    ) -> Gradients<T> {
        let words = of.words();
        let mut sums = Gradients {
            rows: vec![0.0; of.rows.len()],
            table: vec![T::zero(); of.table.len()],
            bias: vec![0.0; words],
        };
        let Asked::Losses(targets) = &self.asked else {
            for block in self.blocks(compared(of, other), words) {
                let (mut p, mut q) = (of.logits(&block), other_logits(of, other, &block));
                let pairs = p.par_chunks_exact_mut(words).zip(q.par_chunks_exact_mut(words));
                pairs.zip(&weights[block.clone()]).for_each(|((p, q), &weight)| {
                    to_gradients_of_divergence(p, q, weight);
                });
                of.add(&block, &p, &mut sums);
                if other.is_none() {
                    of.add(&second_half(of, &block), &q, &mut sums);
                }
            }
            return sums;
        };
        for block in self.blocks(of.count(), words) {
            let mut logits = of.logits(&block);
            let of_rows = targets[block.clone()].par_iter().zip(&weights[block.clone()]);
            logits.par_chunks_exact_mut(words).zip(of_rows).for_each(|(row, (&target, &weight))| {
                let log_sum = log_sum(row);
                // p − 1 at the target, p elsewhere.
                let at_target = (row[target as usize].to_f64() - log_sum).exp() - 1.0;
                row.iter_mut().for_each(|x| *x = T::from_f64(weight * (x.to_f64() - log_sum).exp()));
                row[target as usize] = T::from_f64(weight * at_target);
            });
            of.add(&block, &logits, &mut sums);
        }
        sums
    }
}

/// How many rows are compared with others.
fn compared<T: Number>(of: &Operands<T>, other: Option<&Operands<T>>) -> usize {
    if other.is_some() { of.count() } else { of.count() / 2 }
}

/// The rows that a block of the first half is compared with.
fn second_half<T: Number>(of: &Operands<T>, block: &Range<usize>) -> Range<usize> {
    block.start + of.count() / 2..block.end + of.count() / 2
}

/// The logits that those of a block are compared with.
fn other_logits<T: Number>(of: &Operands<T>, other: Option<&Operands<T>>, block: &Range<usize>) -> Vec<T> {
    other.map_or_else(|| of.logits(&second_half(of, block)), |other| other.logits(block))
}

/// Two rows of logits become `weight` times the gradients of KL(P‖Q) + KL(Q‖P):
/// P·(log P − log Q) + P − Q − P·KL(P‖Q), and the same the other way.
fn to_gradients_of_divergence<T: Number>(p: &mut [T], q: &mut [T], weight: f64) {
    let of = [log_sum(p), log_sum(q)];
    let [forth, back] = both_ways([p, q], of);
    for (p, q) in p.iter_mut().zip(q) {
        let (log_p, log_q) = (p.to_f64() - of[0], q.to_f64() - of[1]);
        let (at_p, at_q) = (log_p.exp(), log_q.exp());
        *p = T::from_f64(weight * (at_p * (log_p - log_q - forth) + at_p - at_q));
        *q = T::from_f64(weight * (at_q * (log_q - log_p - back) + at_q - at_p));
    }
}

/// Calls `f` with the rows that ours are compared with, where those are another pass's.
fn with_other<T: Number, R>(asked: &Asked, f: impl FnOnce(Option<&Operands<T>>) -> R) -> Result<R> {
    let Asked::Divergences(Some(Decoded { rows, decoder })) = asked else { return Ok(f(None)) };
    let table = decoder.table.contiguous()?;
    let (storage, layout) = table.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a decoder computes on the CPU") };
    let rows = rows.flatten_all()?.to_vec1()?;
    let other = Operands::new(&rows, slice::<T>(storage, layout)?, &decoder.bias.to_vec1::<f64>()?);
    Ok(f(Some(&other)))
}

impl InBlocks {
    fn back<T: Number>(&self, operands: [&Tensor; 3], weights: &Tensor) -> Result<[Tensor; 3]> {
        let [rows, table, bias] = operands;
        let (storage, layout) = table.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a decoder computes on the CPU") };
        let of = Operands::new(
            &rows.flatten_all()?.to_vec1()?,
            slice::<T>(storage, layout)?,
            &bias.to_vec1::<f64>()?,
        );
        let weights = weights.to_vec1::<f64>()?;
        let found = with_other(&self.asked, |other| self.gradients_of_weighted(&of, other, &weights))?;
        Ok([
            Tensor::from_vec(found.rows, rows.shape(), &Device::Cpu)?,
            Tensor::from_vec(found.table, table.shape(), &Device::Cpu)?,
            Tensor::from_vec(found.bias, bias.shape(), &Device::Cpu)?,
        ])
    }

    fn forward<T: Number>(&self, rows: &[f64], table: &[T], bias: &[f64]) -> Result<Vec<f64>> {
        let of = Operands::new(rows, table, bias);
        with_other(&self.asked, |other| self.values(&of, other))
    }
}

impl CustomOp3 for InBlocks {
    fn name(&self) -> &'static str {
        "words in blocks"
    }

    fn cpu_fwd(
        &self,
        rows: &CpuStorage,
        of_rows: &Layout,
        table: &CpuStorage,
        of_table: &Layout,
        bias: &CpuStorage,
        of_bias: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, bias) = (slice::<f64>(rows, of_rows)?, slice::<f64>(bias, of_bias)?);
        let values = match table {
            CpuStorage::F32(_) => self.forward(rows, slice::<f32>(table, of_table)?, bias)?,
            _ => self.forward(rows, slice::<f64>(table, of_table)?, bias)?,
        };
        let shape = Shape::from(values.len());
        Ok((CpuStorage::F64(values), shape))
    }

    fn bwd(
        &self,
        rows: &Tensor,
        table: &Tensor,
        bias: &Tensor,
        _values: &Tensor,
        weights: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let operands = [rows, table, bias];
        let [rows, table, bias] = match table.dtype() {
            DType::F32 => self.back::<f32>(operands, weights)?,
            _ => self.back::<f64>(operands, weights)?,
        };
        Ok((Some(rows), Some(table), Some(bias)))
    }
}
