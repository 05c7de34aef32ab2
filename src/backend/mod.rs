//! Who computes: one seam between what an encoder is and how a device computes it.
//!
//! A [`Backend`] goes through an encoder, back again, and along flat buffers of weights. Storage is candle's:
//! a backend is a way to compute on tensors of some dtype and device, never a kind of tensor, and [`of`] is
//! the one place that asks which it is.
//!
//! * [`Cpu`]: f32 on the CPU, by fused operations with a backward written by hand.
//! * [`CpuBf16`], and what [`prepared`] gives: passes with a layer's products in fewer bits. Their weights are f32
//!   too, with [`Cpu`]'s [`Arithmetic`], so that an encoder names them ([`Encoder::on`](crate::encoder::Encoder::on)).
//! * `Cuda` and `CudaBf16`, with the feature `cuda`: f32 and bf16 on a GPU, by kernels of their own.
//! * [`Reference`]: any dtype on any device, by candle's operations and autograd. It documents what the others
//!   compute, and they are tested against it.
//!
//! How another joins them: "A new backend" in ARCHITECTURE.md.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::batch::{PackedBatch, Pass};
use crate::model::EncoderConfig;
use crate::random::Key;
use crate::weights::Parameters;

mod adamw;
mod arithmetic;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod precision;
mod readout;
mod reference;
mod shape;
#[cfg(test)]
mod tests;

pub use adamw::{AdamWConfig, Update};
pub use cpu::dense;
pub use cpu::{Cpu, CpuBf16, product_seconds};
#[cfg(feature = "cuda")]
pub use cuda::{Cuda, CudaBf16};
pub use precision::Precision;
pub use readout::Readout;
pub use reference::{Reference, activation};

/// What goes through an encoder besides its weights.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub config: &'a EncoderConfig,
    /// What of the hidden states the pass ends in.
    pub readout: Readout,
    pub batch: &'a PackedBatch,
    /// `[total_tokens, hidden]`, added to the word embeddings; of any dtype, on any device.
    pub noise: Option<&'a Tensor>,
    pub pass: &'a Pass,
}

/// A tracked forward pass: `[outputs, hidden]` embeddings (detached) and the way back.
pub struct Encoded {
    /// `[outputs, hidden]`: a row for each sequence, or for each chosen row of the batch.
    pub embeddings: Tensor,
    /// The way back.
    pub tape: Box<dyn Tape>,
}

/// The way back from embeddings to weights, kept by a tracked forward pass. It may be walked more
/// than once, with another gradient each time.
pub trait Tape {
    /// Adds the gradient of `sum(grad_embeddings · embeddings)` to `into`. `weights` are those of the forward
    /// pass, `grad_embeddings` is `[outputs, hidden]`; `into` has their form and buffers of its own.
    fn backward(&self, weights: &Parameters, grad_embeddings: &Tensor, into: &mut Parameters) -> Result<()>;

    /// The gradient with respect to the noise on word embeddings, `[total_tokens, hidden]`, in the dtype and
    /// on the device of that noise.
    fn noise_gradient(&self, weights: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor>;
}

/// What an implementation must do. Embeddings and gradients have the same bits for any number of threads, and a
/// pass's embeddings the same bits whether it is tracked or not. Weights may have groups behind those of the encoder:
/// passes leave them alone.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Embeddings `[outputs, hidden]` (as many as [`PackedBatch::total_outputs`]), not normalised, without a way back.
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor>;

    /// As [`Backend::embed`], with the way back.
    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded>;

    /// Whether passes are in less than the precision of their weights.
    fn rounds(&self) -> bool {
        false
    }
}

/// Arithmetic on flat buffers of weights, with the same bits for any number of threads.
///
/// Tensors are single groups of [`Parameters`]; those that are written to are given by `&mut`, and may be written in
/// place or replaced. Callers go through [`Parameters`] and [`crate::optim::AdamW`], which choose the backend and refuse
/// shapes that differ.
pub trait Arithmetic: Backend {
    /// Σ x² over all groups, accumulated in f64.
    fn sum_of_squares(&self, groups: &[Tensor]) -> Result<f64>;

