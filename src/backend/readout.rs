//! What of the hidden states a pass ends in.

use crate::batch::PackedBatch;
use crate::model::Pooling;

/// What is read off the hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readout {
    /// An embedding for each sequence.
    Pooled(Pooling),
    /// The last layer's states of the batch's chosen rows ([`PackedBatch::chosen`]), as they are.
    Chosen,
}

impl Readout {
    /// What a batch asks for: rows that it chose, else embeddings.
    pub fn of(pooling: Pooling, batch: &PackedBatch) -> Self {
        if batch.chosen.is_some() { Readout::Chosen } else { Readout::Pooled(pooling) }
    }

    /// Whether the first layer's states are read off beside the last one's.
    pub fn reads_first_layer(self) -> bool {
        self == Readout::Pooled(Pooling::FirstLastAvg)
    }
}
