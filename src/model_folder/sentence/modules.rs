//! The modules that come after pooling: Dense, LayerNorm and Normalize, as their folders describe them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::SentenceFolderError;
use super::json::{flag, read_object, size};
use crate::modules::DenseActivation;
use crate::quote::{quoted, shortened};

/// A module after pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleConfig {
    /// Its class, with the sizes that its configuration gives.
    pub kind: ModuleKind,
    /// Its own folder.
    pub folder: PathBuf,
}

/// What a module computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// activation(W·x + b), and x (or P·x, where the sizes differ) added to that with `residual`.
    Dense {
        /// Width of x.
        in_features: usize,
        /// Width of the result.
        out_features: usize,
        /// Whether there is b.
        bias: bool,
        /// Applied to each value.
        activation: DenseActivation,
        /// Whether x is added.
        residual: bool,
    },
    /// Normalises a vector's values to mean 0 and variance 1, then scales and shifts them.
    LayerNorm {
        /// Width of its input and output.
        dimension: usize,
    },
    /// Scaled to length 1.
    Normalize,
}

/// The config.json of the module `class` in `dir`/`path`, or None where no such module is known.
pub(super) fn read(dir: &Path, path: &str, class: &str) -> Result<Option<ModuleConfig>, SentenceFolderError> {
    let folder = dir.join(path);
    let file = folder.join("config.json");
    let config = read_object(&file)?;
    let there = || {
        let missing = || SentenceFolderError::new(&file, "is missing, but modules.json names it");
        config.as_ref().ok_or_else(missing)
    };
    let kind = match class {
        "Dense" => dense(&file, there()?)?,
        "LayerNorm" => ModuleKind::LayerNorm { dimension: needed(&file, "dimension", there()?)? },
        "Normalize" => {
            check_names(&file, config.as_ref().unwrap_or(&Map::new()))?;
            ModuleKind::Normalize
        }
        _ => return Ok(None),
    };
    Ok(Some(ModuleConfig { kind, folder }))
}

fn dense(file: &Path, config: &Map<String, Value>) -> Result<ModuleKind, SentenceFolderError> {
    check_names(file, config)?;
    let bias = match config.get("bias") {
        None => true,
        Some(_) => flag(file, "bias", config)?,
    };
    Ok(ModuleKind::Dense {
        in_features: needed(file, "in_features", config)?,
        out_features: needed(file, "out_features", config)?,
        bias,
        activation: activation(file, config)?,
        residual: flag(file, "use_residual", config)?,
    })
}

fn needed(file: &Path, key: &str, config: &Map<String, Value>) -> Result<usize, SentenceFolderError> {
    size(file, key, config)?
        .ok_or_else(|| SentenceFolderError::new(file, format!("has no {key:?}, expected a whole number")))
}

/// A class of torch, by its full name: sentence-transformers loads others only with `trust_remote_code`.
fn activation(file: &Path, config: &Map<String, Value>) -> Result<DenseActivation, SentenceFolderError> {
    let value = match config.get("activation_function") {
        None => return Ok(DenseActivation::Tanh),
        Some(value) => value,
    };
    let class =
        value.as_str().filter(|name| name.starts_with("torch.")).and_then(|name| name.rsplit('.').next());
    DenseActivation::ALL.into_iter().find(|known| Some(known.class()) == class).ok_or_else(|| {
        let known: Vec<String> =
            DenseActivation::ALL.iter().map(|known| format!("torch.nn.{}", known.class())).collect();
        let (known, found) = (known.join(", "), shortened(value));
        SentenceFolderError::new(file, format!("has the activation_function {found}; known are {known}"))
    })
}

/// A module works on the sentence's embedding, and nothing else.
fn check_names(file: &Path, config: &Map<String, Value>) -> Result<(), SentenceFolderError> {
    for key in ["module_input_name", "module_output_name"] {
        match config.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) if name == "sentence_embedding" => {}
            Some(other) => {
                let problem =
                    format!("{} is {}, expected \"sentence_embedding\"", quoted(key), shortened(other));
                return Err(SentenceFolderError::new(file, problem));
            }
        }
    }
    Ok(())
}
