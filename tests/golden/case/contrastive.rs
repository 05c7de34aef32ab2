//! The recorded batch of two views, for a step of the contrastive objective.

use mirror::encoder::{Encoder, PackedBatch, Pass};
use mirror::objective::{Contrastive, Step};

use super::recorded::Recorded;
use super::{Folder, Precision};

/// What a step of a folder's is made of.
pub struct Views<'a> {
    encoder: Encoder,
    batch: PackedBatch,
    draws: Recorded<'a>,
    objective: Contrastive,
}

impl<'a> Views<'a> {
    pub fn new(folder: &'a Folder, pooling: &str) -> Self {
        let encoder = folder.encoder(pooling);
        let batch = folder.batch(&encoder, &[0, 1]);
        Views {
            encoder,
            batch,
            draws: Recorded { folder },
            objective: Contrastive::new(folder.number("tau")),
        }
    }

    /// The same, computed in bf16.
    pub fn in_bf16(self) -> Self {
        Views { encoder: self.encoder.training_in(mirror::encoder::Precision::Bf16), ..self }
    }

    pub fn step(&self) -> Step<'_> {
        let Views { encoder, batch, draws, objective } = self;
        Step { encoder, batch, pass: Pass::inference(), draws, objective }
    }

    pub fn weights(&self, precision: Precision) -> mirror::encoder::Parameters {
        self.draws.folder.parameters(precision)
    }
}
