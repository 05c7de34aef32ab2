//! Arithmetic on flat tensors, bit-identical for any number of threads.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor};
use rayon::prelude::*;

/// Elements that one task sums: fixed, so that the order of additions never depends on threads.
const BLOCK: usize = 1 << 16;

/// Calls `f` with the values of a contiguous f32 tensor on the CPU; `None` for any other tensor.
pub fn with_f32<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Option<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Some(f(&values[start..end])),
        _ => None,
    }
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

/// The scalar product, accumulated in f64.
pub fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    let fast = with_f32(a, |a| with_f32(b, |b| dot_f32(a, b))).flatten();
    match fast {
        Some(sum) => Ok(sum),
        None => (a.to_dtype(DType::F64)? * b.to_dtype(DType::F64)?)?.sum_all()?.to_scalar(),
    }
}

fn dot_f32(a: &[f32], b: &[f32]) -> f64 {
    let blocks: Vec<f64> = a
        .par_chunks(BLOCK)
        .zip(b.par_chunks(BLOCK))
        .map(|(a, b)| {
            let mut lanes = [0f64; 8];
            for (a, b) in a.chunks(8).zip(b.chunks(8)) {
                for ((lane, &x), &y) in lanes.iter_mut().zip(a).zip(b) {
                    *lane += f64::from(x) * f64::from(y);
                }
            }
            lanes.iter().sum::<f64>()
        })
        .collect();
    blocks.iter().sum()
}

/// `a + scale · b`
pub fn plus(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    let fast = with_f32(a, |a| {
        with_f32(b, |b| {
            let mut sum = vec![0f32; a.len()];
            let scale = scale as f32;
            sum.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK)).zip(b.par_chunks(BLOCK)).for_each(
                |((sum, a), b)| {
                    for ((s, &x), &y) in sum.iter_mut().zip(a).zip(b) {
                        *s = x + scale * y;
                    }
                },
            );
            sum
        })
    });
    match fast.flatten() {
        Some(sum) => Tensor::from_vec(sum, a.dims(), a.device()),
        None => a + b.affine(scale, 0.0)?,
    }
}
