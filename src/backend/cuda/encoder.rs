//! The whole encoder on a packed batch: embeddings, layers and pooling, forward and back.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::batch::{DeviceBatch, Queries};
use super::context::{Context, STRIPE};
use super::device::{Buffer, Element, Gpu, Grid, Pointer, arguments, pointer};
use super::layer::{self, LayerWeights};
use super::shape::EmbeddingOffsets;
use crate::backend::shape::EncoderShape;
use crate::backend::{Encoded, Input, Readout, Tape};
use crate::batch::Pass;
use crate::random::Site;
use crate::weights::Parameters;

/// Flat buffers, and what products take in their place.
pub struct Weights<T: Element> {
    /// The embeddings' group, and each layer's.
    master: Vec<Pointer<f32>>,
    /// Of each layer, where they are not the same.
    rounded: Vec<Buffer<T>>,
}

impl<T: Element> Weights<T> {
    /// Those of a pass. `parameters` must live as long.
    pub fn new(gpu: &Gpu, shape: &EncoderShape, parameters: &Parameters) -> Result<Self> {
        let groups = shape.groups(parameters.flats());
        let lens: Vec<usize> = groups.iter().map(Tensor::elem_count).collect();
        shape.check_groups(&lens).map_err(candle_core::Error::wrap)?;
        let master = groups.iter().map(pointer::<f32>).collect::<Result<Vec<_>>>()?;
        let mut rounded = Vec::new();
        if T::DTYPE != candle_core::DType::F32 {
            for (&group, &len) in master.iter().zip(&lens).skip(1) {
                let values = gpu.buffer::<T>(len)?;
                let arguments = arguments![group, values.pointer(), len as u64];
                gpu.launch::<T>("round", Grid::over(len), &arguments)?;
                rounded.push(values);
            }
        }
        Ok(Weights { master, rounded })
    }

    fn embeddings(&self) -> Pointer<f32> {
        self.master[0]
    }

    /// Those of a layer, whose flat buffer lies at `master`.
    fn layer(&self, layer: usize, master: Pointer<f32>) -> LayerWeights<T> {
        let rounded = self.rounded.get(layer).map_or(master.cast(), Buffer::pointer);
        LayerWeights { rounded, master }
    }
}

/// What the way back needs of the embeddings.
struct Embedded<T: Element> {
    /// `[tokens, hidden]`
    normalised: Buffer<T>,
    rstd: Buffer<f32>,
}

/// dropout(LayerNorm(word + noise + position + type)), `[tokens, hidden]`.
fn embed_tokens<T: Element>(
    c: &Context,
    weights: Pointer<f32>,
    noise: Pointer<f32>,
) -> Result<(Buffer<T>, Embedded<T>)> {
    let (at, tokens, b) = (EmbeddingOffsets::new(c.shape), c.batch.tokens, c.batch);
    let values = || c.gpu.buffer::<T>(tokens * c.shape.hidden);
    let (y, normalised, rstd) = (values()?, values()?, c.gpu.buffer::<f32>(tokens)?);
    let token_type = if c.shape.type_vocab_size > 0 { weights.at(at.token_type) } else { Pointer::NULL };
    let mut arguments = arguments![
        weights,
        weights.at(at.position),
        token_type,
        noise,
        b.token_ids(),
        b.position_ids(),
        b.token_types(),
    ]
    .to_vec();
    arguments.extend(c.rows(&b.all()));
    let norm = weights.at(at.norm);
    arguments.extend(arguments![norm, norm.at(c.shape.hidden)]);
    arguments.extend(arguments![
        y.pointer(),
        normalised.pointer(),
        rstd.pointer(),
        tokens as u32,
        c.hidden()
    ]);
    arguments.extend(arguments![c.shape.layer_norm_eps]);
    arguments.extend(&c.dropout_at(0, Site::Embeddings)[2..]);
    c.gpu.launch::<T>("embed", Grid::warps(tokens), &arguments)?;
    Ok((y, Embedded { normalised, rstd }))
}