    /// `a + scale · b`, in a new buffer.
    fn plus(&self, a: &Tensor, scale: f64, b: &Tensor) -> Result<Tensor>;

    /// `a += scale · b`, rounded as [`Arithmetic::plus`] does.
    fn add(&self, a: &mut Tensor, scale: f64, b: &Tensor) -> Result<()>;

    /// `direction = weights + scale · direction`, with the product rounded before the sum: ε is a quantity
    /// of its own, though it never has a buffer of its own.
    fn perturb(&self, direction: &mut Tensor, scale: f64, weights: &Tensor) -> Result<()>;

    /// Standard normal values in the form of `like`: element `i` is `key.at(i / 65536).normal(i % 65536)`,
    /// as precisely as the dtype has it.
    fn normals(&self, key: Key, like: &Tensor) -> Result<Tensor>;

    /// One update of a group by AdamW, as PyTorch computes it; `step` counts from 1.
    fn adamw(&self, config: &AdamWConfig, step: u64, group: Update) -> Result<()>;
}

/// The backend for weights such as these: the fastest that computes in their dtype on their device.
pub fn of(weights: &Parameters) -> &'static dyn Arithmetic {
    match (weights.device(), weights.dtype()) {
        (Device::Cpu, DType::F32) => &Cpu,
        #[cfg(feature = "cuda")]
        (Device::Cuda(_), DType::F32) => &Cuda,
        _ => &Reference,
    }
}

/// The backend for encoding with `weights` in `precision`, which are converted once; `None` is the one that [`of`]
/// finds. On a GPU they are converted in each pass, which takes it no time that matters.
///
/// # Errors
/// Weights that are not those of the configuration, or not f32; int8 anywhere but on the CPU.
pub fn prepared(
    precision: Precision,
    config: &EncoderConfig,
    weights: &Parameters,
) -> Result<Option<Arc<dyn Backend>>> {
    Ok(match precision {
        Precision::F32 => None,
        Precision::Bf16 if !weights.device().is_cpu() => training(precision),
        Precision::Bf16 => Some(Arc::new(cpu::prepared_bf16(config, weights)?)),
        Precision::Int8 => Some(Arc::new(cpu::prepared_int8(config, weights)?)),
    })
}

/// The backend for training in `precision`; `None` is the one that [`of`] finds. int8 has no way back.
pub fn training(precision: Precision) -> Option<Arc<dyn Backend>> {
    match precision {
        Precision::F32 | Precision::Int8 => None,
        Precision::Bf16 => Some(Arc::new(Bf16)),
    }
}

/// Passes in bf16 where the weights are.
#[derive(Clone, Copy, Debug)]
struct Bf16;

impl Bf16 {
    fn on(weights: &Parameters) -> &'static dyn Backend {
        match weights.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => &CudaBf16,
            _ => &CpuBf16,
        }
    }
}

impl Backend for Bf16 {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        Bf16::on(weights).embed(weights, input)
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        Bf16::on(weights).embed_tracked(weights, input)
    }

    fn rounds(&self) -> bool {
        true
    }
}

/// What computes in `precision` on this machine's CPU: `x86_64 V4`, or `x86_64 V4, bf16 by AMX`.
pub fn instructions(precision: Precision) -> String {
    let products = match precision {
        Precision::F32 => return cpu::instruction_set(),
        Precision::Bf16 => cpu::bf16_instructions(),
        Precision::Int8 => cpu::int8_instructions(),
    };
    format!("{}, {precision} by {}", cpu::instruction_set(), products.name())
}

/// Gives the buffers that backends keep for reuse back to the system.
pub fn release_kept() {
    cpu::release_kept();
}
