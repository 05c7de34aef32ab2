//! Reading a pretrained model's weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use thiserror::Error;

use super::naming::{Misfit, Naming};
use super::safetensors_file::{FileError, SafetensorsFile};
use super::torch::TorchFile;
use super::weight_files::{self, Lack};
use crate::backend::{Backend, Cpu};
use crate::encoder::layout::TensorSpec;
use crate::encoder::{Layout, Parameters};
use crate::quote::{beginning, one_line, quoted};

#[derive(Debug, Error)]
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
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Reads the encoder's tensors from `model.safetensors`, else `pytorch_model.bin`, whole or in shards.
///
/// All names may carry one prefix, whichever it is, and LayerNorm's the old `gamma` and `beta`. Tensors that the
/// encoder has no use for (the pooler, heads) are passed over.
pub fn read_parameters(
    folder: &Path,
    layout: &Arc<Layout>,
    dtype: DType,
    device: &Device,
) -> Result<Parameters, WeightsError> {
    let weights = Weights::open(folder, layout)?;
    Parameters::from_named(layout.clone(), dtype, device, |spec| weights.get(spec))
}

/// The tensors that are not trained (the pooler's), where the folder has them: they are passed on, since a model
/// without them loads with a warning in transformers.
pub fn read_pooler(folder: &Path, layout: &Layout) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let weights = Weights::open(folder, layout)?;
    let mut found = Vec::new();
    for &name in layout.architecture.description().untrained {
        let Some((source, stored)) = weights.find(name) else { continue };
        if let Some(tensor) = source.tensor(&stored)? {
            found.push((name.to_owned(), tensor.to_dtype(DType::F32)?));
        }
    }
    Ok(found)
}

/// The files that hold the folder's weights.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let found = weight_files::gather(|name| {
        Ok::<_, std::convert::Infallible>(Some(folder.join(name)).filter(|path| path.is_file()))
    });
    match found {
        Ok(Some(files)) => Ok(files),
        Ok(None) => Err(absent(folder)),
        Err(Lack::Index { index: path, problem: reason }) => Err(WeightsError::Corrupt { path, reason }),
        Err(Lack::Shard { index, shard }) => Err(WeightsError::Shard { index, shard: quoted(&shard) }),
        Err(Lack::Obtain(never)) => match never {},
    }
}

fn absent(folder: &Path) -> WeightsError {
    let folder = folder.to_owned();
    if folder.join("onnx").is_dir() {
        return WeightsError::Exported { folder };
    }
    match weight_files::instead(&folder) {
        Some(form) => WeightsError::Foreign { folder, form },
        None => WeightsError::Absent { folder },
    }
}

/// A model's opened weights files.
struct Weights {
    sources: Vec<Source>,
    /// The source of each tensor, by the tensor's name in it.
    places: HashMap<String, usize>,
    naming: Naming,
}

impl Weights {
    fn open(folder: &Path, layout: &Layout) -> Result<Self, WeightsError> {
        let files = weight_files(folder)?;
        let sources = files.iter().map(|file| Source::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut places = HashMap::new();
        for (index, source) in sources.iter().enumerate() {
            for name in source.names() {
                if let Some(first) = places.insert(name.clone(), index) {
                    let (path, first) = (files[index].clone(), &files[first]);
                    let reason = format!("it holds {}, as {} does", quoted(&name), first.display());
                    return Err(WeightsError::Corrupt { path, reason });
                }
            }
        }
        let naming = Naming::of(layout, &places.keys().map(String::as_str).collect());
        let naming = naming.map_err(|misfit| WeightsError::of_names(&files[0], misfit))?;
        Ok(Weights { sources, places, naming })
    }

    /// The source of the encoder's tensor, and the tensor's name in it.
    fn find_tensor(&self, spec: &TensorSpec) -> Option<(&Source, String)> {
        self.place(self.naming.find_tensor(spec, |name| self.places.contains_key(name))?)
    }

    fn find(&self, name: &str) -> Option<(&Source, String)> {
        self.place(self.naming.find(name, |name| self.places.contains_key(name))?)
    }

    fn place(&self, stored: String) -> Option<(&Source, String)> {
        Some((&self.sources[self.places[&stored]], stored))
    }

    /// The tensor, checked against its place in the layout.
    fn get(&self, spec: &TensorSpec) -> Result<Tensor, WeightsError> {
        let missing = || WeightsError::Missing {
            path: self.sources[0].path().to_owned(),
            name: spec.name.clone(),
            others: String::new(),
        };
        let (source, name) = self.find_tensor(spec).ok_or_else(missing)?;
        let tensor = source.tensor(&name)?.ok_or_else(missing)?;
        let (path, name) = (source.path().to_owned(), beginning(&name));
        if tensor.dims() != spec.shape {
            let (found, expected) = (tensor.dims().to_vec(), spec.shape.clone());
            return Err(WeightsError::Shape { path, name, found, expected });
        }
        if !is_finite(&tensor)? {
            return Err(WeightsError::NotFinite { path, name });
        }
        Ok(tensor)
    }
}

impl WeightsError {
    fn of_names(path: &Path, misfit: Misfit) -> Self {
        let path = path.to_owned();
        match misfit {
            Misfit::Several(prefixes) => {
                let [one, other] = prefixes.map(|prefix| quoted(&prefix));
                WeightsError::Several { path, one, other }
            }
            Misfit::Missing { name, others } => {
                let told: Vec<String> = others.iter().map(|name| quoted(name)).collect();
                let others = match told.is_empty() {
                    true => String::new(),
                    false => format!(", but has {}", told.join(", ")),
                };
                WeightsError::Missing { path, name: one_line(&name), others }
            }
        }
    }
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

    fn names(&self) -> Vec<String> {
        match self {
            Source::Safetensors { file, .. } => file.names(),
            Source::Pickle { file, .. } => file.names(),
        }
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
