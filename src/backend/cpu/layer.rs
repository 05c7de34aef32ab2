//! One post-LayerNorm transformer layer over a chunk: forward, backward, and weight gradients.

use super::activation;
use super::attention::{self, Heads, Masks, Scratch, Sequence};
use super::buffers::Buffer;
use super::chunk::{ChunkContext, Queries};
use super::layer_norm::{self, Sums};
use super::matmul::Init;
use super::products::{Backward, Forward, Stored, Values};
use super::relative::Strips;
use super::shape::LayerWeights;
use super::simd::kernel;
use crate::random::Site;

/// What the backward needs of a layer's forward. Rows are those after attention (`queries`) except
/// `kv`'s, which are all tokens, and `q`'s, which are those that attend. `A` are activations that only go into products and through the activation function.
pub(crate) struct Saved<A = Buffer> {
    /// `[attending, hidden]`
    q: Buffer,
    /// `[tokens, 2 · hidden]`
    kv: Buffer,
    /// `[queries, hidden]`
    context: A,
    attention_normalised: Buffer,
    attention_rstd: Buffer,
    /// `[queries, intermediate]`: the activation's input.
    pre: A,
    output_normalised: Buffer,
    output_rstd: Buffer,
}

impl Saved {
    /// As the way back takes it.
    pub fn stored<A: Stored>(self) -> Saved<A> {
        Saved {
            q: self.q,
            kv: self.kv,
            context: self.context.into(),
            attention_normalised: self.attention_normalised,
            attention_rstd: self.attention_rstd,
            pre: self.pre.into(),
            output_normalised: self.output_normalised,
            output_rstd: self.output_rstd,
        }
    }
}

impl<A> Saved<A> {
    /// The layer's output again. `[queries, hidden]`
    pub fn output(&self, weights: &LayerWeights) -> Buffer {
        let mut y = Buffer::unspecified(self.output_normalised.len());
        layer_norm::output(&self.output_normalised, weights.output_norm(), &mut y);
        y
    }
}

/// x · Wᵀ + b
fn linear<P: Forward>(
    (c, products): (&ChunkContext, &P),
    x: &P::Rows<'_>,
    rows: usize,
    weight: P::Weight<'_>,
    bias: &[f32],
) -> Buffer {
    let mut y = Buffer::unspecified(rows * bias.len());
    products.linear(c.threads, x, weight, bias, &mut y);
    y
}

