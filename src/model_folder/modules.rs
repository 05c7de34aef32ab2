//! The modules after pooling: their weights read, their folders written.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::weights::file::WeightsFile;
use super::weights::{WEIGHTS, tensors};
use super::{ModuleConfig, ModuleKind, SentenceFolder, WeightsError};

use crate::modules::{Dense, Module, Modules, Residual};
use crate::output::{OutputError, write_whole, write_whole_with};

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ModulesError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("{folder}: this module takes {takes} features, but the one before it gives {given}")]
    Width { folder: String, takes: usize, given: usize },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// Reads the modules of a folder that take embeddings of `hidden` numbers, with the folder's truncation last.
/// Where there is one, a Normalize at the end comes before it, among the modules.
pub fn read(sentence: &SentenceFolder, hidden: usize) -> Result<Modules, ModulesError> {
    let mut modules = Modules::default();
    let mut width = hidden;
    for config in &sentence.modules {
        modules.push(step(config, width)?);
        width = modules.width(hidden);
    }
    if let Some(most) = sentence.settings.truncate_dim {
        if sentence.normalize {
            modules.push(Module::Normalize);
        }
        modules.push(Module::Truncate(most));
    }
    Ok(modules)
}

fn step(config: &ModuleConfig, given: usize) -> Result<Module, ModulesError> {
    let fits = |takes: usize| match takes == given {
        true => Ok(()),
        false => Err(ModulesError::Width { folder: config.folder.display().to_string(), takes, given }),
    };
    match config.kind {
        ModuleKind::Normalize => Ok(Module::Normalize),
        ModuleKind::LayerNorm { dimension } => {
            fits(dimension)?;
            let weights = WeightsFile::of_module(&config.folder)?;
            let vector =
                |name: &str| Ok::<_, ModulesError>(weights.get(name, &[dimension])?.to_dtype(DType::F64)?);
            Ok(Module::LayerNorm { weight: vector("norm.weight")?, bias: vector("norm.bias")? })
        }
        ModuleKind::Dense { in_features, out_features, bias, activation, residual } => {
            fits(in_features)?;
            let weights = WeightsFile::of_module(&config.folder)?;
            let get = |name: &str, shape: &[usize]| {
                Ok::<_, ModulesError>(weights.get(name, shape)?.to_dtype(DType::F64)?)
            };
            let matrix = [out_features, in_features];
            Ok(Module::Dense(Dense {
                weight: get("linear.weight", &matrix)?,
                bias: if bias { Some(get("linear.bias", &[out_features])?) } else { None },
                activation,
                residual: match residual {
                    false => Residual::None,
                    true if in_features == out_features => Residual::Input,
                    true => Residual::Projected(get("residual.weight", &matrix)?),
                },
            }))
        }
    }
}

/// Writes the modules into folders of their own, and gives their entries of modules.json, which come after the
/// first two. `normalize` is whether a Normalize is the last.
pub fn write(modules: &Modules, normalize: bool, folder: &Path) -> Result<Vec<Value>, OutputError> {
    let last = normalize.then_some(Module::Normalize);
    let steps = modules.steps().iter().chain(&last).filter(|step| !matches!(step, Module::Truncate(_)));
    let mut entries = Vec::new();
    for (index, step) in (2..).zip(steps) {
        let (class, config, weights) = described(step);
        let path = format!("{index}_{class}");
        entries.push(json!({
            "idx": index, "name": index.to_string(), "path": path,
            "type": format!("sentence_transformers.models.{class}"),
        }));
        // Normalize has no settings, and clients do not look for its folder.
        if config.is_empty() {
            continue;
        }
        let place = folder.join(path);
        std::fs::create_dir_all(&place)
            .map_err(|source| OutputError::Write { path: place.clone(), source })?;
        let config = format!("{:#}\n", Value::Object(config));
        write_whole(&place.join("config.json"), config.as_bytes())?;
        write_whole_with(&place.join(WEIGHTS), |file| tensors::write(&[], &weights, file))?;
    }
    Ok(entries)
}

/// A module's class, configuration and weights.
fn described(step: &Module) -> (&'static str, Map<String, Value>, Vec<(String, Tensor)>) {
    let named = |name: &str, tensor: &Tensor| (name.to_owned(), tensor.clone());
    let (class, config, tensors) = match step {
        Module::Dense(dense) => {
            let dims = dense.weight.dims();
            let mut config = json!({
                "in_features": dims[1], "out_features": dims[0], "bias": dense.bias.is_some(),
                "activation_function": dense.activation.path(),
            });
            let mut tensors = vec![named("linear.weight", &dense.weight)];
            tensors.extend(dense.bias.iter().map(|bias| named("linear.bias", bias)));
            // Older versions do not know the key, so it is only there where it is needed.
            match &dense.residual {
                Residual::None => {}
                Residual::Input => config["use_residual"] = json!(true),
                Residual::Projected(weight) => {
                    config["use_residual"] = json!(true);
                    tensors.push(named("residual.weight", weight));
                }
            }
            ("Dense", config, tensors)
        }
        Module::LayerNorm { weight, bias } => {
            let tensors = vec![named("norm.weight", weight), named("norm.bias", bias)];
            ("LayerNorm", json!({ "dimension": weight.dims()[0] }), tensors)
        }
        Module::Normalize | Module::Truncate(_) => ("Normalize", json!({}), Vec::new()),
    };
    (class, config.as_object().cloned().unwrap_or_default(), tensors)
}
