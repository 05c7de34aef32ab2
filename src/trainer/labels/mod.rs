//! Fine-tuning on labelled text: its settings, and what they come to.

pub mod options;
pub mod plan;

pub use options::FinetuneOptions;
pub use plan::{FinetuneError, FinetunePlan};
