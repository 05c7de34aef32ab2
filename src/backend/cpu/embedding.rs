//! Token, position and, where there are any, type embeddings with LayerNorm and dropout, and their sparse gradient.

use super::buffers::Buffer;
use super::chunk::{ChunkContext, Queries};
use super::layer_norm::{self, RowDropout, Sums};
use super::shape::{EmbeddingGradients, EmbeddingWeights};
use super::simd::kernel;
use super::vectors::add_to;
use crate::batch::PackedBatch;
use crate::random::{Dropout, Key, Site};
use rayon::prelude::*;

/// What the backward needs.
pub(crate) struct Saved {
    /// `[tokens, hidden]`
    normalised: Buffer,
    /// `[tokens]`
    rstd: Buffer,
}

fn dropout_of<'a>(c: &ChunkContext, keys: &'a Option<Vec<Key>>) -> Option<RowDropout<'a>> {
    let dropout = Dropout::new(c.pass.hidden_dropout)?;
    keys.as_ref().map(|keys| RowDropout { dropout, keys })
}

/// dropout(LayerNorm(word + noise + position + type)), `[tokens, hidden]`. `noise` is `[total_tokens,
/// hidden]` of the whole batch.
pub(crate) fn forward(c: &ChunkContext, w: &EmbeddingWeights, noise: Option<&[f32]>) -> (Buffer, Saved) {
    let (hidden, tokens) = (c.shape.hidden, c.total_tokens());
    let mut sum = Buffer::unspecified(tokens * hidden);
    let rows = c.batch_rows().flatten();
    for (row, out) in rows.zip(sum.chunks_exact_mut(hidden)) {
        let at = |i: u32| i as usize * hidden..(i as usize + 1) * hidden;
        let word = &w.word[at(c.batch.token_ids[row])];
        let position = &w.position[at(c.batch.position_ids[row])];
        let noise = noise.map(|noise| &noise[row * hidden..(row + 1) * hidden]);
        let of_type = w.token_type.get(at(c.batch.token_types[row]));
        add_rows(word, noise, position, of_type, out);
    }
    let mut y = Buffer::unspecified(tokens * hidden);
    let mut rstd = Buffer::unspecified(tokens);
    layer_norm::forward(&mut sum, None, None, w.norm(), c.shape.layer_norm_eps, &mut rstd, &mut y);
    drop_embeddings(c, &mut y);
    (y, Saved { normalised: sum, rstd })
}

kernel! {
fn add_rows<'a, S>(
    simd,
    word: &'a [f32],
    noise: Option<&'a [f32]>,
    position: &'a [f32],
    token_type: Option<&'a [f32]>,
    out: &'a mut [f32],
) {
    out.copy_from_slice(word);
    if let Some(noise) = noise {
        for (out, &x) in out.iter_mut().zip(noise) {
            *out += x;
        }
    }
    match token_type {
        Some(token_type) => {
            for ((out, &p), &t) in out.iter_mut().zip(position).zip(token_type) {
                *out += p + t;
            }
        }
        None => {
            for (out, &p) in out.iter_mut().zip(position) {
                *out += p;
            }
        }
    }
}
}

fn drop_embeddings(c: &ChunkContext, y: &mut [f32]) {
    let keys = c.row_keys(0, Site::Embeddings, Queries::All);
    if let Some(dropout) = dropout_of(c, &keys) {
        layer_norm::apply_dropout(y, c.shape.hidden, dropout);
    }
}

impl Saved {
    /// The forward's output again.
    pub fn output(&self, c: &ChunkContext, w: &EmbeddingWeights) -> Buffer {
        let mut y = Buffer::unspecified(self.normalised.len());
        layer_norm::output(&self.normalised, w.norm(), &mut y);
        drop_embeddings(c, &mut y);
        y
    }
}

/// Turns the gradient of the output into that of the sum of embeddings, in place. Returns the parts of
/// the LayerNorm's gradients, weight and bias.
pub(crate) fn backward(
    c: &ChunkContext,
    w: &EmbeddingWeights,
    saved: &Saved,
    gradient: &mut [f32],
) -> (Buffer, Buffer) {
    let hidden = c.shape.hidden;
    drop_embeddings(c, gradient);
    let (mut weight, mut bias) = (Buffer::zeros(hidden), Buffer::zeros(hidden));
    let sums = Sums { weight: &mut weight, bias: &mut bias, branch_bias: &mut [] };
    layer_norm::backward(gradient, &saved.normalised, &saved.rstd, w.norm(), None, None, sums);
    (weight, bias)
}

/// Adds the gradients of the tables from that of the sums, `[total_tokens, hidden]` in the batch's order.
/// Only rows that the batch uses are touched, and each is summed in the order of the batch.
pub(crate) fn accumulate_tables(batch: &PackedBatch, sum_gradient: &[f32], gradients: EmbeddingGradients) {
    let hidden = gradients.norm_weight.len();
    scatter(&batch.token_ids, sum_gradient, gradients.word, hidden);
    // Few positions and types: sums over the tokens of each type at each position first, from which both follow.
    let count = |ids: &[u32]| ids.iter().max().map_or(0, |&most| most as usize + 1);
    let (positions, types) = (count(&batch.position_ids), count(&batch.token_types));
    let places = batch.position_ids.iter().zip(&batch.token_types);
    let places: Vec<u32> =
        places.map(|(position, of_token)| of_token * positions as u32 + position).collect();
    let mut by_place = Buffer::zeros(types * positions * hidden);
    scatter(&places, sum_gradient, &mut by_place, hidden);
    let has_types = !gradients.token_type.is_empty();
    for (of_type, sums) in by_place.chunks_exact((positions * hidden).max(1)).enumerate() {
        add_to(&mut gradients.position[..sums.len()], sums);
        if has_types {
            let into = &mut gradients.token_type[of_type * hidden..(of_type + 1) * hidden];
            sums.chunks_exact(hidden).for_each(|row| add_to(into, row));
        }
    }
}

/// `table[ids[r]] += rows[r]`, the table's rows divided between threads.
fn scatter(ids: &[u32], rows: &[f32], table: &mut [f32], hidden: usize) {
    /// Rows that a task adds, about.
    const TASK_ROWS: usize = 512;
    let mut order: Vec<(u32, u32)> = ids.iter().zip(0..).map(|(&id, row)| (id, row)).collect();
    order.sort_unstable();
    let mut tasks = Vec::new();
    let (mut rest, mut first_id, mut start) = (table, 0usize, 0usize);
    while start < order.len() {
        let mut end = (start + TASK_ROWS).min(order.len());
        while end < order.len() && order[end].0 == order[end - 1].0 {
            end += 1;
        }
        let next_id = order[end - 1].0 as usize + 1;
        let (part, tail) = rest.split_at_mut((next_id - first_id) * hidden);
        tasks.push((part, first_id, &order[start..end]));
        (rest, first_id, start) = (tail, next_id, end);
    }
    tasks.into_par_iter().for_each(|(part, first_id, order)| {
        for &(id, row) in order {
            let to = (id as usize - first_id) * hidden;
            let from = row as usize * hidden;
            add_to(&mut part[to..to + hidden], &rows[from..from + hidden]);
        }
    });
}
