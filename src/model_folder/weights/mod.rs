//! Tensors in files: safetensors and PyTorch's pickle read, safetensors written.
//!
//! 1. [`files`] finds the files of a folder's weights: one, or the shards that an index names.
//! 2. [`mod@file`] is an opened file of either kind: [`safetensors_file`] or [`torch`].
//! 3. [`naming`] finds the encoder's tensors under the names that a file gives them, and [`read`] makes them into
//!    parameters.
//! 4. [`tensors`] writes named tensors, and reads what it wrote.

mod error;
pub(crate) mod file;
pub mod files;
mod naming;
pub mod read;
pub(crate) mod safetensors_file;
pub mod tensors;
mod torch;

pub use error::WeightsError;
pub use files::WEIGHTS;
pub use read::read_parameters;
