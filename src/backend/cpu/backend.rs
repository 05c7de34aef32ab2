//! From tensors to slices: the flat buffers of f32 parameters, handed to the fused operations.

use std::borrow::Borrow;
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};

use super::products::{Backward, F32, Forward};
use super::shape::EncoderShape;
use super::tensors::{f32_values, with_f32, with_f32_all, with_f32_all_mut, with_f32_mut};
use super::{adamw, encoder, normals, vectors};
use crate::backend::{AdamWConfig, Arithmetic, Backend, Encoded, Input, Tape, Update};
use crate::random::Key;
use crate::weights::Parameters;

/// f32 on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cpu;

impl Backend for Cpu {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        embed::<F32, F32>(weights, input, |_, _| F32)
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        embed_tracked(weights, input, |_, _| F32, |_, _| F32)
    }
}

impl Arithmetic for Cpu {
    fn sum_of_squares(&self, groups: &[Tensor]) -> Result<f64> {
        groups.iter().map(|x| with_f32(x, vectors::sum_of_squares)).sum()
    }

    fn plus(&self, a: &Tensor, scale: f64, b: &Tensor) -> Result<Tensor> {
        let sum = with_f32_all(&[a, b], |slices| {
            let mut sum = vec![0f32; slices[0].len()];
            vectors::add_scaled(slices[0], scale as f32, slices[1], &mut sum);
            sum
        })?;
        Tensor::from_vec(sum, a.dims(), &Device::Cpu)
    }

    fn add(&self, a: &mut Tensor, scale: f64, b: &Tensor) -> Result<()> {
        with_f32(b, |b| with_f32_mut(a, |a| vectors::add_scaled_to(a, scale as f32, b)))?
    }

    fn perturb(&self, direction: &mut Tensor, scale: f64, weights: &Tensor) -> Result<()> {
        with_f32(weights, |w| with_f32_mut(direction, |d| vectors::perturb(d, scale as f32, w)))?
    }

    fn normals(&self, key: Key, like: &Tensor) -> Result<Tensor> {
        let mut values = vec![0f32; like.elem_count()];
        normals::fill(key, &mut values);
        Tensor::from_vec(values, like.dims(), &Device::Cpu)
    }

    fn adamw(&self, config: &AdamWConfig, step: u64, group: Update) -> Result<()> {
        let Update { weights, gradient, m, v } = group;
        with_f32(gradient, |g| {
            with_f32_all_mut(&[weights, m, v], |slices| match slices {
                [p, m, v] => adamw::step(config, step, p, g, m, v),
                _ => unreachable!("three tensors give three slices"),
            })
        })?
    }
}

/// A pass whose products `prepare` makes of the encoder's flat buffers.
pub(super) fn embed<P: Forward, B: Borrow<P>>(
    weights: &Parameters,
    input: &Input,
    prepare: impl FnOnce(&EncoderShape, &[&[f32]]) -> B,
) -> Result<Tensor> {
    let (shape, noise) = (EncoderShape::from(input.config), input.noise.map(f32_values).transpose()?);
    let embeddings = with_weights(&shape, weights, input, |weights| {
        let products = prepare(&shape, weights);
        let by = (weights, products.borrow());
        encoder::embed(&shape, by, input.batch, noise.as_deref(), input.pass, input.readout)
    })?;
    Tensor::from_vec(embeddings, (input.batch.total_outputs(), shape.hidden), &Device::Cpu)
}

/// As [`embed`], with the way back, whose products `prepare_back` makes when it is first walked.
pub(super) fn embed_tracked<P: Forward, B: Backward>(
    weights: &Parameters,
    input: &Input,
    prepare: impl FnOnce(&EncoderShape, &[&[f32]]) -> P,
    prepare_back: fn(&EncoderShape, &[&[f32]]) -> B,
) -> Result<Encoded> {
    let (shape, noise) = (EncoderShape::from(input.config), input.noise.map(f32_values).transpose()?);
    let (embeddings, tape) = with_weights(&shape, weights, input, |weights| {
        let by = (weights, &prepare(&shape, weights));
        encoder::embed_tracked(&shape, by, input.batch, noise.as_deref(), input.pass, input.readout)
    })?;
    let embeddings = Tensor::from_vec(embeddings, (input.batch.total_outputs(), shape.hidden), &Device::Cpu)?;
    let form = input.noise.map_or((DType::F32, Device::Cpu), |n| (n.dtype(), n.device().clone()));
    let noise = (input.batch.total_tokens(), shape.hidden);
    let products = OnceLock::new();
    Ok(Encoded { embeddings, tape: Box::new(CpuTape { tape, shape, products, prepare_back, noise, form }) })
}

struct CpuTape<B: Backward> {
    tape: encoder::Activations<B::Stored>,
    shape: EncoderShape,
    /// Those of the way back, of the forward pass's weights.
    products: OnceLock<B>,
    prepare_back: fn(&EncoderShape, &[&[f32]]) -> B,
    /// Shape of the noise, whether there was any or not.
    noise: (usize, usize),
    /// Its dtype and device.
    form: (DType, Device),
}

impl<B: Backward> CpuTape<B> {
    fn products(&self, weights: &[&[f32]]) -> &B {
        self.products.get_or_init(|| (self.prepare_back)(&self.shape, weights))
    }
}

impl<B: Backward> Tape for CpuTape<B> {
    fn backward(&self, weights: &Parameters, grad_embeddings: &Tensor, into: &mut Parameters) -> Result<()> {
        weights.same_form(into)?;
        let grad_embeddings = f32_values(grad_embeddings)?;
        let into: Vec<&Tensor> = self.shape.groups(into.flats()).iter().collect();
        with_slices(&self.shape, weights, |weights| {
            let by = (weights, self.products(weights));
            with_f32_all_mut(&into, |into| self.tape.backward(by, &grad_embeddings, into))
        })?
    }

    fn noise_gradient(&self, weights: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor> {
        let grad_embeddings = f32_values(grad_embeddings)?;
        let gradient = with_slices(&self.shape, weights, |weights| {
            self.tape.noise_gradient((weights, self.products(weights)), &grad_embeddings)
        })?;
        let (dtype, device) = &self.form;
        Tensor::from_vec(gradient, self.noise, &Device::Cpu)?.to_dtype(*dtype)?.to_device(device)
    }
}

/// Calls `f` with the encoder's flat buffers, after checking that the batch's ids lie within them.
fn with_weights<R>(
    shape: &EncoderShape,
    weights: &Parameters,
    input: &Input,
    f: impl FnOnce(&[&[f32]]) -> R,
) -> Result<R> {
    with_slices(shape, weights, |weights| shape.check(weights, input.batch).map(|()| f(weights)))?
        .map_err(candle_core::Error::wrap)
}

/// Calls `f` with the encoder's flat buffers.
pub(super) fn with_slices<R>(
    shape: &EncoderShape,
    weights: &Parameters,
    f: impl FnOnce(&[&[f32]]) -> R,
) -> Result<R> {
    let groups: Vec<&Tensor> = shape.groups(weights.flats()).iter().collect();
    with_f32_all(&groups, f)
}
