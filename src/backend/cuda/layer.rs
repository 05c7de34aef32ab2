//! One post-LayerNorm transformer layer: 8 launches forward and 14 back, products included.

use std::sync::Arc;

use candle_core::Result;

use super::attention::{self, Projections};
use super::batch::Queries;
use super::context::{Context, STRIPE};
use super::device::{Buffer, Element, Grid, Pointer, arguments};
use super::products::Into;
use super::shape::{LayerOffsets, PartialColumns};
use crate::model::Activation;
use crate::random::Site;

/// A layer's flat buffer: its matrices and biases as products take them, and its vectors as they are trained.
#[derive(Clone, Copy)]
pub struct LayerWeights<T> {
    pub rounded: Pointer<T>,
    pub master: Pointer<f32>,
}

/// What the way back needs of a layer.
#[derive(Debug)]
pub struct Saved<T: Element> {
    queries: Queries,
    /// `[tokens, hidden]`
    input: Arc<Buffer<T>>,
    /// `[queries, hidden]`: those of `input` that are queries, where they are not all.
    query_input: Option<Buffer<T>>,
    projections: Projections<T>,
    /// `[queries, hidden]`
    context: Buffer<T>,
    /// `[heads, queries]`
    logsumexp: Buffer<f32>,
    /// The attention block's LayerNorm: before its weight, its deviations, and its output.
    attention_normalised: Buffer<T>,
    attention_rstd: Buffer<f32>,
    attended: Buffer<T>,
    /// `[queries, intermediate]`: the activation's input.
    pre: Buffer<T>,
    output_normalised: Buffer<T>,
    output_rstd: Buffer<f32>,
}

/// LayerNorm of residual + dropout(branch): the branch becomes what is normalised. Gives deviations and output.
fn add_norm<T: Element>(
    c: &Context,
    queries: &Queries,
    branch: &Buffer<T>,
    residual: Pointer<T>,
    vectors: Pointer<f32>,
    (layer, site): (usize, Site),
) -> Result<(Buffer<f32>, Buffer<T>)> {
    let (rstd, y) = (c.gpu.buffer::<f32>(queries.rows)?, c.gpu.buffer::<T>(queries.rows * c.shape.hidden)?);
    let hidden = c.shape.hidden;
    let mut arguments =
        arguments![branch.pointer(), residual, vectors.at(hidden), vectors.at(2 * hidden)].to_vec();
    arguments.extend(c.rows(queries));
    arguments.extend(arguments![y.pointer(), rstd.pointer(), queries.rows as u32, c.hidden()]);
    arguments.extend(arguments![c.shape.layer_norm_eps]);
    arguments.extend(c.dropout_at(layer, site));
    c.gpu.launch::<T>("add_norm", Grid::warps(queries.rows), &arguments)?;
    Ok((rstd, y))
}