/// The factor of a layer's mean.
fn share(readout: Readout) -> f32 {
    if readout.reads_first_layer() { 0.5 } else { 1.0 }
}

/// How often a layer's output is read off: an encoder of one layer has its first and its last in one.
fn times_read(readout: Readout, layer: usize, layers: usize) -> usize {
    usize::from(layer + 1 == layers) + usize::from(layer == 0 && readout.reads_first_layer())
}

/// Puts the part of one layer's output into the embeddings `[outputs, hidden]`, or adds it.
fn pool<T: Element>(
    c: &Context,
    readout: Readout,
    queries: &Queries,
    hidden_states: &Buffer<T>,
    embeddings: &Buffer<f32>,
    add: bool,
) -> Result<()> {
    let [starts, ends] = queries.pooled;
    let from = arguments![hidden_states.pointer(), embeddings.pointer(), starts, ends];
    let how = arguments![share(readout), c.hidden(), u32::from(add)];
    let arguments = [&from[..], &how[..]].concat();
    c.gpu.launch::<T>("pool", Grid::of(queries.outputs), &arguments)
}

/// A pass's inputs on the device, and what it keeps for the way back.
pub struct Activations<T: Element> {
    gpu: Arc<Gpu>,
    shape: EncoderShape,
    batch: DeviceBatch,
    pass: Pass,
    readout: Readout,
    /// Those of the forward pass.
    weights: Weights<T>,
    embedded: Embedded<T>,
    layers: Vec<layer::Saved<T>>,
    /// The noise's dtype and device.
    form: (candle_core::DType, Device),
}

/// Embeddings `[outputs, hidden]`, and by `record` what the way back needs of each layer.
fn run<T: Element>(
    c: &Context,
    weights: &Weights<T>,
    readout: Readout,
    noise: Pointer<f32>,
    mut record: impl FnMut(layer::Saved<T>),
) -> Result<(Buffer<f32>, Embedded<T>)> {
    let (x, embedded) = embed_tokens::<T>(c, weights.embeddings(), noise)?;
    let embeddings = c.gpu.buffer::<f32>(c.batch.last().outputs * c.shape.hidden)?;
    let (mut x, layers, mut add) = (Arc::new(x), c.shape.layers, false);
    for layer in 0..layers {
        let queries = if layer + 1 == layers { c.batch.last() } else { c.batch.all() };
        let (y, saved) =
            layer::forward(c, layer, weights.layer(layer, weights.master[layer + 1]), &x, queries)?;
        record(saved);
        x = y;
        for _ in 0..times_read(readout, layer, layers) {
            pool(c, readout, &queries, &x, &embeddings, add)?;
            add = true;
        }
    }
    Ok((embeddings, embedded))
}

/// `[tokens, hidden]` on the device, in f32; `None` gives a null pointer.
fn noise_on(device: &Device, noise: Option<&Tensor>) -> Result<Option<Tensor>> {
    let on_device = |noise: &Tensor| noise.to_device(device)?.to_dtype(candle_core::DType::F32)?.contiguous();
    noise.map(on_device).transpose()
}

/// What a pass reads, on the device.
struct Prepared<T: Element> {
    gpu: Arc<Gpu>,
    shape: EncoderShape,
    weights: Weights<T>,
    batch: DeviceBatch,
    noise: Option<Tensor>,
}

impl<T: Element> Prepared<T> {
    fn new(parameters: &Parameters, input: &Input, tracked: bool) -> Result<Self> {
        let (gpu, shape) = (Gpu::of(parameters.device())?, EncoderShape::from(input.config));
        shape.check_batch(input.batch).map_err(candle_core::Error::wrap)?;
        let weights = Weights::new(&gpu, &shape, parameters)?;
        let batch = DeviceBatch::new(&gpu, input, tracked)?;
        Ok(Prepared { gpu, shape, weights, batch, noise: noise_on(parameters.device(), input.noise)? })
    }

