//! The values of contiguous f32 tensors on the CPU, as slices.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor};

/// Copies of a tensor's values, whatever its dtype and device.
pub fn f32_values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// Calls `f` with the values of a tensor.
pub fn with_f32<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_f32_all(&[tensor], |slices| f(slices[0]))
}

/// Calls `f` with the values of all tensors.
pub fn with_f32_all<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match (&**storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(&values[start..end]),
            _ => candle_core::bail!("fused operations need contiguous f32 tensors on the CPU"),
        })
        .collect::<Result<Vec<&[f32]>>>()?;
    Ok(f(&slices))
}

/// Calls `f` with the values of a tensor, to be changed in place.
pub fn with_f32_mut<R>(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    struct InPlace<F, R> {
        f: Cell<Option<F>>,
        result: Cell<Option<R>>,
    }
    impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for InPlace<F, R> {
        fn name(&self) -> &'static str {
            "in-place"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            match (storage, layout.contiguous_offsets(), self.f.take()) {
                (CpuStorage::F32(values), Some((start, end)), Some(f)) => {
                    self.result.set(Some(f(&mut values[start..end])));
                    Ok(())
                }
                _ => candle_core::bail!("fused operations write to contiguous f32 tensors on the CPU"),
            }
        }
    }
    let operation = InPlace { f: Cell::new(Some(f)), result: Cell::new(None) };
    tensor.inplace_op1(&operation)?;
    match operation.result.take() {
        Some(result) => Ok(result),
        None => candle_core::bail!("an operation in place was not carried out"),
    }
}

/// Calls `f` with the values of all tensors, to be changed in place. Each has a storage of its own.
pub fn with_f32_all_mut<R>(tensors: &[&Tensor], f: impl FnOnce(&mut [&mut [f32]]) -> R) -> Result<R> {
    fn nest<R>(
        tensors: &[&Tensor],
        mut slices: Vec<&mut [f32]>,
        f: impl FnOnce(&mut [&mut [f32]]) -> R,
    ) -> Result<R> {
        match tensors.split_first() {
            None => Ok(f(&mut slices)),
            Some((first, rest)) => with_f32_mut(first, |values| {
                let mut slices: Vec<&mut [f32]> = slices;
                slices.push(values);
                nest(rest, slices, f)
            })?,
        }
    }
    nest(tensors, Vec::with_capacity(tensors.len()), f)
}