/// `x` `[tokens, hidden]` through the layer: its output `[queries, hidden]` and what the backward needs.
pub(crate) fn forward(
    c: &ChunkContext,
    products: &impl Forward,
    w: &LayerWeights,
    layer: usize,
    x: &[f32],
    queries: Queries,
) -> (Buffer, Saved) {
    let (hidden, rows, attending) = (c.shape.hidden, c.total_queries(queries), queries.attending());
    let residual = (queries != Queries::All).then(|| c.gather(x, queries));
    let by = (c, products);
    let weights = products.layer(layer, w);
    let all = products.rows(x, hidden);
    let few = residual.as_deref().filter(|_| attending != Queries::All);
    let few = few.map(|few| products.rows(few, hidden));
    let query_input = few.as_ref().unwrap_or(&all);
    let q = linear(by, query_input, c.total_queries(attending), weights.query, w.query_bias);
    let kv = linear(by, &all, c.total_tokens(), weights.key_value, w.key_value_bias);
    drop((all, few));
    let mut context = attend(c, layer, &q, &kv, attending);
    if attending != queries {
        context = c.gather(&context, queries);
    }
    let attended = products.rows(&context, hidden);
    let mut branch = linear(by, &attended, rows, weights.attention_output, w.attention_output_bias);
    drop(attended);
    let mut y1 = Buffer::unspecified(rows * hidden);
    let mut attention_rstd = Buffer::unspecified(rows);
    let (eps, dropout) = (c.shape.layer_norm_eps, c.row_dropout(layer, Site::AttentionOutput, queries));
    let residual = residual.as_deref().or(Some(x));
    let norm = w.attention_norm();
    layer_norm::forward(&mut branch, residual, dropout.as_ref(), norm, eps, &mut attention_rstd, &mut y1);

    let normalised = products.rows(&y1, hidden);
    let pre = linear(by, &normalised, rows, weights.intermediate, w.intermediate_bias);
    drop(normalised);
    let mut activated = Buffer::unspecified(pre.len());
    activation::forward(c.shape.activation, &pre, &mut activated);
    let product_input = products.rows(&activated, c.shape.intermediate);
    let mut output = linear(by, &product_input, rows, weights.output, w.output_bias);
    drop(product_input);
    drop(activated);
    let mut y2 = Buffer::unspecified(rows * hidden);
    let mut output_rstd = Buffer::unspecified(rows);
    let dropout = c.row_dropout(layer, Site::FeedForwardOutput, queries);
    layer_norm::forward(
        &mut output,
        Some(&y1),
        dropout.as_ref(),
        w.output_norm(),
        eps,
        &mut output_rstd,
        &mut y2,
    );
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

/// A gradient of a linear map's output, and the input that it multiplies for that of the map's weight.
pub(crate) struct Factors<'a, P: Backward + 'a> {
    pub gradient: P::Left,
    pub input: P::Right<'a>,
}

/// From what the gradients of a layer's weights are made.
pub(crate) struct InnerGradients<'a, P: Backward + 'a> {
    pub output: Factors<'a, P>,
    pub intermediate: Factors<'a, P>,
    pub attention_output: Factors<'a, P>,
    pub key_value: Factors<'a, P>,
    pub query: P::Left,
    /// The input rows that queries come from, where those are not all.
    pub query_input: Option<P::Right<'a>>,
    /// That of the relative bias, by offset, where there is one.
    pub relative_gradient: Option<Strips>,
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

/// Gradients through the layer: that of its `input` `[tokens, hidden]`, and [`InnerGradients`] for its weights.
/// `gradient` is that of the output, `[queries, hidden]`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward<'a, P: Backward>(
    c: &ChunkContext,
    products: &P,
    w: &LayerWeights,
    layer: usize,
    saved: &'a Saved<P::Stored>,
    input: Buffer,
    mut gradient: Buffer,
    queries: Queries,
) -> (Buffer, InnerGradients<'a, P>) {
    let (hidden, intermediate) = (c.shape.hidden, c.shape.intermediate);
    let (rows, tokens) = (c.total_queries(queries), c.total_tokens());
    let weights = products.layer(layer, w);
    let mut v = VectorGradients::zeros(hidden, intermediate);
    // What a gradient of `columns` values a row adds to that of the map's input.
    let through = |gradient: &[f32], columns, weight, init: Init, into: &mut [f32]| {
        products.through(c.threads, &products.rows(gradient, columns), weight, init, into);
    };
    let factors = |gradient: Buffer, columns, input: Values<'a>, inputs| Factors {
        gradient: products.left(gradient, columns),
        input: products.right(input, inputs),
    };

    let mut output_gradient = Buffer::unspecified(rows * hidden);
    let dropout = c.row_dropout(layer, Site::FeedForwardOutput, queries);
    let sums = Sums {
        weight: &mut v.output_norm_weight,
        bias: &mut v.output_norm_bias,
        branch_bias: &mut v.output_bias,
    };
    let (z, rstd, branch) = (&saved.output_normalised, &saved.output_rstd, Some(&mut output_gradient[..]));
    layer_norm::backward(&mut gradient, z, rstd, w.output_norm(), dropout.as_ref(), branch, sums);

    let mut pre_gradient = Buffer::unspecified(rows * intermediate);
    through(&output_gradient, hidden, weights.output, Init::Zero, &mut pre_gradient);
    let (kind, mut activated) = (c.shape.activation, Buffer::unspecified(rows * intermediate));
    let bias_gradient = &mut v.intermediate_bias;
    activation::backward(kind, &saved.pre.values(), &mut pre_gradient, bias_gradient, &mut activated);
    let output = factors(output_gradient, hidden, Values::Own(activated), intermediate);
    through(&pre_gradient, intermediate, weights.intermediate, Init::Keep, &mut gradient);

    let mut attention_output = Buffer::unspecified(rows * hidden);
    layer_norm::output(&saved.attention_normalised, w.attention_norm(), &mut attention_output);
    let intermediate = factors(pre_gradient, intermediate, Values::Own(attention_output), hidden);
    let mut attention_output_gradient = Buffer::unspecified(rows * hidden);
    let dropout = c.row_dropout(layer, Site::AttentionOutput, queries);
    let sums = Sums {
        weight: &mut v.attention_norm_weight,
        bias: &mut v.attention_norm_bias,
        branch_bias: &mut v.attention_output_bias,
    };
    let (z, rstd) = (&saved.attention_normalised, &saved.attention_rstd);
    let branch = Some(&mut attention_output_gradient[..]);
    layer_norm::backward(&mut gradient, z, rstd, w.attention_norm(), dropout.as_ref(), branch, sums);

    let mut context_gradient = Buffer::unspecified(rows * hidden);
    through(&attention_output_gradient, hidden, weights.attention_output, Init::Zero, &mut context_gradient);
    let attention_output = factors(attention_output_gradient, hidden, saved.context.values(), hidden);
    let attending = queries.attending();
    if attending != queries {
        context_gradient = c.scatter(&context_gradient, queries);
        gradient = c.scatter(&gradient, queries);
    }
    let (q_gradient, kv_gradient, relative_gradient) =
        attend_backward(c, layer, saved, &context_gradient, attending);
    drop(context_gradient);
    column_sums(&q_gradient, &mut v.query_bias);
    column_sums(&kv_gradient, &mut v.key_value_bias);

    // The residual's gradient is in `gradient`; the projections' are added to it.
    through(&q_gradient, hidden, weights.query, Init::Keep, &mut gradient);
    let is_few = attending != Queries::All;
    let mut input_gradient = if is_few { c.scatter(&gradient, attending) } else { gradient };
    debug_assert_eq!(kv_gradient.len(), tokens * 2 * hidden);
    through(&kv_gradient, 2 * hidden, weights.key_value, Init::Keep, &mut input_gradient);

    let query_input = is_few.then(|| products.right(Values::Own(c.gather(&input, attending)), hidden));
    let inner = InnerGradients {
        output,
        intermediate,
        attention_output,
        key_value: factors(kv_gradient, 2 * hidden, Values::Own(input), hidden),
        query: products.left(q_gradient, hidden),
        query_input,
        relative_gradient,
        vectors: v,
    };
    (input_gradient, inner)
}

fn attend_backward<A>(
    c: &ChunkContext,
    layer: usize,
    saved: &Saved<A>,
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
