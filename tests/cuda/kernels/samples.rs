//! The sample kernels of tests/software_cuda, which nvcc and the software device both compile, against plain functions.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaStream, LaunchConfig, PushKernelArg};
use half::bf16;
use mirror::random::Key;

use crate::machine::{Number, download, error, normals, sample, stream};

const EPS: f32 = 1e-5;
const P: f32 = 0.1;
const SEED: u32 = 17;

/// As residual_norm.cu has it.
fn dropout_factor(place: u32) -> f64 {
    let mut h = SEED ^ place.wrapping_mul(0x9e37_79b9);
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^= h >> 16;
    if (h >> 8) as f32 / 16_777_216.0 < P { 0.0 } else { 1.0 / f64::from(1.0 - P) }
}

/// Inputs of residual + dropout + LayerNorm, and what comes of them, in f64.
struct Expected {
    y: Vec<f64>,
    grad_x: Vec<f64>,
    grad_residual: Vec<f64>,
    grad_scale: Vec<f64>,
    grad_shift: Vec<f64>,
}

impl Expected {
    fn of(width: usize, x: &[f64], residual: &[f64], grad_y: &[f64], scale: &[f64], shift: &[f64]) -> Self {
        let zeros = |len| vec![0.0; len];
        let (mut y, mut grad_x, mut grad_residual) = (zeros(x.len()), zeros(x.len()), zeros(x.len()));
        let (mut grad_scale, mut grad_shift) = (zeros(width), zeros(width));
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / width as f64;
        for start in (0..x.len()).step_by(width) {
            let factor = |i: usize| dropout_factor((start + i) as u32);
            let sums: Vec<f64> = (0..width).map(|i| residual[start + i] + x[start + i] * factor(i)).collect();
            let centre = mean(&mut sums.iter().copied());
            let variance = mean(&mut sums.iter().map(|v| (v - centre).powi(2)));
            let deviation = (variance + f64::from(EPS)).sqrt();
            let normed: Vec<f64> = sums.iter().map(|v| (v - centre) / deviation).collect();
            let grad = |i: usize| grad_y[start + i] * scale[i];
            let along_mean = mean(&mut (0..width).map(grad));
            let along_normed = mean(&mut (0..width).map(|i| grad(i) * normed[i]));
            for i in 0..width {
                y[start + i] = normed[i] * scale[i] + shift[i];
                grad_scale[i] += grad_y[start + i] * normed[i];
                grad_shift[i] += grad_y[start + i];
                grad_residual[start + i] = (grad(i) - along_mean - normed[i] * along_normed) / deviation;
                grad_x[start + i] = grad_residual[start + i] * factor(i);
            }
        }
        Expected { y, grad_x, grad_residual, grad_scale, grad_shift }
    }
}

