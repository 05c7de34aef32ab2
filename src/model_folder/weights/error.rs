//! What can be wrong with a model's weights.

use std::path::PathBuf;

use thiserror::Error;

use super::naming::Misfit;
use crate::quote::{beginning, one_line, quoted};

/// One sentence that names the file, what is wrong with it, and what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum WeightsError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{folder} has no weights; model.safetensors or pytorch_model.bin is needed, whole or in shards")]
    Absent { folder: PathBuf },
    #[error(
        "{folder} has its weights only as {form}, which is not read here; load them with transformers 4 \
         (from_tf=True or from_flax=True) and write model.safetensors with save_pretrained"
    )]
    Foreign { folder: PathBuf, form: &'static str },
    #[error("{index} names {shard}, which is not there; download it too")]
    Shard { index: PathBuf, shard: String },
    #[error(
        "{folder} has no weights, only graphs in {folder}/onnx; give --backend onnx to encode or score with these"
    )]
    Exported { folder: PathBuf },
    #[error("{path} is not a readable weights file: {reason}; download it again")]
    Corrupt { path: PathBuf, reason: String },
    #[error("{path} lacks the tensor {name}{others}; config.json and the weights do not belong together")]
    Missing { path: PathBuf, name: String, others: String },
    #[error(
        "{path} holds two encoders, with names that begin with {one} and with {other}; save the one that is meant \
         in a file of its own"
    )]
    Several { path: PathBuf, one: String, other: String },
    #[error("{path}: {name} has shape {}, but config.json makes it {expected:?}", beginning(&format!("{found:?}")))]
    Shape { path: PathBuf, name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{path}: {name} is stored as {dtype}; f32, f16, bf16 and f64 can be read")]
    Dtype { path: PathBuf, name: String, dtype: String },
    #[error("{path}: {name} holds a value that is not finite; the model is broken")]
    NotFinite { path: PathBuf, name: String },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

impl WeightsError {
    pub(super) fn of_names(path: PathBuf, misfit: Misfit) -> Self {
        match misfit {
            Misfit::Several(prefixes) => {
                let [one, other] = prefixes.map(|prefix| quoted(&prefix));
                WeightsError::Several { path, one, other }
            }
            Misfit::Missing { name, others } => {
                let others: Vec<String> = others.iter().map(|name| quoted(name)).collect();
                let others = match others.is_empty() {
                    true => String::new(),
                    false => format!(", but has {}", others.join(", ")),
                };
                WeightsError::Missing { path, name: one_line(&name), others }
            }
        }
    }
}
