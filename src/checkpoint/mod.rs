//! Weights on disk: read from any Hugging Face folder, written so that its tools read them; and the
//! checkpoints from which a run goes on exactly where it was stopped.

pub mod manifest;
pub mod model_card;
pub mod origin;
pub mod read;
pub mod run_checkpoints;
pub mod schedule;
pub mod tensors;
#[cfg(test)]
mod tests;
mod torch;
pub mod write;

pub use origin::Origin;
pub use read::{WeightsError, read_parameters};
pub use run_checkpoints::{Checkpoint, CheckpointError, RunCheckpoints, Snapshot, State};
pub use schedule::{SaveEvery, Schedule};
