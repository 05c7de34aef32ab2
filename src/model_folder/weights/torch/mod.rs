//! `pytorch_model.bin`: a pickled dictionary and the raw values of its tensors, in a zip archive ([`archive`]) or, as
//! PyTorch wrote it before version 1.6, one after another ([`legacy`]).
//!
//! The pickle is read by a small machine ([`pickle`]) that knows the few operations of which a dictionary of
//! tensors is made, executes nothing, and takes memory in proportion to the file. (candle has a reader of such
//! files too; it trusts them: a tuple that is too short is a panic there, a value that is remembered and
//! repeated grows exponentially, and one that is nested deep overflows the stack.)

mod archive;
mod legacy;
mod pickle;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use archive::Archive;
use legacy::Legacy;
use state::Stored;

use crate::quote::beginning;

/// A thousand tensors take some 100 KB.
const LARGEST_PICKLE: u64 = 16 << 20;

/// An opened file: where its tensors lie.
pub struct TorchFile {
    storages: Box<dyn Storages>,
    tensors: HashMap<String, Stored>,
}

/// The raw values beside a pickle, in parts that it refers to by a key.
trait Storages {
    /// Bytes that the storage has; they are there in the file.
    fn size(&self, key: &str) -> Result<u64, String>;

    /// So many bytes of a storage from `start` on.
    fn read(&self, key: &str, start: u64, len: u64) -> Result<Vec<u8>, String>;
}

impl TorchFile {
    /// The error says what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|e| e.to_string())?;
        let mut beginning = [0; legacy::MAGIC.len()];
        let is_legacy = file.read_exact(&mut beginning).is_ok() && beginning == legacy::MAGIC;
        if is_legacy {
            let (storages, tensors) = Legacy::open(file)?;
            return Ok(TorchFile { storages: Box::new(storages), tensors });
        }
        let (storages, tensors) = Archive::open(file)?;
        Ok(TorchFile { storages: Box::new(storages), tensors })
    }

    /// The tensors' names.
    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// The tensor of that name, on the CPU.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(stored) = self.tensors.get(name) else { return Ok(None) };
        let bytes = self.values(stored).map_err(|problem| format!("{name}: {problem}"))?;
        let tensor = Tensor::from_raw_buffer(&bytes, stored.dtype, &stored.shape, &Device::Cpu);
        tensor.map(Some).map_err(|e| format!("{name}: {e}"))
    }

    /// The values of a tensor in row-major order.
    fn values(&self, stored: &Stored) -> Result<Vec<u8>, String> {
        let size = stored.dtype.size_in_bytes();
        let shape = beginning(&format!("{:?}", stored.shape));
        let claims = format!("claims the shape {shape}, which is more than the file holds");
        let place = stored.place().ok_or_else(|| claims.clone())?;
        let present = self.storages.size(&stored.key)? / size as u64;
        if place.end > present || place.elements > present {
            return Err(claims);
        }
        let (start, len) = (place.start * size as u64, (place.end - place.start) * size as u64);
        let bytes = self.storages.read(&stored.key, start, len)?;
        Ok(if stored.is_contiguous() { bytes } else { gather(&bytes, stored, size) })
    }
}

/// A view's elements in row-major order, from the storage between its first and its last.
fn gather(bytes: &[u8], stored: &Stored, size: usize) -> Vec<u8> {
    let elements: usize = stored.shape.iter().product();
    let mut gathered = Vec::with_capacity(elements * size);
    let mut index = vec![0; stored.shape.len()];
    for _ in 0..elements {
        let at: usize = index.iter().zip(&stored.strides).map(|(i, stride)| i * stride).sum();
        gathered.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < stored.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    gathered
}

/// The number type of one of PyTorch's storages, where tensors of it can be read.
fn dtype_of(class: &str) -> Option<DType> {
    Some(match class.rsplit(' ').next()? {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "ByteStorage" => DType::U8,
        _ => return None,
    })
}
