//! Attention's kernels over packed rows: scores never lie in the device's memory.

use candle_core::Result;

use super::batch::{Queries, dropout};
use super::context::Context;
use super::device::{Argument, Buffer, Element, Grid, Pointer, arguments};

/// The widest head that attention.cu computes.
pub const WIDEST_HEAD: usize = 128;

/// Four warps, as attention.cu has them.
const THREADS: u32 = 128;

/// Queries, or keys, that a block covers, as attention.cu has it.
fn tile(head_size: usize) -> usize {
    if head_size <= 64 { 32 } else { 16 }
}

/// A block for each sequence, head and tile, with shared memory for so many tiles of rows and so many more values a row.
fn grid(c: &Context, tiles: usize, rows: usize, values: usize) -> Grid {
    let d = c.shape.hidden / c.shape.heads;
    let shared = size_of::<f32>() * tile(d) * (rows * (d | 1) + values);
    Grid { blocks: (c.batch.sequences, c.shape.heads, tiles), threads: THREADS, shared }
}

/// Queries `[queries, hidden]`, and keys and values `[tokens, 2 · hidden]`: one matrix `[tokens, 3 · hidden]` where all
/// rows are queries.
#[derive(Debug)]
pub struct Projections<T: Element> {
    hidden: usize,
    /// Where they lie apart.
    pub queries: Option<Buffer<T>>,
    pub rest: Buffer<T>,
}

impl<T: Element> Projections<T> {
    /// To be written.
    pub fn new(c: &Context, queries: &Queries) -> Result<Self> {
        let hidden = c.shape.hidden;
        Ok(if queries.all {
            Projections { hidden, queries: None, rest: c.gpu.buffer(queries.rows * 3 * hidden)? }
        } else {
            let apart = Some(c.gpu.buffer(queries.rows * hidden)?);
            Projections { hidden, queries: apart, rest: c.gpu.buffer(c.batch.tokens * 2 * hidden)? }
        })
    }

    fn queries(&self) -> (Pointer<T>, usize) {
        match &self.queries {
            Some(queries) => (queries.pointer(), self.hidden),
            None => (self.rest.pointer(), 3 * self.hidden),
        }
    }

    fn keys_and_values(&self) -> (Pointer<T>, usize) {
        match &self.queries {
            Some(_) => (self.rest.pointer(), 2 * self.hidden),
            None => (self.rest.pointer().at(self.hidden), 3 * self.hidden),
        }
    }
}

/// Context `[queries, hidden]`, and the logarithm of each softmax's sum, `[heads, queries]`.
pub fn forward<T: Element>(
    c: &Context,
    layer: usize,
    projections: &Projections<T>,
    queries: &Queries,
) -> Result<(Buffer<T>, Buffer<f32>)> {
    let context = c.gpu.buffer::<T>(queries.rows * c.shape.hidden)?;
    let logsumexp = c.gpu.buffer::<f32>(queries.rows * c.shape.heads)?;
    let tiles = queries.longest.div_ceil(tile(c.shape.hidden / c.shape.heads));
    let mut arguments = inputs(c, projections, queries);
    arguments.extend(arguments![context.pointer(), logsumexp.pointer()]);
    arguments.extend(numbers(c, layer, projections));
    c.gpu.launch::<T>("attention", grid(c, tiles, 3, 0), &arguments)?;
    Ok((context, logsumexp))
}

/// The gradient of the projections, in their form.
pub fn backward<T: Element>(
    c: &Context,
    layer: usize,
    projections: &Projections<T>,
    queries: &Queries,
    (context, logsumexp): (&Buffer<T>, &Buffer<f32>),
    grad_context: &Buffer<T>,
) -> Result<Projections<T>> {
    let gradient = Projections::new(c, queries)?;
    let tile = tile(c.shape.hidden / c.shape.heads);
    let tiles = queries.longest.div_ceil(tile) + c.batch.longest.div_ceil(tile);
    let mut arguments = inputs(c, projections, queries);
    arguments.extend(arguments![context.pointer(), grad_context.pointer(), logsumexp.pointer()]);
    arguments.extend(arguments![gradient.queries().0, gradient.keys_and_values().0]);
    arguments.extend(numbers(c, layer, projections));
    c.gpu.launch::<T>("attention_backward", grid(c, tiles, 4, 2), &arguments)?;
    Ok(gradient)
}

fn inputs<T: Element>(c: &Context, projections: &Projections<T>, queries: &Queries) -> Vec<Argument> {
    let b = c.batch;
    arguments![
        projections.queries().0,
        projections.keys_and_values().0,
        queries.cu_queries,
        queries.row_token,
        b.cu_seqlens(),
        b.key_lens(),
        b.keys(),
        Pointer::<f32>::NULL,
    ]
    .to_vec()
}

fn numbers<T: Element>(c: &Context, layer: usize, projections: &Projections<T>) -> [Argument; 11] {
    let (threshold, scale) = dropout(c.pass.attention_dropout);
    arguments![
        projections.queries().1 as u32,
        projections.keys_and_values().1 as u32,
        c.shape.hidden as u32,
        c.shape.heads as u32,
        (c.shape.hidden / c.shape.heads) as u32,
        c.batch.longest as u32,
        c.shape.score_scale(),
        layer as u32,
        threshold,
        scale,
        c.pass.drophead,
    ]
}
