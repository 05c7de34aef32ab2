//! A file of weights, whichever kind it is.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::WeightsError;
use super::files::{PICKLE, WEIGHTS};
use super::safetensors_file::{FileError, SafetensorsFile};
use super::torch::TorchFile;
use crate::backend::{Arithmetic, Cpu};
use crate::quote::beginning;

/// An opened file.
pub(crate) struct WeightsFile {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Safetensors(SafetensorsFile),
    Pickle(TorchFile),
}

impl WeightsFile {
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let kind = if path.extension().is_some_and(|extension| extension == "bin") {
            Kind::Pickle(TorchFile::open(path).map_err(|reason| corrupt(path, reason))?)
        } else {
            Kind::Safetensors(SafetensorsFile::open(path).map_err(|error| of_safetensors(path, "", error))?)
        };
        Ok(WeightsFile { path: path.to_owned(), kind })
    }

    /// The weights of one of sentence-transformers' own modules, which it looks for in these two files.
    pub fn of_module(folder: &Path) -> Result<Self, WeightsError> {
        let files = [WEIGHTS, PICKLE].map(|name| folder.join(name));
        match files.iter().find(|path| path.is_file()) {
            Some(path) => Self::open(path),
            None => Err(WeightsError::Absent { folder: folder.to_owned() }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names.
    pub fn names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Safetensors(file) => file.names(),
            Kind::Pickle(file) => file.names(),
        }
    }

    /// The tensor of that name, on the CPU and as it is stored.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, WeightsError> {
        match &self.kind {
            Kind::Safetensors(file) => {
                file.get(name).map_err(|error| of_safetensors(&self.path, name, error))
            }
            Kind::Pickle(file) => file.get(name).map_err(|reason| corrupt(&self.path, reason)),
        }
    }

    /// The tensor of that name and shape; its values are finite numbers.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let tensor = self.tensor(name)?;
        let (path, name) = (self.path.clone(), beginning(name));
        let Some(tensor) = tensor else {
            return Err(WeightsError::Missing { path, name, others: String::new() });
        };
        if tensor.dims() != shape {
            let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
            return Err(WeightsError::Shape { path, name, found, expected });
        }
        if !is_finite(&tensor)? {
            return Err(WeightsError::NotFinite { path, name });
        }
        Ok(tensor)
    }
}

fn corrupt(path: &Path, reason: String) -> WeightsError {
    WeightsError::Corrupt { path: path.to_owned(), reason }
}

fn of_safetensors(path: &Path, name: &str, error: FileError) -> WeightsError {
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
    Ok(Cpu.sum_of_squares(&[flat])?.is_finite())
}
