//! The encoder: weights are an argument, never hidden state.

pub mod layout;
pub mod packed_batch;