    /// Embeddings as a tensor, and the rest as [`run`] gives it.
    fn run(&self, input: &Input, record: impl FnMut(layer::Saved<T>)) -> Result<(Tensor, Embedded<T>)> {
        let noise = self.noise.as_ref().map_or(Ok(Pointer::NULL), pointer)?;
        let c = Context { gpu: &self.gpu, shape: &self.shape, batch: &self.batch, pass: input.pass };
        let (embeddings, embedded) = run(&c, &self.weights, input.readout, noise, record)?;
        let shape = (self.batch.last().outputs, self.shape.hidden);
        Ok((self.gpu.tensor(embeddings, shape), embedded))
    }
}

/// A pass without a way back.
pub fn embed<T: Element>(parameters: &Parameters, input: &Input) -> Result<Tensor> {
    Ok(Prepared::<T>::new(parameters, input, false)?.run(input, drop)?.0)
}

/// As [`embed`], with the way back.
pub fn embed_tracked<T: Element>(parameters: &Parameters, input: &Input) -> Result<Encoded> {
    let prepared = Prepared::<T>::new(parameters, input, true)?;
    let mut layers = Vec::with_capacity(prepared.shape.layers);
    let (embeddings, embedded) = prepared.run(input, |saved| layers.push(saved))?;
    let Prepared { gpu, shape, weights, batch, .. } = prepared;
    let device = parameters.device().clone();
    let form = input.noise.map_or((candle_core::DType::F32, device), |n| (n.dtype(), n.device().clone()));
    let (pass, readout) = (*input.pass, input.readout);
    let tape = Activations { gpu, shape, batch, pass, readout, weights, embedded, layers, form };
    Ok(Encoded { embeddings, tape: Box::new(tape) })
}

