//! Fused CPU operations on plain f32 slices, each with its forward and backward together.

pub mod adamw;
pub mod normals;
pub mod vectors;

mod activation;
mod attention;
mod buffers;
mod chunk;
mod embedding;
mod encoder;
mod layer;
mod layer_norm;
mod math;
pub(crate) mod matmul;
mod pooling;
mod shape;
pub(crate) mod simd;
mod weight_gradients;

pub use activation::{Activation, QUICK_SLOPE};
pub use buffers::release_kept;
pub use encoder::{Tape, embed, embed_tracked, hidden_states};
pub use pooling::Pooling;
pub use shape::{EncoderShape, ShapeError};

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
