//! `--head`: a projection between the embedding and the contrastive loss, trained with the encoder.

use std::sync::Arc;

use candle_core::{DType, Device, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::encoder::Encoder;
use crate::model::{Head, Kind};
use crate::modules::{Dense, Module, Residual};
use crate::objective::head;
use crate::sentence_encoder::SentenceEncoder;
use crate::weights::Parameters;

/// What embeddings go through before they are compared in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// Nothing.
    #[default]
    None,
    /// A dense layer of the embedding's width and tanh, as SimCSE trains (Gao et al. 2021).
    Mlp,
}

impl Projection {
    /// Its layers on an encoder's embeddings, if there are any.
    pub fn head(self, encoder: &Encoder) -> Option<Head> {
        (self == Projection::Mlp).then(|| Head::of_embeddings(encoder.width()))
    }
}

/// Adds the weights of a new head to those of the encoder.
pub fn add(parameters: &Parameters, head: &Head, seed: u64) -> Result<Parameters> {
    let layout = Arc::new(parameters.layout().as_ref().clone().with_head(head));
    let initial = head::initial(head, seed)?;
    Parameters::from_named(layout, parameters.dtype(), parameters.device(), |spec| {
        match head.layers.iter().position(|layer| layer.part == spec.part) {
            Some(place) if spec.kind == Kind::Weight => Ok(initial[place][0].clone()),
            Some(place) => Ok(initial[place][1].clone()),
            None => parameters.get(&spec.name),
        }
    })
}

/// The model without the head's weights; with the head as modules after its own, where that `is_kept`.
pub fn taken_off(model: &SentenceEncoder, head: &Head, is_kept: bool) -> Result<SentenceEncoder> {
    let groups = model.encoder.config.dimensions.groups();
    let flats = model.parameters.flats()[..groups].to_vec();
    let mut plain = model.clone();
    plain.parameters = Parameters::from_flats(model.encoder.layout(), flats)?;
    if is_kept {
        let modules = Arc::make_mut(&mut plain.encoder.modules);
        for layer in &head.layers {
            let values = |kind| {
                let (_, tensor) = model.parameters.part(groups, layer.part, kind)?;
                tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.copy()
            };
            modules.push(Module::Dense(Dense {
                weight: values(Kind::Weight)?,
                bias: Some(values(Kind::Bias)?),
                activation: layer.activation,
                residual: Residual::None,
            }));
        }
    }
    Ok(plain)
}
