//! The files of weights.

pub mod files;
pub mod module_weights;
mod naming;
pub mod read;
pub(crate) mod safetensors_file;
pub mod tensors;
mod torch;

pub use read::{WeightsError, read_parameters};
