//! f32 and bf16 on CUDA: a pass as a fixed row of kernels and products over packed rows, forward and back.
//!
//! Kernels are in `kernels/`, a file for each operation with its way back; build.rs compiles them. Masks are hashed
//! where they are used, sums over rows are made in two fixed stages, and tables get their gradients by segments of
//! equal ids: gradients have the same bits in every run on the same card. Sums within a kernel are in f32, whatever
//! activations are stored in.

use candle_core::{Result, Tensor};
use half::bf16;

use super::{Backend, Encoded, Input, Reference};
use crate::weights::Parameters;

mod arithmetic;
mod attention;
mod batch;
mod context;
mod device;
mod encoder;
mod layer;
mod pointer;
mod products;
mod shape;

use pointer::Element;

/// f32 on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Cuda;

/// Activations and the operands of products in bf16, on a GPU; weights, their gradients, softmax and norms in f32.
#[derive(Clone, Copy, Debug)]
pub struct CudaBf16;

/// Whether kernels have everything that the encoder has: a relative bias has only a way forward in them, and heads are
/// at most so wide.
fn has_kernels(input: &Input) -> bool {
    let config = input.config;
    config.relative_bias().is_none() && config.head_size() <= attention::WIDEST_HEAD
}

/// [`encoder::embed`], or the reference's where there are no kernels.
fn embed<T: Element>(weights: &Parameters, input: &Input) -> Result<Tensor> {
    if has_kernels(input) { encoder::embed::<T>(weights, input) } else { Reference.embed(weights, input) }
}

/// The same of [`encoder::embed_tracked`].
fn embed_tracked<T: Element>(weights: &Parameters, input: &Input) -> Result<Encoded> {
    if has_kernels(input) {
        encoder::embed_tracked::<T>(weights, input)
    } else {
        Reference.embed_tracked(weights, input)
    }
}

impl Backend for Cuda {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        embed::<f32>(weights, input)
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        embed_tracked::<f32>(weights, input)
    }
}

impl Backend for CudaBf16 {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        embed::<bf16>(weights, input)
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        embed_tracked::<bf16>(weights, input)
    }

    fn rounds(&self) -> bool {
        true
    }
}
