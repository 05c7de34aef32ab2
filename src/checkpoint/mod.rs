//! Weights on disk: read from any Hugging Face folder, written so that its tools read them.

pub mod read;

pub use read::{WeightsError, read_parameters};
