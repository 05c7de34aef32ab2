//! What a run has measured so far: it is part of what a checkpoint remembers.

use serde::{Deserialize, Serialize};
use sts_eval::unlabeled::Unlabeled;

/// A score in the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Steps made when it was taken.
    pub step: u64,
    /// The scored set.
    pub set: String,
    /// Spearman's ρ × 100; `None` where it is undefined (all cosines equal).
    pub spearman: Option<f64>,
}

/// What was measured on held-out lines in the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutScore {
    /// Steps made when it was taken.
    pub step: u64,
    /// What was measured.
    #[serde(flatten)]
    pub unlabeled: Unlabeled,
}
