//! The gradients of a layer's weights from the steps of some chunks.

use super::layer::{InnerGradients, Saved};
use super::matmul::{Init, Matrix, matmul};
use super::shape::LayerGradients;
use super::vectors::add_to;
use rayon::prelude::*;

/// Columns of a gradient that one task sums over all chunks at a time: with its rows they stay in the cache.
const COLUMNS: usize = 384;

/// A block of rows of one weight's gradient, and which product makes it.
struct Task<'a> {
    block: &'a mut [f32],
    inputs: usize,
    first_row: usize,
    factors: Factors,
}

/// d loss / d (x · Wᵀ) and x for one chunk.
type Factors = for<'s> fn(&'s InnerGradients, &'s Saved, (usize, usize)) -> (Matrix<'s>, Matrix<'s>);

/// A matrix of all rows that `data` has.
fn rows_of(data: &[f32], columns: usize) -> Matrix<'_> {
    Matrix::new(data, data.len() / columns, columns)
}

/// Adds the gradients of all of a layer's weights. Each value is summed over the chunks in order,
/// by one task.
pub(crate) fn accumulate(
    steps: &[(InnerGradients, &Saved)],
    gradients: LayerGradients,
    (h, i): (usize, usize),
) {
    let g = gradients;
    let mut tasks = Vec::new();
    let mut add = |gradient, inputs, factors| split(&mut tasks, gradient, inputs, factors);
    // The largest tasks first.
    add(g.output, i, |s, _, (h, i)| (rows_of(&s.output_gradient, h), rows_of(&s.activated, i)));
    add(g.intermediate, h, |s, _, (h, i)| (rows_of(&s.pre_gradient, i), rows_of(&s.attention_output, h)));
    add(g.key_value, h, |s, _, (h, _)| (rows_of(&s.kv_gradient, 2 * h), rows_of(&s.input, h)));
    add(g.query, h, |s, _, (h, _)| {
        (rows_of(&s.q_gradient, h), rows_of(s.query_input.as_ref().unwrap_or(&s.input), h))
    });
    add(g.attention_output, h, |s, saved, (h, _)| {
        (rows_of(&s.attention_output_gradient, h), rows_of(&saved.context, h))
    });
    tasks.into_par_iter().for_each(|task| {
        let rows = task.block.len() / task.inputs;
        for first in (0..task.inputs).step_by(COLUMNS) {
            let columns = first..(first + COLUMNS).min(task.inputs);
            for (step, saved) in steps {
                let (dy, x) = (task.factors)(step, saved, (h, i));
                let dy = dy.t().row_range(task.first_row..task.first_row + rows);
                let x = x.column_range(columns.clone());
                matmul(&mut task.block[first..], task.inputs, Init::Keep, dy, x);
            }
        }
    });
    for (step, _) in steps {
        let v = &step.vectors;
        add_to(g.query_bias, &v.query_bias);
        add_to(g.key_value_bias, &v.key_value_bias);
        add_to(g.attention_output_bias, &v.attention_output_bias);
        add_to(g.attention_norm_weight, &v.attention_norm_weight);
        add_to(g.attention_norm_bias, &v.attention_norm_bias);
        add_to(g.intermediate_bias, &v.intermediate_bias);
        add_to(g.output_bias, &v.output_bias);
        add_to(g.output_norm_weight, &v.output_norm_weight);
        add_to(g.output_norm_bias, &v.output_norm_bias);
    }
}

fn split<'a>(tasks: &mut Vec<Task<'a>>, gradient: &'a mut [f32], inputs: usize, factors: Factors) {
    // Enough rows to repay packing the other factor, few enough to keep all threads busy, and whole
    // tiles of the product. Each row is summed alike wherever the cuts are.
    let rows = (768 / rayon::current_num_threads()).clamp(24, 384) / 12 * 12;
    for (n, block) in gradient.chunks_mut(rows * inputs).enumerate() {
        tasks.push(Task { block, inputs, first_row: n * rows, factors });
    }
}
