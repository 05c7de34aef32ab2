//! Reading a pretrained model's weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use thiserror::Error;

use super::safetensors_file::{FileError, SafetensorsFile};
use super::torch::TorchFile;
use crate::backend::{Backend, Cpu};
use crate::encoder::layout::TensorSpec;
use crate::encoder::{Layout, Parameters};
use crate::quote::{beginning, quoted, reason};

#[derive(Debug, Error)]
pub enum WeightsError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{folder} has no weights; model.safetensors or pytorch_model.bin is needed")]
    Absent { folder: PathBuf },
    #[error(
        "{folder} has no weights, only graphs in {folder}/onnx; give --backend onnx to encode or score with these"
    )]
    Exported { folder: PathBuf },
    #[error("{path} is not a readable weights file: {reason}; download it again")]
    Corrupt { path: PathBuf, reason: String },
    #[error("{path} lacks the tensor {name}; config.json and the weights do not belong together")]
    Missing { path: PathBuf, name: String },
    #[error("{path}: {name} has shape {}, but config.json makes it {expected:?}", beginning(&format!("{found:?}")))]
    Shape { path: PathBuf, name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{path}: {name} is stored as {dtype}; f32, f16, bf16 and f64 can be read")]
    Dtype { path: PathBuf, name: String, dtype: String },
    #[error("{path}: {name} holds a value that is not finite; the model is broken")]
    NotFinite { path: PathBuf, name: String },
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Reads the encoder's tensors from `model.safetensors` (or its shards), else `pytorch_model.bin`.
///
/// Names may carry the prefix of a model with a head (`bert.`, `roberta.`) and the old `gamma` and
/// `beta` of LayerNorm. Tensors that the encoder has no use for (the pooler, heads) are passed over.
pub fn read_parameters(
    folder: &Path,
    layout: &Arc<Layout>,
    dtype: DType,
    device: &Device,
) -> Result<Parameters, WeightsError> {
    let files = weight_files(folder)?;
    let mut sources = files.iter().map(|f| Source::open(f)).collect::<Result<Vec<_>, _>>()?;
    Parameters::from_named(layout.clone(), dtype, device, |spec| {
        for source in &mut sources {
            if let Some(tensor) = source.find(spec)? {
                return Ok(tensor);
            }
        }
        Err(WeightsError::Missing { path: files[0].clone(), name: spec.name.clone() })
    })
}

/// The pooler's tensors, where the folder has them: they are not trained, but passed on, since a
/// model without them loads with a warning in transformers.
pub fn read_pooler(folder: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let mut found = Vec::new();
    for file in weight_files(folder)? {
        let source = Source::open(&file)?;
        for name in ["pooler.dense.weight", "pooler.dense.bias"] {
            for prefix in PREFIXES {
                if let Some(tensor) = source.tensor(&format!("{prefix}{name}"))? {
                    found.push((name.to_owned(), tensor.to_dtype(DType::F32)?));
                }
            }
        }
    }
    Ok(found)
}

const PREFIXES: [&str; 3] = ["", "bert.", "roberta."];

/// A shard index lists a handful of files; anything larger is no such list.
const LARGEST_INDEX: u64 = 64 << 20;

/// Of a file, in bytes, on the file systems that there are.
const LONGEST_NAME: usize = 255;

pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        return shards(folder, &index);
    }
    let pickled = folder.join("pytorch_model.bin");
    if pickled.is_file() {
        return Ok(vec![pickled]);
    }
    if folder.join("onnx").is_dir() {
        return Err(WeightsError::Exported { folder: folder.to_owned() });
    }
    Err(WeightsError::Absent { folder: folder.to_owned() })
}

fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let read = |source| WeightsError::Read { path: index.to_owned(), source };
    let corrupt = |reason: String| WeightsError::Corrupt { path: index.to_owned(), reason };
    if std::fs::metadata(index).map_err(read)?.len() > LARGEST_INDEX {
        return Err(corrupt("it is too large for an index".into()));
    }
    let text = std::fs::read_to_string(index).map_err(read)?;
    let parsed: Index = serde_json::from_str(&text).map_err(|e| corrupt(reason(e)))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    if let Some(name) = names.iter().find(|name| !is_file_name(name)) {
        return Err(corrupt(format!(
            "it names {}, which cannot be a file of weights in this folder",
            quoted(name)
        )));
    }
    if names.is_empty() {
        return Err(corrupt("it names no file".into()));
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Whether it can be a file of a folder, in that folder.
fn is_file_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && !name.contains(['/', '\\'])
        && !name.starts_with('.')
        && !name.contains(char::is_control)
}

/// An opened weights file.
enum Source {
    Safetensors { path: PathBuf, file: SafetensorsFile },
    Pickle { path: PathBuf, file: TorchFile },
}

impl Source {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.extension().is_some_and(|e| e == "bin") {
            let corrupt = |reason: String| WeightsError::Corrupt { path: path.to_owned(), reason };
            let file = TorchFile::open(path).map_err(corrupt)?;
            return Ok(Source::Pickle { path: path.to_owned(), file });
        }
        let file = SafetensorsFile::open(path).map_err(|error| of_file(path, "", error))?;
        Ok(Source::Safetensors { path: path.to_owned(), file })
    }

    fn path(&self) -> &Path {
        match self {
            Source::Safetensors { path, .. } | Source::Pickle { path, .. } => path,
        }
    }

    /// The tensor under any of the names it goes by, checked against its place in the layout.
    fn find(&mut self, spec: &TensorSpec) -> Result<Option<Tensor>, WeightsError> {
        for name in aliases(&spec.name) {
            let Some(tensor) = self.tensor(&name)? else { continue };
            if tensor.dims() != spec.shape {
                return Err(WeightsError::Shape {
                    path: self.path().to_owned(),
                    name,
                    found: tensor.dims().to_vec(),
                    expected: spec.shape.clone(),
                });
            }
            if !is_finite(&tensor)? {
                return Err(WeightsError::NotFinite { path: self.path().to_owned(), name });
            }
            return Ok(Some(tensor));
        }
        Ok(None)
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>, WeightsError> {
        match self {
            Source::Safetensors { path, file } => file.get(name).map_err(|error| of_file(path, name, error)),
            Source::Pickle { path, file } => {
                file.get(name).map_err(|reason| WeightsError::Corrupt { path: path.clone(), reason })
            }
        }
    }
}

fn of_file(path: &Path, name: &str, error: FileError) -> WeightsError {
    let (path, name) = (path.to_owned(), name.to_owned());
    match error {
        FileError::Read(source) => WeightsError::Read { path, source },
        FileError::Corrupt(reason) => WeightsError::Corrupt { path, reason },
        FileError::Dtype(dtype) => WeightsError::Dtype { path, name, dtype: format!("{dtype:?}") },
        FileError::Candle(error) => error.into(),
    }
}

/// In f32, which is what the weights become.
fn is_finite(tensor: &Tensor) -> Result<bool, candle_core::Error> {
    let flat = tensor.to_dtype(DType::F32)?.flatten_all()?;
    // The squares of f32 do not overflow f64.
    Ok(Cpu.sum_of_squares(&flat)?.is_finite())
}

/// A tensor's names in checkpoints: with and without a prefix, and LayerNorm's old `gamma`/`beta`.
fn aliases(name: &str) -> Vec<String> {
    let mut names: Vec<String> = PREFIXES.iter().map(|prefix| format!("{prefix}{name}")).collect();
    if name.contains("LayerNorm") {
        let old =
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        names.extend(PREFIXES.iter().map(|prefix| format!("{prefix}{old}")));
    }
    names
}
