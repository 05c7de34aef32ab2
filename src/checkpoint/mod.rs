//! Weights on disk: read from any Hugging Face folder, written so that its tools read them; and the
//! checkpoints from which a run goes on exactly where it was stopped.

mod error;
pub mod manifest;
pub mod module_weights;
pub mod modules;
mod naming;
pub mod origin;
pub mod read;
pub mod run_checkpoints;
mod safetensors_file;
pub mod schedule;
mod scores;
pub mod tensors;
#[cfg(test)]
mod tests;
mod torch;
pub mod weight_files;
pub mod write;

pub use error::CheckpointError;
pub use origin::Origin;
pub use read::{WeightsError, read_parameters};
pub use run_checkpoints::{Checkpoint, RunCheckpoints, Snapshot, State};
pub use schedule::{SaveEvery, Schedule};
pub use scores::{HeldOutScore, Score};
