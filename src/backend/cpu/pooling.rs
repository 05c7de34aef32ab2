//! From hidden states to one embedding for each sequence, or to the chosen ones. Padding rows are in the batch where `mean-padded`
//! wants them, so that its mean is that of all rows, as any other.

use super::chunk::{ChunkContext, Queries};
use super::simd::kernel;
use super::vectors::add_to;
use crate::backend::Readout;
use crate::batch::PackedBatch;
use crate::model::Pooling;
use std::ops::Range;

/// How many of the last layer's rows matter.
pub(crate) fn queries(readout: Readout, batch: &PackedBatch) -> Queries {
    match readout {
        Readout::Chosen => Queries::Chosen,
        Readout::Pooled(Pooling::Cls) if batch.unpooled.iter().all(|&rows| rows == 0) => Queries::First,
        Readout::Pooled(_) => Queries::All,
    }
}

/// The factor of a layer's mean.
fn share(pooling: Pooling) -> f32 {
    if pooling == Pooling::FirstLastAvg { 0.5 } else { 1.0 }
}

/// The rows of a layer's output that the chunk's `i`-th sequence is pooled from; there may be none.
fn pooled_rows(c: &ChunkContext, pooling: Pooling, queries: Queries, i: usize) -> Range<usize> {
    if queries == Queries::First {
        return i..i + 1;
    }
    let (all, unpooled) = (c.rows(i), c.unpooled(i));
    match pooling {
        Pooling::Cls => {
            let first = if unpooled < all.len() { all.start + unpooled } else { all.start };
            first..first + 1
        }
        _ => all.start + unpooled..all.end,
    }
}

/// Adds the part of one layer's output: `hidden_states` is `[queries, hidden]`; `pooled` is `[outputs, hidden]`.
pub(crate) fn add(
    c: &ChunkContext,
    readout: Readout,
    queries: Queries,
    hidden_states: &[f32],
    pooled: &mut [f32],
) {
    let Readout::Pooled(pooling) = readout else {
        // Of chosen rows the last layer computes no others.
        pooled.copy_from_slice(hidden_states);
        return;
    };
    let hidden = c.shape.hidden;
    for (i, out) in pooled.chunks_exact_mut(hidden).enumerate() {
        let rows = pooled_rows(c, pooling, queries, i);
        let scale = share(pooling) / rows.len().max(1) as f32;
        add_mean(&hidden_states[rows.start * hidden..rows.end * hidden], scale, out);
    }
}

kernel! {
fn add_mean<'a, S>(simd, rows: &'a [f32], scale: f32, out: &'a mut [f32]) {
    let hidden = out.len();
    for start in (0..hidden).step_by(64) {
        let end = (start + 64).min(hidden);
        let mut sum = [0f32; 64];
        for row in rows.chunks_exact(hidden) {
            for (sum, &x) in sum.iter_mut().zip(&row[start..end]) {
                *sum += x;
            }
        }
        for (out, &sum) in out[start..end].iter_mut().zip(&sum) {
            *out = super::simd::fma::<S>(sum, scale, *out);
        }
    }
}
}

/// Adds `gradient` `[outputs, hidden]` of the embeddings to that of one layer's output.
pub(crate) fn backward(
    c: &ChunkContext,
    readout: Readout,
    queries: Queries,
    gradient: &[f32],
    hidden_gradient: &mut [f32],
) {
    let Readout::Pooled(pooling) = readout else {
        add_to(hidden_gradient, gradient);
        return;
    };
    let hidden = c.shape.hidden;
    for (i, g) in gradient.chunks_exact(hidden).enumerate() {
        let rows = pooled_rows(c, pooling, queries, i);
        let scale = share(pooling) / rows.len().max(1) as f32;
        for row in hidden_gradient[rows.start * hidden..rows.end * hidden].chunks_exact_mut(hidden) {
            for (out, &g) in row.iter_mut().zip(g) {
                *out += g * scale;
            }
        }
    }
}
