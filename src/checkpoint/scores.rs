//! What a run has measured so far: it is part of what a checkpoint remembers.

use std::collections::BTreeMap;

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

/// What was measured on labelled text in the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskScore {
    /// Steps made when it was taken.
    pub step: u64,
    /// The scored set.
    pub set: String,
    /// The mean loss of an example, without dropout and without loss terms.
    pub dev_loss: f64,
    /// Metrics by their names, each in its own range; `None` where one is undefined.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// How well masked words of held-out lines were predicted in the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerplexityScore {
    /// Steps made when it was taken.
    pub step: u64,
    /// The mean cross entropy of a masked token, in nats, without dropout and without loss terms.
    pub masked_loss: f64,
    /// e to the power of it.
    pub perplexity: f64,
    /// Masked tokens, the same at all times.
    pub masked_tokens: u64,
}
