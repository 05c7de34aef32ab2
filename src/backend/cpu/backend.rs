//! The fused CPU path: [`crate::backend::cpu`] on the flat buffers of f32 parameters.

use candle_core::{DType, Device, Result, Tensor};

use crate::model::config::EncoderConfig;
use crate::batch::{PackedBatch, Pass};
use crate::weights::Parameters;
use crate::model::Pooling;
use super::tensors as flat;
use crate::encoder::{Encoded, Tape};
use crate::backend::cpu::{self as ops, EncoderShape};

impl EncoderConfig {
    /// The sizes that the fused operations need.
    pub fn shape(&self) -> EncoderShape {
        let d = &self.dimensions;
        EncoderShape {
            hidden: d.hidden_size,
            heads: self.num_attention_heads,
            intermediate: d.intermediate_size,
            layers: d.num_hidden_layers,
            activation: self.activation,
            layer_norm_eps: self.layer_norm_eps as f32,
            vocab_size: d.vocab_size,
            max_position_embeddings: d.max_position_embeddings,
            type_vocab_size: d.type_vocab_size,
        }
    }
}

fn pooling(pooling: Pooling) -> ops::Pooling {
    match pooling {
        // Padding rows are in the batch where mean-padded wants them.
        Pooling::Mean | Pooling::MeanPadded => ops::Pooling::Mean,
        Pooling::Cls => ops::Pooling::Cls,
        Pooling::FirstLastAvg => ops::Pooling::FirstLast,
    }
}

/// `[n, hidden]` embeddings of a batch, without a graph.
pub fn embed(
    config: &EncoderConfig,
    parameters: &Parameters,
    batch: &PackedBatch,
    noise: Option<&Tensor>,
    pass: &Pass,
    pooled: Pooling,
) -> Result<Tensor> {
    let (shape, noise) = (config.shape(), values(noise)?);
    let embeddings = with_weights(&shape, parameters, batch, |weights| {
        ops::embed(&shape, weights, batch, noise.as_deref(), pass, pooling(pooled))
    })?;
    Tensor::from_vec(embeddings, (batch.len(), shape.hidden), &Device::Cpu)
}

/// As [`embed`], with what is needed to go back.
pub fn embed_tracked(
    config: &EncoderConfig,
    parameters: &Parameters,
    batch: &PackedBatch,
    noise: Option<&Tensor>,
    pass: &Pass,
    pooled: Pooling,
) -> Result<Encoded> {
    let (shape, noise) = (config.shape(), values(noise)?);
    let (embeddings, tape) = with_weights(&shape, parameters, batch, |weights| {
        ops::embed_tracked(&shape, weights, batch, noise.as_deref(), pass, pooling(pooled))
    })?;
    let embeddings = Tensor::from_vec(embeddings, (batch.len(), shape.hidden), &Device::Cpu)?;
    let tape = FusedTape { tape, total_tokens: batch.total_tokens(), hidden: shape.hidden };
    Ok(Encoded { embeddings, tape: Box::new(tape) })
}

struct FusedTape {
    tape: ops::Tape,
    total_tokens: usize,
    hidden: usize,
}

impl Tape for FusedTape {
    fn backward(&self, parameters: &Parameters, grad_embeddings: &Tensor) -> Result<Parameters> {
        let grad_embeddings = f32_values(grad_embeddings)?;
        let layout = parameters.layout();
        let mut gradients: Vec<Vec<f32>> = layout.groups.iter().map(|group| vec![0.0; group.len]).collect();
        let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        with_slices(parameters, |weights| self.tape.backward(weights, &grad_embeddings, &mut slices))?;
        let flats = gradients
            .into_iter()
            .map(|values| {
                let len = values.len();
                Tensor::from_vec(values, len, &Device::Cpu)
            })
            .collect::<Result<_>>()?;
        Parameters::from_flats(layout.clone(), flats)
    }

    fn noise_gradient(&self, parameters: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor> {
        let grad_embeddings = f32_values(grad_embeddings)?;
        let gradient =
            with_slices(parameters, |weights| self.tape.noise_gradient(weights, &grad_embeddings))?;
        Tensor::from_vec(gradient, (self.total_tokens, self.hidden), &Device::Cpu)
    }
}

fn f32_values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn values(noise: Option<&Tensor>) -> Result<Option<Vec<f32>>> {
    noise.map(f32_values).transpose()
}

/// Calls `f` with the flat buffers, after checking that the batch's ids lie within them.
fn with_weights<R>(
    shape: &EncoderShape,
    parameters: &Parameters,
    batch: &PackedBatch,
    f: impl FnOnce(&[&[f32]]) -> R,
) -> Result<R> {
    with_slices(parameters, |weights| shape.check(weights, batch).map(|()| f(weights)))?
        .map_err(candle_core::Error::wrap)
}

/// Calls `f` with the flat buffers.
fn with_slices<R>(parameters: &Parameters, f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    flat::with_f32_all(parameters.flats(), f)
}
