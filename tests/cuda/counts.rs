//! What the software device counts of computations of which it is known.

use std::process::Command;

use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
use candle_core::{Device, Tensor};
use half::bf16;
use mirror::random::Key;
use serde_json::Value;

use crate::machine::{normals, sample, software, stream};

/// Set in the process that is counted: the computation's name.
const COUNTED: &str = "MIRROR_TEST_COUNTED";

fn counts_of(what: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "counts::a_counted_computation", "--nocapture"])
        .env(COUNTED, what)
        .env("SWCUDA_COUNTS", file.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap()
}

#[test]
fn a_counted_computation() {
    match std::env::var(COUNTED).as_deref() {
        Ok("product") => product(),
        Ok("kernel") => kernel(),
        _ => {}
    }
}

/// [6, 5] × [5, 4], up and down.
fn product() {
    let device = Device::new_cuda(0).unwrap();
    let a = Tensor::ones((6, 5), candle_core::DType::F32, &Device::Cpu).unwrap().to_device(&device).unwrap();
    let b = Tensor::ones((5, 4), candle_core::DType::F32, &Device::Cpu).unwrap().to_device(&device).unwrap();
    let c: Vec<Vec<f32>> = a.matmul(&b).unwrap().to_vec2().unwrap();
    assert_eq!(c, vec![vec![5.0; 4]; 6]);
}

/// The forward kernel of three rows of 64, which declares what it moves.
fn kernel() {
    let (stream, rows, width) = (stream(), 3usize, 64usize);
    let (_, x) = normals::<bf16>(&stream, Key::new(1), rows * width);
    let (_, scale) = normals::<f32>(&stream, Key::new(2), width);
    let mut y = stream.clone_htod(&vec![bf16::ZERO; rows * width]).unwrap();
    let mut means = stream.alloc_zeros::<f32>(rows).unwrap();
    let mut inverse = stream.alloc_zeros::<f32>(rows).unwrap();
    let function = sample(&stream, "residual_norm").load_function("residual_norm_forward_bf16").unwrap();
    let (columns, eps, p, seed) = (width as u32, 1e-5f32, 0.1f32, 1u32);
    let mut call = stream.launch_builder(&function);
    call.arg(&x).arg(&x).arg(&scale).arg(&scale).arg(&mut y).arg(&mut means).arg(&mut inverse);
    call.arg(&columns).arg(&eps).arg(&p).arg(&seed);
    let launch = LaunchConfig { grid_dim: (3, 1, 1), block_dim: (32, 1, 1), shared_mem_bytes: 4 * columns };
    // SAFETY: the arguments are those of the kernel's declaration, and each buffer has as many values as it goes through.
    unsafe { call.launch(launch) }.unwrap();
    stream.synchronize().unwrap();
}

#[test]
fn products_copies_and_waits_are_counted() {
    if software().is_none() {
        return;
    }
    let counts = counts_of("product");
    let product = &counts["products"][0];
    // In cuBLAS's columns the product is transposed.
    let shape = ["m", "n", "k", "batches", "number", "flops"].map(|name| product[name].as_u64().unwrap());
    assert_eq!(shape, [4, 6, 5, 1, 1, 2 * 4 * 6 * 5], "{counts}");
    assert_eq!(product["type"], "f32");
    assert_eq!([&product["bytes_read"], &product["bytes_written"]], [4 * (30 + 20), 4 * 24], "{counts}");
    assert_eq!(counts["totals"]["product_flops"]["f32"], 240);
    assert_eq!([&counts["totals"]["launches"], &counts["totals"]["products"]], [0, 1], "{counts}");
    let up = &counts["copies"]["host_to_device"];
    assert_eq!([&up["number"], &up["bytes"]], [2, 4 * (30 + 20)], "{counts}");
    let down = &counts["copies"]["device_to_host"];
    assert_eq!([&down["number"], &down["bytes"]], [1, 4 * 24], "{counts}");
    assert_eq!(counts["waits"]["copies_to_host"], 1, "{counts}");
    assert_eq!(counts["memory"]["peak_bytes"], 4 * (30 + 20 + 24), "{counts}");
}

#[test]
fn a_kernel_counts_what_it_declares() {
    if software().is_none() {
        return;
    }
    let counts = counts_of("kernel");
    let kernel = &counts["kernels"]["residual_norm_forward_bf16"];
    assert_eq!([&kernel["launches"], &kernel["declared"]], [&Value::from(1), &Value::from(true)], "{counts}");
    let (values, width) = (3 * 64, 64);
    assert_eq!(kernel["bytes_read"], 2 * 2 * values + 2 * 4 * width, "{counts}");
    assert_eq!(kernel["bytes_written"], 2 * values + 2 * 4 * 3, "{counts}");
}
