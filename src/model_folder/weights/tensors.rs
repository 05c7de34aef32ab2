//! Sets of named tensors as safetensors files, written straight from the flat buffers.

use std::io::{self, Write};
use std::sync::Arc;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use serde_json::{Map, Value, json};

use super::safetensors_file::SafetensorsFile;
use crate::encoder::{Layout, Parameters};
use crate::quote::beginning;

/// Writes parameters as f32 under a prefix each (`m.`, `v.`), without a second copy of them in memory,
/// and `others` after them.
pub fn write(
    sets: &[(String, &Parameters)],
    others: &[(String, Tensor)],
    to: &mut impl Write,
) -> io::Result<()> {
    let header = header(sets, others).to_string();
    // The format wants the data aligned to eight bytes, and allows spaces after the header.
    let padded = header.len().next_multiple_of(8);
    to.write_all(&(padded as u64).to_le_bytes())?;
    to.write_all(header.as_bytes())?;
    to.write_all(&[b' '; 8][..padded - header.len()])?;
    for (_, parameters) in sets {
        for flat in parameters.flats() {
            write_values(flat, to)?;
        }
    }
    others.iter().try_for_each(|(_, tensor)| write_values(tensor, to))
}

/// Names, shapes and places: tensors lie one after another, those of a flat buffer as they lie in it.
fn header(sets: &[(String, &Parameters)], others: &[(String, Tensor)]) -> Value {
    let mut header = Map::new();
    // transformers refuses a file that does not say that it is PyTorch's.
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    let mut place = |name: String, shape: &[usize]| {
        let end = offset + shape.iter().product::<usize>() * size_of::<f32>();
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    };
    for (prefix, parameters) in sets {
        parameters
            .layout()
            .tensors()
            .for_each(|(_, spec)| place(format!("{prefix}{}", spec.name), &spec.shape));
    }
    others.iter().for_each(|(name, tensor)| place(name.clone(), tensor.dims()));
    Value::Object(header)
}

fn write_values(tensor: &Tensor, to: &mut impl Write) -> io::Result<()> {
    // No copy where the values are f32 on the CPU already.
    let flat = tensor
        .to_device(&Device::Cpu)
        .and_then(|flat| flat.to_dtype(DType::F32)?.contiguous())
        .map_err(io::Error::other)?;
    let (storage, layout) = flat.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => &values[start..end],
        _ => return Err(io::Error::other("a tensor's values are not on the CPU")),
    };
    let mut bytes = Vec::with_capacity(1 << 16);
    for chunk in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads what [`write()`] wrote under a prefix, as parameters of a layout; the error says what is wrong.
pub(crate) fn read(
    file: &SafetensorsFile,
    prefix: &str,
    layout: &Arc<Layout>,
    dtype: DType,
    device: &Device,
) -> Result<Parameters, String> {
    Parameters::from_named(layout.clone(), dtype, device, |spec| {
        let name = format!("{prefix}{}", spec.name);
        let wrong = |problem: String| candle_core::Error::Msg(format!("{name}: {problem}"));
        let tensor = file.get(&name).map_err(|e| wrong(e.to_string()))?;
        let tensor = tensor.ok_or_else(|| wrong("it is not there".to_owned()))?;
        if tensor.dtype() != DType::F32 || tensor.dims() != spec.shape {
            let (dtype, found) = (tensor.dtype(), beginning(&format!("{:?}", tensor.dims())));
            return Err(wrong(format!("it is {dtype:?} {found}, expected F32 {:?}", spec.shape)));
        }
        Ok(tensor)
    })
    .map_err(|e: candle_core::Error| e.to_string())
}
