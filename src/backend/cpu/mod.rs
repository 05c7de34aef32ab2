//! f32 on the CPU: fused operations on plain slices, each with its forward and backward together, and the
//! [`Backend`](super::Backend) that calls them. The only room with `unsafe`.
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
mod embedding;
mod encoder;
mod layer;
mod layer_norm;
mod math;
mod matmul;
mod normals;
mod pooling;
mod relative;
mod shape;
mod simd;
mod tensors;
mod vectors;
mod weight_gradients;

pub use backend::Cpu;
pub use buffers::release_kept;
pub use simd::instruction_set;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
