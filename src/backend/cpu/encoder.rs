//! The whole encoder on packed batches: embeddings, layers and pooling, with and without a tape.
//!
//! Chunks of sequences run through all layers in parallel. Passes with and without a tape execute the same
//! operations, so their embeddings have the same bits.

use super::buffers::Buffer;
use super::chunk::{Chunk, ChunkContext, Queries, chunks_of, threads_each};
use super::layer::InnerGradients;
use super::pooling;
use super::products::{Backward, Forward, Stored};
use super::relative::Strips;
use super::shape::{EmbeddingGradients, EmbeddingWeights, EncoderShape, LayerGradients, LayerWeights};
use super::vectors::add_to;
use super::weight_gradients::accumulate;
use super::{embedding, layer};
use crate::backend::Readout;
use crate::batch::{PackedBatch, Pass};
use rayon::prelude::*;

/// Embeddings `[outputs, hidden]`, not normalised. `weights` are the flat buffers in the layout's order
/// (embeddings, layer 0, …), and `products` multiplies by them; `noise` `[total_tokens, hidden]` is added to the word
/// embeddings.
///
/// Panics where [`EncoderShape::check`] would return an error.
pub fn embed(
    shape: &EncoderShape,
    (weights, products): (&[&[f32]], &impl Forward),
    batch: &PackedBatch,
    noise: Option<&[f32]>,
    pass: &Pass,
    readout: Readout,
) -> Vec<f32> {
    let chunks = chunks_of(batch);
    let threads = threads_each(chunks.len());
    let forward = |chunk: &Chunk| {
        let c = ChunkContext::new(shape, weights[0], (batch, pass), chunk, threads);
        run(&c, (weights, products), noise, readout, drop).0
    };
    let pooled: Vec<Buffer> = chunks.par_iter().map(forward).collect();
    collect_pooled(shape, batch, chunks.iter().zip(&pooled))
}

/// As [`embed`], and what [`Activations::backward`] needs.
pub fn embed_tracked<A: Stored>(
    shape: &EncoderShape,
    (weights, products): (&[&[f32]], &impl Forward),
    batch: &PackedBatch,
    noise: Option<&[f32]>,
    pass: &Pass,
    readout: Readout,
) -> (Vec<f32>, Activations<A>) {
    let chunks = chunks_of(batch);
    let threads = threads_each(chunks.len());
    let forward = |chunk: Chunk| {
        let mut layers = Vec::with_capacity(shape.layers);
        let c = ChunkContext::new(shape, weights[0], (batch, pass), &chunk, threads);
        let record = |saved: layer::Saved| layers.push(saved.stored());
        let (pooled, embeddings) = run(&c, (weights, products), noise, readout, record);
        (ChunkTape { chunk, embeddings, layers }, pooled)
    };
    let (chunks, pooled): (Vec<ChunkTape<A>>, Vec<Buffer>) = chunks.into_par_iter().map(forward).unzip();
    let embeddings = collect_pooled(shape, batch, chunks.iter().map(|t| &t.chunk).zip(&pooled));
    let tape = Activations { shape: *shape, batch: batch.clone(), pass: *pass, readout, chunks };
    (embeddings, tape)
}

/// Rows that layer `layer` computes, by what is read off.
fn queries_of(shape: &EncoderShape, batch: &PackedBatch, readout: Readout, layer: usize) -> Queries {
    if layer + 1 == shape.layers { pooling::queries(readout, batch) } else { Queries::All }
}

/// One chunk through the encoder: its embeddings `[outputs, hidden]`, what the backward needs of the sums of embeddings, and
/// by `record` what it needs of each layer.
fn run(
    c: &ChunkContext,
    (weights, products): (&[&[f32]], &impl Forward),
    noise: Option<&[f32]>,
    readout: Readout,
    mut record: impl FnMut(layer::Saved),
) -> (Buffer, embedding::Saved) {
    let shape = c.shape;
    let (mut x, embeddings) = embedding::forward(c, &EmbeddingWeights::new(shape, weights[0]), noise);
    let mut pooled = Buffer::zeros(c.total_outputs() * shape.hidden);
    let mut queries = Queries::All;
    for layer in 0..shape.layers {
        queries = queries_of(shape, c.batch, readout, layer);
        let w = LayerWeights::new(shape, weights[layer + 1]);
        let (y, saved) = layer::forward(c, products, &w, layer, &x, queries);
        record(saved);
        x = y;
        if layer == 0 && readout.reads_first_layer() {
            pooling::add(c, readout, queries, &x, &mut pooled);
        }
    }
    pooling::add(c, readout, queries, &x, &mut pooled);
    (pooled, embeddings)
}