/// The layer's output `[queries, hidden]` from its input, and what the way back needs.
pub fn forward<T: Element>(
    c: &Context,
    layer: usize,
    w: LayerWeights<T>,
    input: &Arc<Buffer<T>>,
    queries: Queries,
) -> Result<(Arc<Buffer<T>>, Saved<T>)> {
    let (at, h, i, rows) = (LayerOffsets::new(c.shape), c.shape.hidden, c.shape.intermediate, queries.rows);
    let part = |offset: usize| w.rounded.at(offset);
    let projections = Projections::new(c, &queries)?;
    let (weight, bias) = (part(at.projections), part(at.projection_biases));
    let mut query_input = None;
    match &projections.queries {
        None => {
            c.linear(input.pointer(), (rows, h, 3 * h), weight, bias, projections.rest.pointer())?;
        }
        Some(apart) => {
            let few = query_input.insert(gather(c, &queries, input)?);
            c.linear(few.pointer(), (rows, h, h), weight, bias, apart.pointer())?;
            let shape = (c.batch.tokens, h, 2 * h);
            c.linear(input.pointer(), shape, weight.at(h * h), bias.at(h), projections.rest.pointer())?;
        }
    }
    let (context, logsumexp) = attention::forward(c, layer, &projections, &queries)?;
    let attention_normalised = c.gpu.buffer::<T>(rows * h)?;
    let (weight, bias) = (part(at.attention_output), part(at.attention_vectors));
    c.linear(context.pointer(), (rows, h, h), weight, bias, attention_normalised.pointer())?;
    let residual = query_input.as_ref().unwrap_or(input).pointer();
    let place = (layer, Site::AttentionOutput);
    let vectors = w.master.at(at.attention_vectors);
    let (attention_rstd, attended) = add_norm(c, &queries, &attention_normalised, residual, vectors, place)?;

    let (pre, activated) = (c.gpu.buffer::<T>(rows * i)?, c.gpu.buffer::<T>(rows * i)?);
    let (weight, bias) = (part(at.intermediate), part(at.intermediate_bias));
    c.linear(attended.pointer(), (rows, h, i), weight, bias, pre.pointer())?;
    let arguments = arguments![pre.pointer(), activated.pointer(), (rows * i) as u64, kind(c)];
    c.gpu.launch::<T>("activation", Grid::over(rows * i), &arguments)?;
    let output_normalised = c.gpu.buffer::<T>(rows * h)?;
    let (weight, bias) = (part(at.output), part(at.output_vectors));
    c.linear(activated.pointer(), (rows, i, h), weight, bias, output_normalised.pointer())?;
    let (vectors, place) = (w.master.at(at.output_vectors), (layer, Site::FeedForwardOutput));
    let (output_rstd, y) = add_norm(c, &queries, &output_normalised, attended.pointer(), vectors, place)?;
    let saved = Saved {
        queries,
        input: input.clone(),
        query_input,
        projections,
        context,
        logsumexp,
        attention_normalised,
        attention_rstd,
        attended,
        pre,
        output_normalised,
        output_rstd,
    };
    Ok((Arc::new(y), saved))
}

fn gather<T: Element>(c: &Context, queries: &Queries, all: &Buffer<T>) -> Result<Buffer<T>> {
    let rows = c.gpu.buffer::<T>(queries.rows * c.shape.hidden)?;
    let arguments = arguments![all.pointer(), queries.index, rows.pointer(), c.hidden()];
    c.gpu.launch::<T>("gather_rows", Grid::of(queries.rows), &arguments)?;
    Ok(rows)
}

/// As activation.cu numbers them.
fn kind(c: &Context) -> u32 {
    match c.shape.activation {
        Activation::Gelu => 0,
        Activation::GeluTanh => 1,
        Activation::QuickGelu => 2,
        Activation::Relu => 3,
        Activation::Silu => 4,
    }
}

/// The way back through one layer.
pub struct Backward<'a, T: Element> {
    c: &'a Context<'a>,
    layer: usize,
    weights: LayerWeights<T>,
    saved: &'a Saved<T>,
    /// The layer's flat buffer of gradients, where those of weights are wanted.
    sums: Option<Pointer<f32>>,
    /// `[stripes, columns]`
    partial: Buffer<f32>,
    stripes: usize,
}

impl<'a, T: Element> Backward<'a, T> {
    pub fn new(
        c: &'a Context<'a>,
        layer: usize,
        weights: LayerWeights<T>,
        saved: &'a Saved<T>,
        sums: Option<Pointer<f32>>,
    ) -> Result<Self> {
        let stripes = c.batch.tokens.div_ceil(STRIPE);
        let len = stripes * PartialColumns::new(c.shape).len();
        // Fewer queries than tokens have fewer stripes.
        let partial = if saved.queries.all { c.gpu.buffer(len)? } else { c.gpu.zeros(len)? };
        Ok(Backward { c, layer, weights, saved, sums, partial, stripes })
    }

    /// The gradient of the layer's input, `[tokens, hidden]`, from that of its output, `[queries, hidden]`; those of
    /// weights are added.
    pub fn run(self, gradient: Buffer<T>) -> Result<Buffer<T>> {
        let (at, columns) = (LayerOffsets::new(self.c.shape), PartialColumns::new(self.c.shape));
        self.feed_forward(&gradient, &at, &columns)?;
        let projections = self.attention(&gradient, &at, &columns)?;
        let gradient = self.projections(&projections, gradient, &at)?;
        if let Some(sums) = self.sums {
            self.add_vectors(&projections, sums, &at, &columns)?;
        }
        Ok(gradient)
    }

