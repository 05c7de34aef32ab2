//! Products of dense f32 matrices for what stands on an encoder, by all threads, with the same bits for any number of
//! them.

use super::matmul::{Init, MAX_ROWS, Matrix, matmul, shared_matmul};
use rayon::prelude::*;

/// `y = x · Wᵀ + b`: `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`, `y` `[rows, outputs]`.
///
/// Panics where sizes do not go together.
pub fn linear(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let (x, w) = (Matrix::new(x, x.len() / inputs, inputs), Matrix::new(weight, outputs, inputs));
    shared_matmul(rayon::current_num_threads(), y, Init::Row(bias), x, w.t());
}

/// `x = y · W`, the way back from a gradient `y` `[rows, outputs]` of what [`linear`] gives to that of its input.
///
/// Panics where sizes do not go together.
pub fn through(y: &[f32], weight: &[f32], outputs: usize, x: &mut [f32]) {
    let inputs = weight.len() / outputs;
    let (y, w) = (Matrix::new(y, y.len() / outputs, outputs), Matrix::new(weight, outputs, inputs));
    shared_matmul(rayon::current_num_threads(), x, Init::Zero, y, w);
}

/// `into += yᵀ · x`, the gradient `[outputs, inputs]` of [`linear`]'s weight, from that of what it gives and its input.
///
/// Panics where sizes do not go together.
pub fn add_weight_gradient(y: &[f32], x: &[f32], outputs: usize, into: &mut [f32]) {
    /// Rows of the gradient that a task adds; whole tiles of the product.
    const TASK_ROWS: usize = 64 * MAX_ROWS;
    let inputs = into.len() / outputs;
    let rows = y.len() / outputs;
    let (y, x) = (Matrix::new(y, rows, outputs).t(), Matrix::new(x, rows, inputs));
    into.par_chunks_mut(TASK_ROWS * inputs).enumerate().for_each(|(task, into)| {
        let first = task * TASK_ROWS;
        matmul(into, inputs, Init::Keep, y.row_range(first..first + into.len() / inputs), x);
    });
}