fn collect_pooled<'a>(
    shape: &EncoderShape,
    batch: &PackedBatch,
    parts: impl Iterator<Item = (&'a Chunk, &'a Buffer)>,
) -> Vec<f32> {
    let hidden = shape.hidden;
    let mut embeddings = vec![0.0; batch.total_outputs() * hidden];
    for (chunk, pooled) in parts {
        for (i, row) in chunk.outputs(batch).zip(pooled.chunks_exact(hidden)) {
            embeddings[i * hidden..(i + 1) * hidden].copy_from_slice(row);
        }
    }
    embeddings
}

/// A chunk's rows to their places in the batch.
fn scatter_rows(c: &ChunkContext, rows: &[f32], all: &mut [f32]) {
    let hidden = c.shape.hidden;
    for (i, to) in c.batch_rows().enumerate() {
        let from = c.rows(i);
        all[to.start * hidden..to.end * hidden]
            .copy_from_slice(&rows[from.start * hidden..from.end * hidden]);
    }
}

/// What a forward saved of a chunk.
struct ChunkTape<A> {
    chunk: Chunk,
    embeddings: embedding::Saved,
    layers: Vec<layer::Saved<A>>,
}

/// What a forward saved. It may be used for any number of backwards, with the weights of that forward.
pub struct Activations<A> {
    shape: EncoderShape,
    batch: PackedBatch,
    pass: Pass,
    readout: Readout,
    chunks: Vec<ChunkTape<A>>,
}

impl<A: Stored> Activations<A> {
    /// Adds to `gradients` (flat, as `weights`) those of Σ embeddings · `embedding_gradients` (`[outputs, hidden]`).
    pub fn backward(
        &self,
        by: (&[&[f32]], &impl Backward<Stored = A>),
        embedding_gradients: &[f32],
        gradients: &mut [&mut [f32]],
    ) {
        let sums = self.backpropagate(by, embedding_gradients, Some(gradients));
        let tables = EmbeddingGradients::new(&self.shape, &mut *gradients[0]);
        embedding::accumulate_tables(&self.batch, &sums, tables);
    }

    /// d Σ embeddings · `embedding_gradients` / d noise, `[total_tokens, hidden]`: no weight gradients.
    pub fn noise_gradient(
        &self,
        by: (&[&[f32]], &impl Backward<Stored = A>),
        embedding_gradients: &[f32],
    ) -> Vec<f32> {
        self.backpropagate(by, embedding_gradients, None).to_vec()
    }

    /// The gradient of the sums of embeddings `[total_tokens, hidden]`; weights' gradients on the way,
    /// except those of the embedding tables.
    fn backpropagate<P: Backward<Stored = A>>(
        &self,
        (weights, products): (&[&[f32]], &P),
        embedding_gradients: &[f32],
        mut gradients: Option<&mut [&mut [f32]]>,
    ) -> Buffer {
        let hidden = self.shape.hidden;
        assert_eq!(embedding_gradients.len(), self.batch.total_outputs() * hidden);
        let mut sums = Buffer::zeros(self.batch.total_tokens() * hidden);
        let mut passes: Vec<ChunkBackward<A>> = self
            .chunks
            .iter()
            .filter_map(|t| ChunkBackward::new(self, weights, t, embedding_gradients))
            .collect();
        let threads = threads_each(passes.len());
        passes.iter_mut().for_each(|chunk| chunk.c.threads = threads);
        // Enough chunks at a time for all threads; the order of sums is that of the chunks either way.
        for group in passes.chunks_mut((2 * rayon::current_num_threads()).max(4)) {
            for layer in (0..self.shape.layers).rev() {
                let w = LayerWeights::new(&self.shape, weights[layer + 1]);
                let by = (weights, products);
                let steps: Vec<InnerGradients<P>> =
                    group.par_iter_mut().map(|chunk| chunk.layer(self, by, &w, layer)).collect();
                if let Some(gradients) = &mut gradients {
                    let into = LayerGradients::new(&self.shape, &mut *gradients[layer + 1]);
                    accumulate(products, &steps, into, (hidden, self.shape.intermediate));
                }
            }
            let w = EmbeddingWeights::new(&self.shape, weights[0]);
            let norms: Vec<_> = group.par_iter_mut().map(|chunk| chunk.embeddings(&w)).collect();
            for (chunk, (weight, bias)) in group.iter().zip(&norms) {
                scatter_rows(&chunk.c, &chunk.gradient, &mut sums);
                if let Some(gradients) = &mut gradients {
                    let into = EmbeddingGradients::new(&self.shape, &mut *gradients[0]);
                    add_to(into.norm_weight, weight);
                    add_to(into.norm_bias, bias);
                    if let Some(relative) = &chunk.relative {
                        relative.add_to_table(&self.shape, into.relative_bias);
                    }
                }
            }
            for chunk in group {
                chunk.gradient = Buffer::unspecified(0);
            }
        }
        sums
    }
}

