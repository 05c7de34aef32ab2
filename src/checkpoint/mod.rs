//! What a run is resumed from, exactly where it was stopped: its settings and its checkpoints.

pub mod configuration;
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
pub use scores::{HeldOutScore, PerplexityScore, Score, TaskScore};
