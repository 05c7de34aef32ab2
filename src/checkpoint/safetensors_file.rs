//! A safetensors file of somebody else's, read a tensor at a time: a model should not be in memory twice.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::read::WeightsError;
use crate::quote::one_line;

/// The format's own limit, which keeps a header that claims more from being read.
const LARGEST_HEADER: u64 = 100_000_000;

/// The header's length, which the file begins with.
const LENGTH: u64 = 8;

pub(super) struct SafetensorsFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the tensors' values begin.
    data: u64,
}

impl SafetensorsFile {
    /// Reads the header and holds the file's length against it.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let read = |source| WeightsError::Read { path: path.to_owned(), source };
        let corrupt = |reason: String| WeightsError::Corrupt { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(read)?;
        let present = file.metadata().map_err(read)?.len();
        if present < LENGTH {
            return Err(corrupt("it is too short for a header".into()));
        }
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length).map_err(read)?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER.min(present - LENGTH) {
            return Err(corrupt(format!("it claims a header of {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(read)?;
        // Checks that tensors lie one after another and that their shapes fit their places.
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|e| corrupt(format!("its header is wrong: {}", one_line(&e.to_string()))))?;
        let (data, claimed) = (LENGTH + length, metadata.data_len() as u64);
        if present - data != claimed {
            return Err(corrupt(format!(
                "its header speaks of {claimed} bytes of values, and there are {}",
                present - data
            )));
        }
        Ok(SafetensorsFile { path: path.to_owned(), file, metadata, data })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor of this name, on the CPU and as it is stored.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>, WeightsError> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => {
                return Err(WeightsError::Dtype {
                    path: self.path.clone(),
                    name: name.to_owned(),
                    dtype: format!("{other:?}"),
                });
            }
        };
        let bytes =
            self.values(info).map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        Ok(Some(Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu)?))
    }

    fn values(&self, info: &TensorInfo) -> io::Result<Vec<u8>> {
        let (start, end) = info.data_offsets;
        // No longer than the file: its length was held against the header.
        let mut bytes = vec![0; end - start];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data + start as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
