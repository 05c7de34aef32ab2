//! What an encoder computes on: packed token sequences, and what a pass may use of randomness.

mod packed;

pub use packed::{PackedBatch, Pass, SequenceId, attention_row_key, drophead_factors, row_key};
