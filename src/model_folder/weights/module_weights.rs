//! The weights of one of sentence-transformers' own modules, in the module's folder.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::read::WeightsError;
use super::safetensors_file::{FileError, SafetensorsFile};
use super::tensors;
use super::torch::TorchFile;
use crate::output::{OutputError, write_whole_with};

/// An opened `model.safetensors`, else `pytorch_model.bin`, as sentence-transformers looks for them.
pub struct ModuleWeights {
    path: PathBuf,
    file: Form,
}

enum Form {
    Safetensors(SafetensorsFile),
    Pickle(TorchFile),
}

impl ModuleWeights {
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let path = folder.join("model.safetensors");
        if path.is_file() {
            let file = SafetensorsFile::open(&path).map_err(|error| wrong(&path, "", error))?;
            return Ok(ModuleWeights { path, file: Form::Safetensors(file) });
        }
        let path = folder.join("pytorch_model.bin");
        if path.is_file() {
            let corrupt = |reason| WeightsError::Corrupt { path: path.clone(), reason };
            let file = TorchFile::open(&path).map_err(corrupt)?;
            return Ok(ModuleWeights { path, file: Form::Pickle(file) });
        }
        Err(WeightsError::Absent { folder: folder.to_owned() })
    }

    /// The tensor of that name and shape, on the CPU; its values are finite numbers.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let found = match &self.file {
            Form::Safetensors(file) => file.get(name).map_err(|error| wrong(&self.path, name, error)),
            Form::Pickle(file) => {
                file.get(name).map_err(|reason| WeightsError::Corrupt { path: self.path.clone(), reason })
            }
        };
        let (path, name) = (self.path.clone(), name.to_owned());
        let Some(tensor) = found? else {
            return Err(WeightsError::Missing { path, name, others: String::new() });
        };
        if tensor.dims() != shape {
            let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
            return Err(WeightsError::Shape { path, name, found, expected });
        }
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(WeightsError::NotFinite { path, name });
        }
        Ok(tensor)
    }
}

fn wrong(path: &Path, name: &str, error: FileError) -> WeightsError {
    let (path, name) = (path.to_owned(), name.to_owned());
    match error {
        FileError::Read(source) => WeightsError::Read { path, source },
        FileError::Corrupt(reason) => WeightsError::Corrupt { path, reason },
        FileError::Dtype(dtype) => WeightsError::Dtype { path, name, dtype: format!("{dtype:?}") },
        FileError::Candle(error) => error.into(),
    }
}

/// Writes a module's weights as f32.
pub fn write_weights(folder: &Path, weights: &[(String, Tensor)]) -> Result<(), OutputError> {
    write_whole_with(&folder.join("model.safetensors"), |file| tensors::write(&[], weights, file))
}
