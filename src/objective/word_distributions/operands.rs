//! Rows and a decoder in one dtype, and the products of them.

use std::ops::Range;

use candle_core::{CpuStorage, Layout, Result, WithDType};
use rayon::prelude::*;

use crate::backend::dense;

/// Values of a dtype in which there are products.
pub trait Number: WithDType {
    /// `y = x · Wᵀ + b`
    fn linear(x: &[Self], weight: &[Self], bias: &[Self], y: &mut [Self]);
    /// `x = y · W`
    fn through(y: &[Self], weight: &[Self], outputs: usize, x: &mut [Self]);
    /// `into += yᵀ · x`
    fn add_weight_gradient(y: &[Self], x: &[Self], outputs: usize, into: &mut [Self]);
}

impl Number for f32 {
    fn linear(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        dense::linear(x, weight, bias, y);
    }

    fn through(y: &[f32], weight: &[f32], outputs: usize, x: &mut [f32]) {
        dense::through(y, weight, outputs, x);
    }

    fn add_weight_gradient(y: &[f32], x: &[f32], outputs: usize, into: &mut [f32]) {
        dense::add_weight_gradient(y, x, outputs, into);
    }
}

/// Plain sums, for what is held against exact values.
impl Number for f64 {
    fn linear(x: &[f64], weight: &[f64], bias: &[f64], y: &mut [f64]) {
        let inputs = weight.len() / bias.len();
        let rows = y.par_chunks_exact_mut(bias.len()).zip(x.par_chunks_exact(inputs));
        rows.for_each(|(y, x)| {
            for ((y, w), b) in y.iter_mut().zip(weight.chunks_exact(inputs)).zip(bias) {
                *y = b + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
            }
        });
    }

    fn through(y: &[f64], weight: &[f64], outputs: usize, x: &mut [f64]) {
        let inputs = weight.len() / outputs;
        x.par_chunks_exact_mut(inputs).zip(y.par_chunks_exact(outputs)).for_each(|(x, y)| {
            x.fill(0.0);
            for (y, w) in y.iter().zip(weight.chunks_exact(inputs)) {
                x.iter_mut().zip(w).for_each(|(x, w)| *x += y * w);
            }
        });
    }

    fn add_weight_gradient(y: &[f64], x: &[f64], outputs: usize, into: &mut [f64]) {
        let inputs = into.len() / outputs;
        into.par_chunks_exact_mut(inputs).enumerate().for_each(|(output, into)| {
            for (y, x) in y.chunks_exact(outputs).zip(x.chunks_exact(inputs)) {
                into.iter_mut().zip(x).for_each(|(into, x)| *into += y[output] * x);
            }
        });
    }
}

/// What a call goes over: `[rows, hidden]` rows and the decoder, in one dtype.
pub struct Operands<'a, T> {
    pub rows: Vec<T>,
    pub table: &'a [T],
    pub bias: Vec<T>,
    pub hidden: usize,
}

/// Gradients of the three, in their dtypes.
pub struct Gradients<T> {
    pub rows: Vec<f64>,
    pub table: Vec<T>,
    pub bias: Vec<f64>,
}

impl<'a, T: Number> Operands<'a, T> {
    pub fn new(rows: &[f64], table: &'a [T], bias: &[f64]) -> Self {
        let narrowed = |values: &[f64]| values.iter().map(|&value| T::from_f64(value)).collect();
        Operands { rows: narrowed(rows), table, bias: narrowed(bias), hidden: table.len() / bias.len() }
    }

    pub fn words(&self) -> usize {
        self.bias.len()
    }

    pub fn count(&self) -> usize {
        self.rows.len() / self.hidden
    }

    /// Of some rows alone.
    pub fn of_rows(&self, places: &[usize]) -> Operands<'a, T> {
        let row = |&place: &usize| self.slice(&(place..place + 1)).iter().copied();
        Operands { rows: places.iter().flat_map(row).collect(), bias: self.bias.clone(), ..*self }
    }

    pub fn slice(&self, rows: &Range<usize>) -> &[T] {
        &self.rows[rows.start * self.hidden..rows.end * self.hidden]
    }

    /// `[block, words]`
    pub fn logits(&self, rows: &Range<usize>) -> Vec<T> {
        let mut logits = vec![T::zero(); rows.len() * self.words()];
        T::linear(self.slice(rows), self.table, &self.bias, &mut logits);
        logits
    }

    /// Adds what the gradient of a block's logits gives.
    pub fn add(&self, rows: &Range<usize>, of_logits: &[T], into: &mut Gradients<T>) {
        let mut of_rows = vec![T::zero(); rows.len() * self.hidden];
        T::through(of_logits, self.table, self.words(), &mut of_rows);
        let to = &mut into.rows[rows.start * self.hidden..rows.end * self.hidden];
        to.iter_mut().zip(&of_rows).for_each(|(to, from)| *to += from.to_f64());
        T::add_weight_gradient(of_logits, self.slice(rows), self.words(), &mut into.table);
        into.bias.par_chunks_mut(4096).enumerate().for_each(|(part, sums)| {
            for row in of_logits.chunks_exact(self.bias.len()) {
                sums.iter_mut().zip(&row[part * 4096..]).for_each(|(sum, x)| *sum += x.to_f64());
            }
        });
    }
}

/// The values of a contiguous tensor on the CPU.
pub fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("the operands of a decoder are contiguous"),
    }
}
