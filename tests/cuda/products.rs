//! cuBLASLt's products with bias and activation, forward as the coming kernels need them.

use candle_core::cuda_backend::cudarc::cublaslt::{Activation, CudaBlasLT, Matmul, MatmulConfig};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use half::bf16;
use mirror::random::Key;

use crate::machine::{Number, download, error, normals, stream};

/// cuBLASLt's, with tanh.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// y = act(x · Wᵀ + b) of rows by rows: in cuBLASLt's columns, yᵀ = act(W · xᵀ + b).
fn linear<T: Number>(tolerance: f64)
where
    CudaBlasLT: Matmul<T>,
{
    let stream = stream();
    let (rows, inputs, outputs) = (13usize, 40usize, 24usize);
    let (x, x_there) = normals::<T>(&stream, Key::new(1), rows * inputs);
    let (w, w_there) = normals::<T>(&stream, Key::new(2), outputs * inputs);
    let (b, b_there) = normals::<T>(&stream, Key::new(3), outputs);
    let blas = CudaBlasLT::new(stream.clone()).unwrap();
    let config = MatmulConfig {
        transa: true,
        transb: false,
        transc: false,
        m: outputs as u64,
        n: rows as u64,
        k: inputs as u64,
        alpha: 1.0,
        lda: inputs as i64,
        ldb: inputs as i64,
        beta: 0.0,
        ldc: outputs as i64,
        stride_a: None,
        stride_b: None,
        stride_c: None,
        stride_bias: None,
        batch_size: None,
    };
    let with: [(Option<&CudaSlice<T>>, Option<Activation>); 4] = [
        (None, None),
        (Some(&b_there), None),
        (Some(&b_there), Some(Activation::Gelu)),
        (None, Some(Activation::Relu)),
    ];
    for (bias, activation) in with {
        let mut y = stream.clone_htod(&vec![T::from_f32(0.0); rows * outputs]).unwrap();
        // SAFETY: the sizes above are those of the buffers.
        unsafe { blas.matmul(config, &w_there, &x_there, &mut y, bias, activation.as_ref()) }.unwrap();
        let expected: Vec<f64> = (0..rows * outputs)
            .map(|at| {
                let (row, output) = (at / outputs, at % outputs);
                let sum: f64 = (0..inputs).map(|i| x[row * inputs + i] * w[output * inputs + i]).sum();
                let sum = sum + bias.map_or(0.0, |_| b[output]);
                match activation {
                    Some(Activation::Gelu) => gelu(sum),
                    Some(Activation::Relu) => sum.max(0.0),
                    None => sum,
                }
            })
            .collect();
        let off = error(&download(&stream, &y), &expected);
        assert!(off < tolerance, "bias {}, {activation:?}: {off:e}", bias.is_some());
    }
}

#[test]
fn linear_layers_with_bias_and_activation() {
    // cudarc lets f32 go through TF32.
    linear::<f32>(2e-3);
    linear::<bf16>(1e-2);
}
