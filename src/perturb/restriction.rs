//! Which parameters a perturbation may move.

use candle_core::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::model::Kind;
use crate::model::layout::TensorSpec;
use crate::weights::Parameters;

/// The parameters that a perturbation moves; norms are over these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restriction {
    /// Every trained parameter
    All,
    /// LayerNorm weights and biases only (SAM-ON, Müller et al. 2023)
    LayerNorm,
    /// All but the word, position and token-type embeddings
    NoEmbeddings,
    /// Weight matrices only: no biases, no LayerNorm
    Matrices,
}

impl Restriction {
    fn allows(self, spec: &TensorSpec) -> bool {
        match self {
            Restriction::All => true,
            Restriction::LayerNorm => spec.part.is_norm(),
            Restriction::NoEmbeddings => !spec.part.is_embedding(),
            Restriction::Matrices => !spec.part.is_norm() && spec.kind == Kind::Weight,
        }
    }

    /// `direction` with the entries of all other parameters set to 0, in place.
    pub fn apply(self, direction: Parameters) -> Result<Parameters> {
        let layout = direction.layout().clone();
        for (group, spec) in layout.tensors().filter(|(_, spec)| !self.allows(spec)) {
            direction.view(group, spec)?.zero_set()?;
        }
        Ok(direction)
    }
}
