//! The gradients of a layer's weights from the steps of some chunks.

use super::layer::InnerGradients;
use super::products::{Backward, TILE_COLUMNS};
use super::shape::LayerGradients;
use super::vectors::add_to;
use rayon::prelude::*;

/// Columns of a gradient that one task sums over all chunks at a time: with its rows they stay in the cache.
const COLUMNS: usize = 384;
const _: () = assert!(COLUMNS.is_multiple_of(TILE_COLUMNS));

/// A block of rows of one weight's gradient, and which product makes it.
struct Task<'a, P: Backward> {
    block: &'a mut [f32],
    inputs: usize,
    first_row: usize,
    factors: Factors<P>,
}

/// d loss / d (x · Wᵀ) and x for one chunk.
type Factors<P> =
    for<'s, 'a> fn(&'s InnerGradients<'a, P>) -> (&'s <P as Backward>::Left, &'s <P as Backward>::Right<'a>);

/// Adds the gradients of all of a layer's weights. Each value is summed over the chunks in order,
/// by one task.
pub(crate) fn accumulate<P: Backward>(
    products: &P,
    steps: &[InnerGradients<P>],
    gradients: LayerGradients,
    (h, i): (usize, usize),
) {
    let g = gradients;
    let mut tasks = Vec::new();
    let mut add = |gradient, inputs, factors| split(&mut tasks, gradient, inputs, factors);
    // The largest tasks first.
    add(g.output, i, |s| (&s.output.gradient, &s.output.input));
    add(g.intermediate, h, |s| (&s.intermediate.gradient, &s.intermediate.input));
    add(g.key_value, h, |s| (&s.key_value.gradient, &s.key_value.input));
    add(g.query, h, |s| (&s.query, s.query_input.as_ref().unwrap_or(&s.key_value.input)));
    add(g.attention_output, h, |s| (&s.attention_output.gradient, &s.attention_output.input));
    tasks.into_par_iter().for_each(|task: Task<P>| {
        let rows = task.first_row..task.first_row + task.block.len() / task.inputs;
        for first in (0..task.inputs).step_by(COLUMNS) {
            let columns = first..(first + COLUMNS).min(task.inputs);
            for step in steps {
                let (gradient, input) = (task.factors)(step);
                let (left, right) = ((gradient, rows.clone()), (input, columns.clone()));
                products.add_weight_gradient(left, right, &mut task.block[first..], task.inputs);
            }
        }
    });
    for step in steps {
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

fn split<'a, P: Backward>(
    tasks: &mut Vec<Task<'a, P>>,
    gradient: &'a mut [f32],
    inputs: usize,
    factors: Factors<P>,
) {
    // Enough rows to repay packing the other factor, few enough to keep all threads busy, and whole
    // tiles of the product. Each row is summed alike wherever the cuts are.
    let tile = P::TILE_ROWS;
    let rows = (768 / rayon::current_num_threads()).clamp(2 * tile, 384) / tile * tile;
    for (n, block) in gradient.chunks_mut(rows * inputs).enumerate() {
        tasks.push(Task { block, inputs, first_row: n * rows, factors });
    }
}
