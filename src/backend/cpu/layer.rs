//! One post-LayerNorm transformer layer over a chunk: forward, backward, and weight gradients.

use super::activation;
use super::attention::{self, Heads, Masks, Scratch, Sequence};
use super::buffers::Buffer;
use super::chunk::{ChunkContext, Queries};
use super::layer_norm::{self, RowDropout, Sums};
use super::matmul::{Init, Matrix, shared_matmul};
use super::relative::Strips;
use super::shape::LayerWeights;
use super::simd::kernel;
use crate::random::{Dropout, Key, Site};

/// What the backward needs of a layer's forward. Rows are those after attention (`queries`) except
/// `kv`'s, which are all tokens.
pub(crate) struct Saved {
    /// `[queries, hidden]`
    q: Buffer,
    /// `[tokens, 2 · hidden]`
    kv: Buffer,
    /// `[queries, hidden]`
    pub(super) context: Buffer,
    attention_normalised: Buffer,
    attention_rstd: Buffer,
    /// `[queries, intermediate]`: the activation's input.
    pre: Buffer,
    output_normalised: Buffer,
    output_rstd: Buffer,
}

impl Saved {
    /// The layer's output again. `[queries, hidden]`
    pub fn output(&self, weights: &LayerWeights) -> Buffer {
        let mut y = Buffer::unspecified(self.output_normalised.len());
        layer_norm::output(&self.output_normalised, weights.output_norm(), &mut y);
        y
    }
}

fn dropout_of<'a>(c: &ChunkContext, keys: &'a Option<Vec<Key>>) -> Option<RowDropout<'a>> {
    let dropout = Dropout::new(c.pass.hidden_dropout)?;
    keys.as_ref().map(|keys| RowDropout { dropout, keys })
}

/// x · Wᵀ + b, W being `[out, in]`.
fn linear(c: &ChunkContext, x: &[f32], rows: usize, weight: &[f32], bias: &[f32]) -> Buffer {
    let (out, inputs) = (bias.len(), weight.len() / bias.len());
    let mut y = Buffer::unspecified(rows * out);
    let (x, w) = (Matrix::new(x, rows, inputs), Matrix::new(weight, out, inputs));
    shared_matmul(c.threads, &mut y, Init::Row(bias), x, w.t());
    y
}

/// `x` `[tokens, hidden]` through the layer: its output `[queries, hidden]` and what the backward needs.
pub(crate) fn forward(
    c: &ChunkContext,
    w: &LayerWeights,
    layer: usize,
    x: &[f32],
    queries: Queries,
) -> (Buffer, Saved) {
    let (hidden, rows) = (c.shape.hidden, c.total_queries(queries));
    let first = (queries == Queries::First).then(|| first_rows(c, x));
    let query_input: &[f32] = first.as_deref().unwrap_or(x);
    let q = linear(c, query_input, rows, w.query, w.query_bias);
    let kv = linear(c, x, c.total_tokens(), w.key_value, w.key_value_bias);
    let context = attend(c, layer, &q, &kv, queries);
    let mut branch = linear(c, &context, rows, w.attention_output, w.attention_output_bias);
    let mut y1 = Buffer::unspecified(rows * hidden);
    let mut attention_rstd = Buffer::unspecified(rows);
    let keys = c.row_keys(layer, Site::AttentionOutput, queries);
    let (eps, dropout) = (c.shape.layer_norm_eps, dropout_of(c, &keys));
    let residual = Some(query_input);
    let norm = w.attention_norm();
    layer_norm::forward(&mut branch, residual, dropout, norm, eps, &mut attention_rstd, &mut y1);

    let pre = linear(c, &y1, rows, w.intermediate, w.intermediate_bias);
    let mut activated = Buffer::unspecified(pre.len());
    activation::forward(c.shape.activation, &pre, &mut activated);
    let mut output = linear(c, &activated, rows, w.output, w.output_bias);
    drop(activated);
    let mut y2 = Buffer::unspecified(rows * hidden);
    let mut output_rstd = Buffer::unspecified(rows);
    let keys = c.row_keys(layer, Site::FeedForwardOutput, queries);
    let dropout = dropout_of(c, &keys);
    layer_norm::forward(&mut output, Some(&y1), dropout, w.output_norm(), eps, &mut output_rstd, &mut y2);
    let saved = Saved {
        q,
        kv,
        context,
        attention_normalised: branch,
        attention_rstd,
        pre,
        output_normalised: output,
        output_rstd,
    };
    (y2, saved)
}

fn first_rows(c: &ChunkContext, x: &[f32]) -> Buffer {
    let mut rows = Buffer::unspecified(c.len() * c.shape.hidden);
    c.gather_first(x, &mut rows);
    rows
}

