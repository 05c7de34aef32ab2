//! Values of a graph's initialisers: converted when they are written, a tensor at a time.

use std::io::{self, Write};

use candle_core::{DType, Device, Result, Tensor};
use half::f16;
use rayon::prelude::*;

use crate::onnx_file::proto::DataType;

/// A named constant of a graph.
pub struct Initializer {
    /// Unique in the graph.
    pub name: String,
    /// The shape.
    pub dims: Vec<usize>,
    /// The type of each value.
    pub data_type: DataType,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// Cast to f32 or f16.
    Cast(Tensor),
    /// `[out, in]`, written as int8 `[in, out]`: each column divided by its scale.
    Quantized {
        weight: Tensor,
        scales: Vec<f32>,
    },
}

impl Initializer {
    /// A tensor of int64 values, as many as `dims` say.
    pub fn int64(name: String, dims: Vec<usize>, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Initializer { name, dims, data_type: DataType::Int64, content: Content::Bytes(bytes) }
    }

    /// f32 or f16 values.
    pub fn float(name: String, dims: Vec<usize>, values: &[f32], data_type: DataType) -> Self {
        let mut bytes = Vec::with_capacity(values.len() * data_type.size());
        push_floats(values, data_type, &mut bytes);
        Initializer { name, dims, data_type, content: Content::Bytes(bytes) }
    }

    /// A tensor of the model, as f32 or f16.
    pub fn weight(name: String, tensor: Tensor, data_type: DataType) -> Self {
        Initializer { name, dims: tensor.dims().to_vec(), data_type, content: Content::Cast(tensor) }
    }

    /// The matrix `[out, in]` of a linear layer as int8 `[in, out]`, with its scales `[out]`.
    pub fn quantized(name: String, weight: &Tensor) -> Result<(Self, Vec<f32>)> {
        let (outputs, inputs) = weight.dims2()?;
        let scales = column_scales(&values(weight)?, inputs);
        let content = Content::Quantized { weight: weight.clone(), scales: scales.clone() };
        let initializer =
            Initializer { name, dims: vec![inputs, outputs], data_type: DataType::Int8, content };
        Ok((initializer, scales))
    }

    /// Bytes that [`Initializer::write`] writes.
    pub fn bytes(&self) -> usize {
        self.dims.iter().product::<usize>() * self.data_type.size()
    }

    /// Writes the values, little-endian, in row-major order.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match &self.content {
            Content::Bytes(bytes) => to.write_all(bytes),
            Content::Cast(tensor) => {
                let values = values(tensor).map_err(io::Error::other)?;
                let mut bytes = Vec::with_capacity(1 << 16);
                for chunk in values.chunks(1 << 14) {
                    bytes.clear();
                    push_floats(chunk, self.data_type, &mut bytes);
                    to.write_all(&bytes)?;
                }
                Ok(())
            }
            Content::Quantized { weight, scales } => {
                let transposed = weight.t().and_then(|weight| values(&weight)).map_err(io::Error::other)?;
                to.write_all(&quantize(&transposed, scales))
            }
        }
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?.flatten_all()?.to_vec1()
}

fn push_floats(values: &[f32], data_type: DataType, into: &mut Vec<u8>) {
    match data_type {
        DataType::Float16 => {
            let largest = f16::MAX.to_f32();
            // An infinity would be an answer of NaN; no trained weight comes near this.
            into.extend(values.iter().flat_map(|v| f16::from_f32(v.clamp(-largest, largest)).to_le_bytes()));
        }
        _ => into.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
}

/// The largest quantised weight. With seven bits two products of a weight and an activation of eight
/// bits fit the 16 bits in which CPUs without VNNI add them; with eight bits they saturate there, and
/// the embedding depends on the machine (ONNX Runtime calls this reduce_range).
const LARGEST: f32 = 64.0;

/// One scale for each row of `[out, in]`, such that its largest value becomes ±[`LARGEST`].
fn column_scales(weight: &[f32], inputs: usize) -> Vec<f32> {
    let largest = |row: &[f32]| row.iter().fold(0f32, |most, value| most.max(value.abs()));
    // A row of zeros has any scale.
    weight.par_chunks(inputs).map(|row| (largest(row) / LARGEST).max(f32::MIN_POSITIVE)).collect()
}

/// `[in, out]` of int8 from `[in, out]` of f32 and the scales of the columns.
fn quantize(weight: &[f32], scales: &[f32]) -> Vec<u8> {
    weight
        .chunks(scales.len())
        .flat_map(|row| row.iter().zip(scales))
        .map(|(value, scale)| (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8 as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every weight comes back within half a step of its own column.
        #[test]
        fn quantised_weights_are_within_half_a_step(
            (inputs, weight) in (1usize..9, 1usize..9).prop_flat_map(|(inputs, outputs)| {
                (Just(inputs), prop::collection::vec(-1e3f32..1e3, inputs * outputs))
            })
        ) {
            let outputs = weight.len() / inputs;
            let tensor = Tensor::from_slice(&weight, (outputs, inputs), &Device::Cpu).unwrap();
            let (initializer, scales) = Initializer::quantized("w".into(), &tensor).unwrap();
            let mut bytes = Vec::new();
            initializer.write(&mut bytes).unwrap();
            prop_assert_eq!(bytes.len(), initializer.bytes());
            for output in 0..outputs {
                for input in 0..inputs {
                    let quantised = f32::from(bytes[input * outputs + output] as i8);
                    let error = quantised * scales[output] - weight[output * inputs + input];
                    prop_assert!(error.abs() <= scales[output] * 0.501, "{error} of {}", scales[output]);
                }
            }
        }
    }
}
