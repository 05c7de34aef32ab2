//! Which parameters a perturbation may move.

use candle_core::{Result, Tensor};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::encoder::Parameters;

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
    fn allows(self, name: &str) -> bool {
        let layer_norm = name.contains("LayerNorm");
        match self {
            Restriction::All => true,
            Restriction::LayerNorm => layer_norm,
            Restriction::NoEmbeddings => !name.contains("_embeddings."),
            Restriction::Matrices => !layer_norm && name.ends_with(".weight"),
        }
    }

    /// `direction` with the entries of all other parameters set to 0.
    pub fn apply(self, direction: Parameters) -> Result<Parameters> {
        if self == Restriction::All {
            return Ok(direction);
        }
        let layout = direction.layout().clone();
        let mut flats = Vec::with_capacity(layout.groups.len());
        for (g, group) in layout.groups.iter().enumerate() {
            let parts: Vec<Tensor> = group
                .tensors
                .iter()
                .map(|spec| {
                    let part = direction.flats()[g].narrow(0, spec.offset, spec.len())?;
                    if self.allows(&spec.name) { Ok(part) } else { part.zeros_like() }
                })
                .collect::<Result<_>>()?;
            flats.push(Tensor::cat(&parts, 0)?);
        }
        Parameters::from_flats(layout, flats)
    }
}