/// Views of one sequence's attention inputs, with its masks.
fn sequence<'a>(
    c: &'a ChunkContext,
    layer: usize,
    i: usize,
    (q, kv): (&'a [f32], &'a [f32]),
    queries: Queries,
) -> (Sequence<'a>, Masks) {
    let hidden = c.shape.hidden;
    let (rows, query_rows) = (c.rows(i), c.query_rows(i, queries));
    let sequence = Sequence {
        q: &q[query_rows.start * hidden..query_rows.end * hidden],
        kv: &kv[rows.start * 2 * hidden..rows.end * 2 * hidden],
        queries: query_rows.len(),
        keys: c.keys_len(i),
        bias: c.relative.as_ref(),
    };
    (sequence, Masks::new(c.pass, c.sequence_keys[i], layer, c.shape.heads))
}

fn scratch(c: &ChunkContext) -> Scratch {
    let longest = c.chunk.longest();
    Scratch::new(longest, longest)
}

fn attend(c: &ChunkContext, layer: usize, q: &[f32], kv: &[f32], queries: Queries) -> Buffer {
    let hidden = c.shape.hidden;
    let heads = Heads { hidden, heads: c.shape.heads };
    let mut context = Buffer::unspecified(q.len());
    let mut scratch = scratch(c);
    for i in 0..c.len() {
        let (sequence, masks) = sequence(c, layer, i, (q, kv), queries);
        let rows = c.query_rows(i, queries);
        let out = &mut context[rows.start * hidden..rows.end * hidden];
        attention::forward(heads, sequence, &masks, &mut scratch, out);
    }
    context
}

/// The gradients inside a layer from which those of its weights are made, with the inputs that they multiply.
pub(crate) struct InnerGradients {
    pub output_gradient: Buffer,
    pub activated: Buffer,
    pub pre_gradient: Buffer,
    pub attention_output: Buffer,
    pub attention_output_gradient: Buffer,
    pub q_gradient: Buffer,
    pub kv_gradient: Buffer,
    /// That of the relative bias, by offset, where there is one.
    pub relative_gradient: Option<Strips>,
    pub input: Buffer,
    /// The input rows that queries come from, where those are not all.
    pub query_input: Option<Buffer>,
    pub vectors: VectorGradients,
}

/// Gradients of a layer's biases and LayerNorms: this chunk's part.
pub(crate) struct VectorGradients {
    pub query_bias: Buffer,
    pub key_value_bias: Buffer,
    pub attention_output_bias: Buffer,
    pub attention_norm_weight: Buffer,
    pub attention_norm_bias: Buffer,
    pub intermediate_bias: Buffer,
    pub output_bias: Buffer,
    pub output_norm_weight: Buffer,
    pub output_norm_bias: Buffer,
}

impl VectorGradients {
    fn zeros(hidden: usize, intermediate: usize) -> Self {
        let h = || Buffer::zeros(hidden);
        VectorGradients {
            query_bias: h(),
            key_value_bias: Buffer::zeros(2 * hidden),
            attention_output_bias: h(),
            attention_norm_weight: h(),
            attention_norm_bias: h(),
            intermediate_bias: Buffer::zeros(intermediate),
            output_bias: h(),
            output_norm_weight: h(),
            output_norm_bias: h(),
        }
    }
}

