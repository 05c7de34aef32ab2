//! Weights on disk: read from any Hugging Face folder, written so that its tools read them.

pub mod model_card;
pub mod read;
pub mod write;

pub use read::{WeightsError, read_parameters};