    fn sizes(&self) -> (&Context<'a>, &Saved<T>, usize, usize, usize) {
        let (c, saved) = (self.c, self.saved);
        (c, saved, c.shape.hidden, c.shape.intermediate, saved.queries.rows)
    }

    /// Through a LayerNorm: `gradient` of its output becomes that of the residual, `branch` that of the branch before
    /// its dropout.
    fn add_norm(
        &self,
        gradient: &Buffer<T>,
        branch: &Buffer<T>,
        (normalised, rstd, vectors): (&Buffer<T>, &Buffer<f32>, Pointer<f32>),
        (site, column): (Site, usize),
    ) -> Result<()> {
        let (c, s, h, _, rows) = self.sizes();
        let mut arguments = arguments![
            gradient.pointer(),
            branch.pointer(),
            normalised.pointer(),
            rstd.pointer(),
            vectors.at(h),
        ]
        .to_vec();
        arguments.extend(c.rows(&s.queries));
        let stride = PartialColumns::new(c.shape).len() as u32;
        arguments.extend(arguments![self.partial.pointer().at(column), rows as u32, h as u32, stride]);
        arguments.extend(c.dropout_at(self.layer, site));
        c.gpu.launch::<T>("add_norm_backward", Grid::of(rows.div_ceil(STRIPE)), &arguments)
    }

    /// `gradient` of the output becomes that of the attention block's output.
    fn feed_forward(&self, gradient: &Buffer<T>, at: &LayerOffsets, columns: &PartialColumns) -> Result<()> {
        let (c, s, h, i, rows) = self.sizes();
        let branch = c.gpu.buffer::<T>(rows * h)?;
        let norm = (&s.output_normalised, &s.output_rstd, self.weights.master.at(at.output_vectors));
        let place = (Site::FeedForwardOutput, columns.output_vectors().start);
        self.add_norm(gradient, &branch, norm, place)?;
        let (pre_gradient, activated) = (c.gpu.buffer::<T>(rows * i)?, c.gpu.buffer::<T>(rows * i)?);
        let weight = self.weights.rounded.at(at.output);
        c.through(branch.pointer(), (rows, i, h), weight, Into::Place, pre_gradient.pointer())?;
        let partial = self.partial.pointer().at(columns.intermediate_bias().start);
        let arguments = arguments![
            s.pre.pointer(),
            pre_gradient.pointer(),
            activated.pointer(),
            partial,
            rows as u32,
            i as u32,
            columns.len() as u32,
            kind(c),
        ];
        let grid = Grid::of(i.div_ceil(256)).by(rows.div_ceil(STRIPE), 1);
        c.gpu.launch::<T>("activation_backward", grid, &arguments)?;
        if let Some(sums) = self.sums {
            let into = sums.at(at.output);
            c.weight_gradient(branch.pointer(), (rows, i, h), activated.pointer(), into)?;
            let into = sums.at(at.intermediate);
            c.weight_gradient(pre_gradient.pointer(), (rows, h, i), s.attended.pointer(), into)?;
        }
        let weight = self.weights.rounded.at(at.intermediate);
        c.through(pre_gradient.pointer(), (rows, h, i), weight, Into::Sum, gradient.pointer())
    }

    /// `gradient` of the block's output becomes that of its residual. Gives that of the projections.
    fn attention(
        &self,
        gradient: &Buffer<T>,
        at: &LayerOffsets,
        columns: &PartialColumns,
    ) -> Result<Projections<T>> {
        let (c, s, h, _, rows) = self.sizes();
        let branch = c.gpu.buffer::<T>(rows * h)?;
        let vectors = self.weights.master.at(at.attention_vectors);
        let norm = (&s.attention_normalised, &s.attention_rstd, vectors);
        let place = (Site::AttentionOutput, columns.attention_vectors().start);
        self.add_norm(gradient, &branch, norm, place)?;
        let grad_context = c.gpu.buffer::<T>(rows * h)?;
        let weight = self.weights.rounded.at(at.attention_output);
        c.through(branch.pointer(), (rows, h, h), weight, Into::Place, grad_context.pointer())?;
        if let Some(sums) = self.sums {
            let into = sums.at(at.attention_output);
            c.weight_gradient(branch.pointer(), (rows, h, h), s.context.pointer(), into)?;
        }
        let known = (&s.context, &s.logsumexp);
        attention::backward(c, self.layer, &s.projections, &s.queries, known, &grad_context)
    }