/// Gradients through the layer: that of its `input` `[tokens, hidden]`, and a [`InnerGradients`] for its weights.
/// `gradient` is that of the output, `[queries, hidden]`.
pub(crate) fn backward(
    c: &ChunkContext,
    w: &LayerWeights,
    layer: usize,
    saved: &Saved,
    input: Buffer,
    mut gradient: Buffer,
    queries: Queries,
) -> (Buffer, InnerGradients) {
    let (hidden, intermediate) = (c.shape.hidden, c.shape.intermediate);
    let (rows, tokens) = (c.total_queries(queries), c.total_tokens());
    let mut v = VectorGradients::zeros(hidden, intermediate);

    let mut output_gradient = Buffer::unspecified(rows * hidden);
    let keys = c.row_keys(layer, Site::FeedForwardOutput, queries);
    let dropout = dropout_of(c, &keys);
    let sums = Sums {
        weight: &mut v.output_norm_weight,
        bias: &mut v.output_norm_bias,
        branch_bias: &mut v.output_bias,
    };
    let (z, rstd, branch) = (&saved.output_normalised, &saved.output_rstd, Some(&mut output_gradient[..]));
    layer_norm::backward(&mut gradient, z, rstd, w.output_norm(), dropout, branch, sums);

    let mut activated = Buffer::unspecified(rows * intermediate);
    activation::forward(c.shape.activation, &saved.pre, &mut activated);
    let mut pre_gradient = Buffer::unspecified(rows * intermediate);
    let w2 = Matrix::new(w.output, hidden, intermediate);
    let g = Matrix::new(&output_gradient, rows, hidden);
    shared_matmul(c.threads, &mut pre_gradient, Init::Zero, g, w2);
    activation::backward(c.shape.activation, &saved.pre, &mut pre_gradient, &mut v.intermediate_bias);
    let w1 = Matrix::new(w.intermediate, intermediate, hidden);
    shared_matmul(c.threads, &mut gradient, Init::Keep, Matrix::new(&pre_gradient, rows, intermediate), w1);

    let mut attention_output = Buffer::unspecified(rows * hidden);
    layer_norm::output(&saved.attention_normalised, w.attention_norm(), &mut attention_output);
    let mut attention_output_gradient = Buffer::unspecified(rows * hidden);
    let keys = c.row_keys(layer, Site::AttentionOutput, queries);
    let dropout = dropout_of(c, &keys);
    let sums = Sums {
        weight: &mut v.attention_norm_weight,
        bias: &mut v.attention_norm_bias,
        branch_bias: &mut v.attention_output_bias,
    };
    let (z, rstd) = (&saved.attention_normalised, &saved.attention_rstd);
    let branch = Some(&mut attention_output_gradient[..]);
    layer_norm::backward(&mut gradient, z, rstd, w.attention_norm(), dropout, branch, sums);

    let mut context_gradient = Buffer::unspecified(rows * hidden);
    let (g, wo) = (
        Matrix::new(&attention_output_gradient, rows, hidden),
        Matrix::new(w.attention_output, hidden, hidden),
    );
    shared_matmul(c.threads, &mut context_gradient, Init::Zero, g, wo);
    let (q_gradient, kv_gradient, relative_gradient) =
        attend_backward(c, layer, saved, &context_gradient, queries);
    drop(context_gradient);
    column_sums(&q_gradient, &mut v.query_bias);
    column_sums(&kv_gradient, &mut v.key_value_bias);

    // The residual's gradient is in `gradient`; the projections' are added to it.
    let wq = Matrix::new(w.query, hidden, hidden);
    shared_matmul(c.threads, &mut gradient, Init::Keep, Matrix::new(&q_gradient, rows, hidden), wq);
    let mut input_gradient = match queries {
        Queries::All => gradient,
        Queries::First => scatter_first(c, &gradient),
    };
    let wkv = Matrix::new(w.key_value, 2 * hidden, hidden);
    let dkv = Matrix::new(&kv_gradient, tokens, 2 * hidden);
    shared_matmul(c.threads, &mut input_gradient, Init::Keep, dkv, wkv);

    let query_input = (queries == Queries::First).then(|| first_rows(c, &input));
    let step = InnerGradients {
        output_gradient,
        activated,
        pre_gradient,
        attention_output,
        attention_output_gradient,
        q_gradient,
        kv_gradient,
        relative_gradient,
        input,
        query_input,
        vectors: v,
    };
    (input_gradient, step)
}

/// `[n, hidden]` at the first rows of zeros `[tokens, hidden]`.
fn scatter_first(c: &ChunkContext, rows: &[f32]) -> Buffer {
    let hidden = c.shape.hidden;
    let mut all = Buffer::zeros(c.total_tokens() * hidden);
    for (i, from) in rows.chunks_exact(hidden).enumerate() {
        let row = c.rows(i).start;
        all[row * hidden..(row + 1) * hidden].copy_from_slice(from);
    }
    all
}

fn attend_backward(
    c: &ChunkContext,
    layer: usize,
    saved: &Saved,
    context_gradient: &[f32],
    queries: Queries,
) -> (Buffer, Buffer, Option<Strips>) {
    let hidden = c.shape.hidden;
    let heads = Heads { hidden, heads: c.shape.heads };
    let mut relative = c.relative.as_ref().map(|_| Strips::zeros(c.shape.heads, c.chunk.longest()));
    let mut dq = Buffer::unspecified(saved.q.len());
    let mut dkv = Buffer::unspecified(saved.kv.len());
    let mut scratch = scratch(c);
    for i in 0..c.len() {
        let (sequence, masks) = sequence(c, layer, i, (&saved.q, &saved.kv), queries);
        let (rows, query_rows) = (c.rows(i), c.query_rows(i, queries));
        let query_range = query_rows.start * hidden..query_rows.end * hidden;
        let gradients =
            (&mut dq[query_range.clone()], &mut dkv[rows.start * 2 * hidden..rows.end * 2 * hidden]);
        let g = &context_gradient[query_range];
        attention::backward(heads, sequence, &masks, &mut scratch, g, gradients, relative.as_mut());
    }
    (dq, dkv, relative)
}

kernel! {
/// Adds the rows of `x` `[rows, columns]` to `sums` `[columns]`.
fn column_sums<'a, S>(simd, x: &'a [f32], sums: &'a mut [f32]) {
    for row in x.chunks_exact(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}
}
