//! Arithmetic on `[total_tokens, hidden]` noise, sequence by sequence.

use candle_core::{DType, Device, Result, Tensor};

use crate::batch::PackedBatch;

/// Multiplies the rows of each sequence by the factor of its number.
pub fn scale(batch: &PackedBatch, x: &Tensor, factor: impl Fn(usize) -> f64) -> Result<Tensor> {
    let mut factors = vec![0f64; batch.total_tokens()];
    (0..batch.len()).for_each(|i| factors[batch.rows(i)].fill(factor(i)));
    let factors = Tensor::from_vec(factors, (batch.total_tokens(), 1), &Device::Cpu)?;
    x.broadcast_mul(&factors.to_dtype(x.dtype())?.to_device(x.device())?)
}

/// `[n]`: the joint Euclidean norm of each sequence's rows.
pub fn norms(batch: &PackedBatch, x: &Tensor) -> Result<Vec<f64>> {
    let squares: Vec<f64> = x.to_dtype(DType::F64)?.sqr()?.sum(1)?.to_device(&Device::Cpu)?.to_vec1()?;
    Ok((0..batch.len()).map(|i| squares[batch.rows(i)].iter().sum::<f64>().sqrt()).collect())
}

/// `[n]`: the largest absolute value of each sequence.
pub fn largest(batch: &PackedBatch, x: &Tensor) -> Result<Vec<f64>> {
    let rows: Vec<f64> = x.to_dtype(DType::F64)?.abs()?.max(1)?.to_device(&Device::Cpu)?.to_vec1()?;
    Ok((0..batch.len()).map(|i| rows[batch.rows(i)].iter().copied().fold(0.0, f64::max)).collect())
}