/// A chunk on its way back.
struct ChunkBackward<'a, A> {
    c: ChunkContext<'a>,
    saved: &'a ChunkTape<A>,
    /// `[outputs, hidden]`: that of the chunk's embeddings.
    pooled: Buffer,
    /// That of the current layer's output; empty before the last layer.
    gradient: Buffer,
    /// That of the relative bias in all layers so far. A sum of the chunk's own: chunks are added in their order,
    /// however many are on their way at a time.
    relative: Option<Strips>,
}

impl<'a, A: Stored> ChunkBackward<'a, A> {
    /// `None` where all gradients are zero, as for other instances in a per-instance backward.
    fn new(
        tape: &'a Activations<A>,
        weights: &[&[f32]],
        saved: &'a ChunkTape<A>,
        embedding_gradients: &[f32],
    ) -> Option<Self> {
        let hidden = tape.shape.hidden;
        let outputs = saved.chunk.outputs(&tape.batch);
        let mut pooled = Buffer::unspecified(outputs.clone().count() * hidden);
        for (i, row) in outputs.zip(pooled.chunks_exact_mut(hidden)) {
            row.copy_from_slice(&embedding_gradients[i * hidden..(i + 1) * hidden]);
        }
        if pooled.iter().all(|&g| g == 0.0) {
            return None;
        }
        let c = ChunkContext::new(&tape.shape, weights[0], (&tape.batch, &tape.pass), &saved.chunk, 1);
        let gradient = Buffer::unspecified(0);
        Some(ChunkBackward { c, saved, pooled, gradient, relative: None })
    }

    /// The gradient of the last hidden states, made when it is first needed.
    fn take_gradient(&mut self, readout: Readout, queries: Queries) -> Buffer {
        if !self.gradient.is_empty() {
            return std::mem::replace(&mut self.gradient, Buffer::unspecified(0));
        }
        let mut gradient = Buffer::zeros(self.c.total_queries(queries) * self.c.shape.hidden);
        pooling::backward(&self.c, readout, queries, &self.pooled, &mut gradient);
        gradient
    }

    fn layer<P: Backward<Stored = A>>(
        &mut self,
        tape: &Activations<A>,
        (weights, products): (&[&[f32]], &P),
        w: &LayerWeights,
        layer: usize,
    ) -> InnerGradients<'a, P> {
        let queries = queries_of(&tape.shape, &tape.batch, tape.readout, layer);
        let mut gradient = self.take_gradient(tape.readout, queries);
        if layer == 0 && tape.readout.reads_first_layer() {
            pooling::backward(&self.c, tape.readout, queries, &self.pooled, &mut gradient);
        }
        let layers = &self.saved.layers;
        let input = match layer.checked_sub(1) {
            Some(below) => layers[below].output(&LayerWeights::new(&tape.shape, weights[below + 1])),
            None => self.saved.embeddings.output(&self.c, &EmbeddingWeights::new(&tape.shape, weights[0])),
        };
        let (gradient, mut step) =
            layer::backward(&self.c, products, w, layer, &layers[layer], input, gradient, queries);
        self.gradient = gradient;
        match (&mut self.relative, step.relative_gradient.take()) {
            (Some(sum), Some(of_layer)) => sum.add_all(&of_layer),
            (None, of_layer) => self.relative = of_layer,
            (Some(_), None) => {}
        }
        step
    }

    fn embeddings(&mut self, w: &EmbeddingWeights) -> (Buffer, Buffer) {
        embedding::backward(&self.c, w, &self.saved.embeddings, &mut self.gradient)
    }
}
