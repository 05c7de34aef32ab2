//! A safetensors file, read a tensor at a time: a model should not be in memory twice.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::quote::reason;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("{0}")]
    Corrupt(String),
    #[error("it is stored as {0:?}; f32, f16, bf16 and f64 can be read")]
    Dtype(Dtype),
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// The format's own limit, which keeps a header that claims more from being read.
const LARGEST_HEADER: u64 = 100_000_000;

/// The header's length, which the file begins with.
const LENGTH: u64 = 8;

pub(crate) struct SafetensorsFile {
    file: File,
    metadata: Metadata,
    /// Where the tensors' values begin.
    data: u64,
}

impl SafetensorsFile {
    /// Reads the header and checks the file's length against it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = File::open(path)?;
        let present = file.metadata()?.len();
        if present < LENGTH {
            return Err(FileError::Corrupt("it is too short for a header".into()));
        }
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER.min(present - LENGTH) {
            return Err(FileError::Corrupt(format!("it claims a header of {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header)?;
        // Checks that tensors lie one after another and that their shapes fit their places.
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|e| FileError::Corrupt(format!("its header is wrong: {}", reason(e))))?;
        let (data, claimed) = (LENGTH + length, metadata.data_len() as u64);
        if present - data != claimed {
            let there = present - data;
            let problem = format!("its header claims {claimed} bytes of values, but the file has {there}");
            return Err(FileError::Corrupt(problem));
        }
        Ok(SafetensorsFile { file, metadata, data })
    }

    /// The tensors' names.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// The tensor of this name, on the CPU and as it is stored.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>, FileError> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => return Err(FileError::Dtype(other)),
        };
        let bytes = self.values(info)?;
        Ok(Some(Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu)?))
    }

    fn values(&self, info: &TensorInfo) -> io::Result<Vec<u8>> {
        let (start, end) = info.data_offsets;
        // No longer than the file, whose length was checked against the header.
        let mut bytes = vec![0; end - start];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.data + start as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