impl<T: Element> Activations<T> {
    fn context(&self) -> Context<'_> {
        Context { gpu: &self.gpu, shape: &self.shape, batch: &self.batch, pass: &self.pass }
    }

    /// The gradient of the sums of embeddings, `[tokens, hidden]`, and sums over stripes of that of their LayerNorm;
    /// gradients of layers' weights are added to `into`.
    fn backpropagate(
        &self,
        weights: &Parameters,
        grad_embeddings: &Tensor,
        into: Option<&Parameters>,
    ) -> Result<(Buffer<T>, Buffer<f32>)> {
        let c = self.context();
        let on_device = grad_embeddings.to_device(weights.device())?.to_dtype(candle_core::DType::F32)?;
        let on_device = on_device.contiguous()?;
        let from = pointer::<f32>(&on_device)?;
        let mut gradient = None;
        for (layer, saved) in self.layers.iter().enumerate().rev() {
            let queries = if layer + 1 == self.layers.len() { self.batch.last() } else { self.batch.all() };
            let mut add = gradient.is_some();
            let mut of_output = match gradient.take() {
                Some(gradient) => gradient,
                None => self.gpu.buffer::<T>(queries.rows * self.shape.hidden)?,
            };
            for _ in 0..times_read(self.readout, layer, self.layers.len()) {
                self.pool_backward(&queries, from, &of_output, add)?;
                add = true;
            }
            let sums = into.map(|into| pointer::<f32>(&into.flats()[layer + 1])).transpose()?;
            // Only the rounded ones are this tape's own.
            let of_layer = self.weights.layer(layer, pointer::<f32>(&weights.flats()[layer + 1])?);
            of_output = layer::Backward::new(&c, layer, of_layer, saved, sums)?.run(of_output)?;
            gradient = Some(of_output);
        }
        let Some(gradient) = gradient else { candle_core::bail!("an encoder needs a layer") };
        let partial = self.norm_backward(weights, &gradient)?;
        Ok((gradient, partial))
    }

    fn pool_backward(
        &self,
        queries: &Queries,
        from: Pointer<f32>,
        gradient: &Buffer<T>,
        add: bool,
    ) -> Result<()> {
        let [starts, ends] = queries.pooled;
        let arguments = arguments![
            from,
            gradient.pointer(),
            queries.row_output,
            starts,
            ends,
            share(self.readout),
            queries.rows as u32,
            self.shape.hidden as u32,
            u32::from(add),
        ];
        let grid = Grid::over(queries.rows * self.shape.hidden);
        self.gpu.launch::<T>("pool_backward", grid, &arguments)
    }

    /// Through the embeddings' dropout and LayerNorm, in place.
    fn norm_backward(&self, weights: &Parameters, gradient: &Buffer<T>) -> Result<Buffer<f32>> {
        let (c, at, h) = (self.context(), EmbeddingOffsets::new(&self.shape), self.shape.hidden);
        let stripes = self.batch.tokens.div_ceil(STRIPE);
        let partial = self.gpu.buffer::<f32>(stripes * 2 * h)?;
        let norm = pointer::<f32>(&weights.flats()[0])?.at(at.norm);
        let saved = &self.embedded;
        let mut arguments =
            arguments![gradient.pointer(), saved.normalised.pointer(), saved.rstd.pointer(), norm].to_vec();
        arguments.extend(c.rows(&self.batch.all()));
        arguments.extend(arguments![partial.pointer(), self.batch.tokens as u32, h as u32, 2 * h as u32]);
        arguments.extend(&c.dropout_at(0, Site::Embeddings)[2..]);
        self.gpu.launch::<T>("embed_norm_backward", Grid::of(stripes), &arguments)?;
        Ok(partial)
    }

    /// Adds the gradients of the embeddings' group.
    fn add_embeddings(&self, gradient: &Buffer<T>, partial: &Buffer<f32>, into: Pointer<f32>) -> Result<()> {
        let (at, h, gpu) = (EmbeddingOffsets::new(&self.shape), self.shape.hidden, &self.gpu);
        for (segments, table) in [(self.batch.words(), into), (self.batch.positions(), into.at(at.position))]
        {
            let arguments = arguments![
                gradient.pointer(),
                segments.order,
                segments.segments,
                segments.ids,
                table,
                h as u32
            ];
            gpu.launch::<T>("segment_add", Grid::of(segments.count), &arguments)?;
        }
        self.add_columns(partial, 2 * h, into.at(at.norm))?;
        let types = self.shape.type_vocab_size;
        if types == 0 {
            return Ok(());
        }
        let (tokens, columns) = (self.batch.tokens, types * h);
        let stripes = tokens.div_ceil(STRIPE);
        let by_type = gpu.buffer::<f32>(stripes * columns)?;
        let arguments = arguments![
            gradient.pointer(),
            self.batch.token_types(),
            by_type.pointer(),
            tokens as u32,
            h as u32,
            types as u32,
            columns as u32,
        ];
        gpu.launch::<T>("type_partials", Grid::of(stripes).by(types, 1), &arguments)?;
        self.add_columns(&by_type, columns, into.at(at.token_type))
    }

    /// Adds sums over stripes of rows.
    fn add_columns(&self, partial: &Buffer<f32>, columns: usize, into: Pointer<f32>) -> Result<()> {
        let stripes = self.batch.tokens.div_ceil(STRIPE) as u32;
        let columns = columns as u32;
        let arguments = arguments![partial.pointer(), into, stripes, columns, columns, 0u32];
        self.gpu.launch_plain("add_column_sums", Grid::of(columns.div_ceil(256) as usize), &arguments)
    }
}

impl<T: Element> Tape for Activations<T> {
    fn backward(&self, weights: &Parameters, grad_embeddings: &Tensor, into: &mut Parameters) -> Result<()> {
        weights.same_form(into)?;
        let (gradient, partial) = self.backpropagate(weights, grad_embeddings, Some(into))?;
        self.add_embeddings(&gradient, &partial, pointer::<f32>(&into.flats()[0])?)
    }

    fn noise_gradient(&self, weights: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor> {
        let (gradient, _) = self.backpropagate(weights, grad_embeddings, None)?;
        let gradient = self.gpu.tensor(gradient, (self.batch.tokens, self.shape.hidden));
        let (dtype, device) = &self.form;
        gradient.to_dtype(*dtype)?.to_device(device)
    }
}