    /// The gradient of the layer's input: what came by the residual, `[queries, hidden]`, and what comes through the
    /// projections.
    fn projections(
        &self,
        projections: &Projections<T>,
        residual: Buffer<T>,
        at: &LayerOffsets,
    ) -> Result<Buffer<T>> {
        let (c, s, h, _, rows) = self.sizes();
        let (weight, all) = (self.weights.rounded.at(at.projections), projections.rest.pointer());
        let sums = self.sums.map(|sums| sums.at(at.projections));
        let Some(queries) = &projections.queries else {
            c.through(all, (rows, h, 3 * h), weight, Into::Sum, residual.pointer())?;
            if let Some(sums) = sums {
                c.weight_gradient(all, (rows, h, 3 * h), s.input.pointer(), sums)?;
            }
            return Ok(residual);
        };
        let tokens = c.batch.tokens;
        c.through(queries.pointer(), (rows, h, h), weight, Into::Sum, residual.pointer())?;
        let gradient = c.gpu.zeros::<T>(tokens * h)?;
        let arguments = arguments![residual.pointer(), s.queries.index, gradient.pointer(), c.hidden()];
        c.gpu.launch::<T>("scatter_rows", Grid::of(rows), &arguments)?;
        c.through(all, (tokens, h, 2 * h), weight.at(h * h), Into::Sum, gradient.pointer())?;
        if let (Some(sums), Some(input)) = (sums, &s.query_input) {
            c.weight_gradient(queries.pointer(), (rows, h, h), input.pointer(), sums)?;
            c.weight_gradient(all, (tokens, h, 2 * h), s.input.pointer(), sums.at(h * h))?;
        }
        Ok(gradient)
    }

    /// Adds the gradients of biases and LayerNorms, all from sums over stripes of rows.
    fn add_vectors(
        &self,
        projections: &Projections<T>,
        sums: Pointer<f32>,
        at: &LayerOffsets,
        columns: &PartialColumns,
    ) -> Result<()> {
        let (c, _, h, _, rows) = self.sizes();
        let biases = columns.projection_biases().start;
        match &projections.queries {
            None => self.sum_stripes(&projections.rest, (rows, 3 * h), biases)?,
            Some(queries) => {
                self.sum_stripes(queries, (rows, h), biases)?;
                self.sum_stripes(&projections.rest, (c.batch.tokens, 2 * h), biases + h)?;
            }
        }
        let parts = self.stripes as u32;
        let ends = [
            (columns.output_vectors().end, at.output_vectors),
            (columns.attention_vectors().end, at.attention_vectors),
            (columns.projection_biases().end, at.projection_biases),
            (columns.intermediate_bias().end, at.intermediate_bias),
        ];
        let mut arguments = arguments![self.partial.pointer(), sums, columns.len() as u32].to_vec();
        for (end, place) in ends {
            arguments.extend(arguments![end as u32, parts, place as u32]);
        }
        c.gpu.launch_plain("add_layer_sums", Grid::of(columns.len().div_ceil(256)), &arguments)
    }

    /// Sums of `x`'s columns over stripes of its rows, from `column` of the partial sums on.
    fn sum_stripes(&self, x: &Buffer<T>, (rows, columns): (usize, usize), column: usize) -> Result<()> {
        let stride = PartialColumns::new(self.c.shape).len() as u32;
        let into = self.partial.pointer().at(column);
        let arguments = arguments![x.pointer(), into, rows as u32, columns as u32, stride];
        let grid = Grid::of(columns.div_ceil(256)).by(rows.div_ceil(STRIPE), 1);
        self.c.gpu.launch::<T>("column_partials", grid, &arguments)
    }
}