fn residual_norm<T: Number>(
    stream: &Arc<CudaStream>,
    format: &str,
    rows: usize,
    width: usize,
    block: u32,
) -> f64 {
    let module = sample(stream, "residual_norm");
    let function = |way: &str| module.load_function(&format!("residual_norm_{way}_{format}")).unwrap();
    let key = Key::new(3).at(width as u64);
    let (x, x_there) = normals::<T>(stream, key.at(0), rows * width);
    let (residual, residual_there) = normals::<T>(stream, key.at(1), rows * width);
    let (grad_y, grad_y_there) = normals::<T>(stream, key.at(2), rows * width);
    let (scale, scale_there) = normals::<f32>(stream, key.at(3), width);
    let (shift, shift_there) = normals::<f32>(stream, key.at(4), width);
    let filled = |len| stream.clone_htod(&vec![T::from_f32(0.0); len]).unwrap();
    let (mut y, mut grad_x, mut grad_residual) =
        (filled(rows * width), filled(rows * width), filled(rows * width));
    let zeros = |len| stream.alloc_zeros::<f32>(len).unwrap();
    let (mut means, mut inverse, mut grad_scale, mut grad_shift) =
        (zeros(rows), zeros(rows), zeros(width), zeros(width));
    let columns = width as u32;
    let launch = |shared| LaunchConfig {
        grid_dim: (rows as u32, 1, 1),
        block_dim: (block, 1, 1),
        shared_mem_bytes: shared,
    };

    let forward = function("forward");
    let mut call = stream.launch_builder(&forward);
    call.arg(&x_there).arg(&residual_there).arg(&scale_there).arg(&shift_there).arg(&mut y);
    call.arg(&mut means).arg(&mut inverse).arg(&columns).arg(&EPS).arg(&P).arg(&SEED);
    // SAFETY: the arguments are those of the kernel's declaration, and each buffer has as many values as it goes through.
    unsafe { call.launch(launch(4 * columns)) }.unwrap();

    let backward = function("backward");
    let mut call = stream.launch_builder(&backward);
    call.arg(&grad_y_there).arg(&x_there).arg(&residual_there).arg(&scale_there).arg(&means).arg(&inverse);
    call.arg(&mut grad_x).arg(&mut grad_residual).arg(&mut grad_scale).arg(&mut grad_shift);
    call.arg(&columns).arg(&P).arg(&SEED);
    // SAFETY: as above.
    unsafe { call.launch(launch(0)) }.unwrap();

    let expected = Expected::of(width, &x, &residual, &grad_y, &scale, &shift);
    let errors = [
        error(&download(stream, &y), &expected.y),
        error(&download(stream, &grad_x), &expected.grad_x),
        error(&download(stream, &grad_residual), &expected.grad_residual),
        error(&download(stream, &grad_scale), &expected.grad_scale),
        error(&download(stream, &grad_shift), &expected.grad_shift),
    ];
    errors.into_iter().fold(0.0, f64::max)
}

#[test]
fn residual_norm_is_what_a_plain_function_gives() {
    let stream = stream();
    for (rows, width, block) in [(7, 192, 96), (5, 768, 256), (3, 1000, 1024), (2, 31, 32)] {
        let f32s = residual_norm::<f32>(&stream, "f32", rows, width, block);
        let bf16s = residual_norm::<bf16>(&stream, "bf16", rows, width, block);
        println!("{rows} rows of {width} in blocks of {block}: f32 {f32s:.1e}, bf16 {bf16s:.1e}");
        assert!(f32s < 1e-5 && bf16s < 2e-2, "{rows} {width} {block}: {f32s:e} {bf16s:e}");
    }
}

/// On the tensor cores, as the software device's `nvcuda::wmma` has them.
#[test]
fn a_product_of_tiles_is_what_a_plain_function_gives() {
    let stream = stream();
    let (m, n, k) = (48usize, 80usize, 64usize);
    let (a, a_there) = normals::<bf16>(&stream, Key::new(5), m * k);
    let (b, b_there) = normals::<bf16>(&stream, Key::new(6), n * k);
    let mut c = stream.alloc_zeros::<f32>(m * n).unwrap();
    let function = sample(&stream, "tile_product").load_function("tile_product_bf16").unwrap();
    let (columns, depth) = (n as u32, k as u32);
    let mut call = stream.launch_builder(&function);
    call.arg(&a_there).arg(&b_there).arg(&mut c).arg(&columns).arg(&depth);
    let grid_dim = (columns.div_ceil(64), m as u32 / 16, 1);
    // SAFETY: the arguments are those of the kernel's declaration; a warp computes a tile of 16 × 16, and tiles beyond
    // the last column return.
    unsafe { call.launch(LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: 0 }) }.unwrap();
    let expected: Vec<f64> =
        (0..m * n).map(|at| (0..k).map(|l| a[at / n * k + l] * b[at % n * k + l]).sum()).collect();
    let off = error(&download(&stream, &c), &expected);
    assert!(off < 1e-5, "{off:e}");
}
