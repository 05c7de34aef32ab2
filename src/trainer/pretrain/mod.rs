//! Pretraining on one's own text by masked language modelling: its settings, what they come to, and what is masked.

pub(crate) mod card;
pub(in crate::trainer) mod masking;
pub(in crate::trainer) mod model;
pub mod options;
pub mod plan;

pub use options::PretrainOptions;
pub use plan::{PretrainError, PretrainPlan};
