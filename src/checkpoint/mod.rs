//! Weights on disk: read from any Hugging Face folder, written so that its tools read them; and the
//! checkpoints from which a run goes on exactly where it was stopped.

mod error;
pub mod manifest;
pub mod origin;
pub mod run_checkpoints;
pub mod schedule;
mod scores;
#[cfg(test)]
mod tests;

pub use error::CheckpointError;
pub use origin::Origin;
pub use run_checkpoints::{Checkpoint, RunCheckpoints, Snapshot, State};
pub use schedule::{SaveEvery, Schedule};
pub use scores::{HeldOutScore, Score};
