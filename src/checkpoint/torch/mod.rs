//! `pytorch_model.bin`: a zip archive of a pickled dictionary and of the raw values of its tensors.
//!
//! The pickle is read by a small machine ([`pickle`]) that knows the few operations of which a dictionary of
//! tensors is made, executes nothing, and takes memory in proportion to the file. (candle has a reader of such
//! files too; it trusts them: a tuple that is too short is a panic there, a value that is remembered and
//! repeated grows exponentially, and one that is nested deep overflows the stack.)

mod pickle;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;

use state::Stored;

/// A thousand tensors take some 100 KB.
const LARGEST_PICKLE: u64 = 16 << 20;

/// An opened file: where its tensors lie.
pub struct TorchFile {
    archive: Mutex<ZipArchive<BufReader<File>>>,
    /// The archive's own folder.
    prefix: String,
    tensors: HashMap<String, Stored>,
}

impl TorchFile {
    /// The error says what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|e| format!("it is no archive as torch.save writes since 1.6 ({e})"))?;
        let pickle = archive
            .file_names()
            .filter_map(|name| name.ok().map(|name| name.into_owned()))
            .find(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
            .ok_or("there is no data.pkl in it")?;
        let mut bytes = Vec::new();
        let entry = archive.by_name(&pickle).map_err(|e| format!("{pickle}: {e}"))?;
        entry.take(LARGEST_PICKLE + 1).read_to_end(&mut bytes).map_err(|e| format!("{pickle}: {e}"))?;
        if bytes.len() as u64 > LARGEST_PICKLE {
            return Err(format!("{pickle} is larger than any dictionary of tensors"));
        }
        let top = pickle::read(&bytes).map_err(|problem| format!("{pickle}: {problem}"))?;
        let tensors = state::tensors(top).map_err(|problem| format!("{pickle}: {problem}"))?;
        let prefix = pickle[..pickle.len() - "data.pkl".len()].to_owned();
        Ok(TorchFile { archive: Mutex::new(archive), prefix, tensors })
    }

    /// The tensor of that name, on the CPU.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(stored) = self.tensors.get(name) else { return Ok(None) };
        let bytes = self.storage(stored).map_err(|problem| format!("{name}: {problem}"))?;
        let tensor = Tensor::from_raw_buffer(&bytes, stored.dtype, &stored.shape, &Device::Cpu);
        tensor.map(Some).map_err(|e| format!("{name}: {e}"))
    }

    /// The values of a tensor in row-major order.
    fn storage(&self, stored: &Stored) -> Result<Vec<u8>, String> {
        let size = stored.dtype.size_in_bytes();
        let claims = format!("claims the shape {:?}, which is more than the file holds", stored.shape);
        let place = stored.place().ok_or_else(|| claims.clone())?;
        let entry_name = format!("{}data/{}", self.prefix, stored.key);
        let mut archive = self.archive.lock().unwrap_or_else(|e| e.into_inner());
        let mut entry = archive.by_name(&entry_name).map_err(|e| format!("{entry_name}: {e}"))?;
        // Entries are not compressed, so that an entry's size is that of a part of the file.
        if place.end > entry.size() / size as u64 || place.elements > entry.size() / size as u64 {
            return Err(claims);
        }
        let mut skipped = entry.by_ref().take(place.start * size as u64);
        std::io::copy(&mut skipped, &mut std::io::sink()).map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        let wanted = (place.end - place.start) * size as u64;
        entry.take(wanted).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 != wanted {
            return Err("its values end early".to_owned());
        }
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

/// The number type of one of PyTorch's storages.
fn dtype_of(class: &str) -> Option<DType> {
    Some(match class {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "ByteStorage" => DType::U8,
        _ => return None,
    })
}
