//! What an encoder computes on: packed token sequences, and what a pass may use of randomness.

mod packed;
mod pass;

pub use packed::PackedBatch;
pub use pass::{Pass, SequenceId, attention_row_key, drophead_factors, head_row_key, row_key};
