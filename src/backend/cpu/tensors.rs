//! Arithmetic on flat tensors: fused on the CPU in f32, candle's elsewhere; bit-identical for any
//! number of threads.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor};

use super::vectors;

/// Calls `f` with the values of contiguous f32 tensors on the CPU.
pub fn with_f32_all<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let guards: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match (&**storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(&values[start..end]),
            _ => candle_core::bail!("fused operations need contiguous f32 tensors on the CPU"),
        })
        .collect::<Result<Vec<&[f32]>>>()?;
    Ok(f(&slices))
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU, to be changed in place.
pub fn with_f32_mut(tensor: &Tensor, f: impl FnMut(&mut [f32])) -> Result<()> {
    struct InPlace<F>(std::cell::RefCell<F>);
    impl<F: FnMut(&mut [f32])> InplaceOp1 for InPlace<F> {
        fn name(&self) -> &'static str {
            "in-place"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            match (storage, layout.contiguous_offsets()) {
                (CpuStorage::F32(values), Some((start, end))) => {
                    (self.0.borrow_mut())(&mut values[start..end]);
                    Ok(())
                }
                _ => candle_core::bail!("an in-place operation needs a contiguous f32 tensor"),
            }
        }
    }
    tensor.inplace_op1(&InPlace(std::cell::RefCell::new(f)))
}

/// Whether the fused operations take a tensor.
pub fn is_fused(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous()
}

/// Σ x², accumulated in f64.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    if is_fused(x) {
        return with_f32_all(std::slice::from_ref(x), |x| vectors::sum_of_squares(x[0]));
    }
    x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()
}

/// `a + scale · b`
pub fn plus(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if !is_fused(a) || !is_fused(b) {
        return a + b.affine(scale, 0.0)?;
    }
    let sum = with_f32_all(&[a.clone(), b.clone()], |slices| {
        let mut sum = vec![0f32; slices[0].len()];
        vectors::add_scaled(slices[0], scale as f32, slices[1], &mut sum);
        sum
    })?;
    Tensor::from_vec(sum, a.dims(), a.device())
}
