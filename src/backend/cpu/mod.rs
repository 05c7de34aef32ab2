//! f32 on the CPU: fused operations on plain slices, each with its forward and backward together, and the
//! [`Backend`](super::Backend)s that call them. The only room with `unsafe`.
//!
//! Precisions differ in a layer's matrix products alone: `products` says what a layer asks of them, and is f32's;
//! `narrow` has those of bf16 and int8.
//!
//! Sequences are cut into chunks (a function of their lengths only) that go through all layers while their rows
//! are in cache; a layer keeps what its backward needs and recomputes probabilities, activations and dropout
//! masks. Reductions have fixed lanes and fixed blocks, so that the result has the same bits for any number of
//! threads.

mod activation;
mod adamw;
mod attention;
mod backend;
mod buffers;
mod chunk;
pub mod dense;
mod embedding;
mod encoder;
mod layer;
mod layer_norm;
mod math;
mod matmul;
mod narrow;
mod narrow_backend;
mod normals;
mod pooling;
mod product_rate;
mod products;
mod relative;
mod shape;
mod simd;
mod tensors;
mod vectors;
mod weight_gradients;

pub use backend::Cpu;
pub use buffers::release_kept;
pub use narrow::instructions::{bf16 as bf16_instructions, bf16_outruns_f32, int8 as int8_instructions};
pub use narrow_backend::CpuBf16;
pub(crate) use narrow_backend::{prepared_bf16, prepared_int8};
pub use product_rate::product_seconds;
pub use simd::instruction_set;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
