//! candle's operations on the device against its CPU, in all number formats that kernels have.

use candle_core::{D, DType, Device, Result, Tensor};

type Operation = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>);

/// Of a [10, 34] and a [34, 6] tensor.
const OPERATIONS: &[Operation] = &[
    ("matmul", |a, b| a.matmul(b)),
    ("matmul of aᵀ", |a, b| a.t()?.contiguous()?.t()?.matmul(b)),
    ("matmul of bᵀ", |a, b| a.matmul(&b.t()?.contiguous()?.t()?)),
    ("matmul of batches", |a, b| a.reshape((2, 5, 34))?.matmul(&Tensor::stack(&[b, b], 0)?)),
    ("sum", |a, _| a.sum_keepdim(1)),
    ("sum over rows", |a, _| a.sum_keepdim(0)),
    ("max", |a, _| a.max_keepdim(D::Minus1)),
    ("min over rows", |a, _| a.min_keepdim(0)),
    ("argmax", |a, _| a.argmax(1)?.to_dtype(DType::F32)),
    ("exp", |a, _| a.exp()),
    ("erf", |a, _| a.erf()),
    ("tanh", |a, _| a.tanh()),
    ("relu", |a, _| a.relu()),
    ("silu", |a, _| a.silu()),
    ("powf", |a, _| a.powf(3.0)),
    ("sqr, sqrt", |a, _| a.sqr()?.sqrt()),
    ("affine", |a, _| a.affine(1.5, 0.25)),
    ("broadcast", |a, _| a.broadcast_add(&a.narrow(0, 0, 1)?)?.broadcast_div(&a.sqr()?.sum_keepdim(1)?)),
    ("compare", |a, _| a.ge(&a.zeros_like()?)?.to_dtype(DType::F32)),
    ("where", |a, _| a.ge(&a.zeros_like()?)?.where_cond(a, &a.neg()?)),
    ("cast", |a, _| a.to_dtype(DType::F64)?.to_dtype(a.dtype())),
    ("cat", |a, _| Tensor::cat(&[a, a], 1)),
    ("index_select", |a, _| a.index_select(&Tensor::new(&[3u32, 0, 3, 9], a.device())?, 0)),
    ("index_add", |a, _| a.index_add(&Tensor::new(&[3u32, 0, 3], a.device())?, &a.narrow(0, 2, 3)?, 0)),
    ("sort", |a, _| Ok(a.sort_last_dim(true)?.0)),
];

fn flat(t: &Tensor) -> Vec<f64> {
    let values = || t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
    values().unwrap()
}

fn tensor(rows: usize, columns: usize, dtype: DType) -> Tensor {
    let value = |i: usize| (((i + columns) * 7919 % 1009) as f64 / 504.5 - 1.0) * 2.0;
    let values: Vec<f64> = (0..rows * columns).map(value).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn operations_are_the_cpus() {
    let device = mirror::device::open(0).unwrap();
    for (dtype, tolerance) in
        [(DType::F32, 1e-5), (DType::F64, 1e-12), (DType::BF16, 3e-2), (DType::F16, 4e-3)]
    {
        let (a, b) = (tensor(10, 34, dtype), tensor(34, 6, dtype));
        let there = [&a, &b].map(|t| t.to_device(&device).unwrap());
        let (mut worst, mut tried) = ((0.0, ""), 0);
        for (name, operation) in OPERATIONS {
            let expected = flat(&operation(&a, &b).unwrap());
            let ours =
                flat(&operation(&there[0], &there[1]).unwrap_or_else(|e| panic!("{dtype:?} {name}: {e}")));
            let off = crate::machine::error(&ours, &expected);
            assert!(off <= tolerance, "{dtype:?} {name}: {off:e}");
            tried += 1;
            if off > worst.0 {
                worst = (off, name);
            }
        }
        println!("{dtype:?}: {tried} operations, largest error {:.1e} ({})", worst.0, worst.1);
    }
}
