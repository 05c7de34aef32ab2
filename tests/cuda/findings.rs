//! What is wrong with a kernel, the software device finds: each kernel of samples/faulty.cu has one fault. They run in a
//! process each, since the device ends it.

use std::process::Command;

use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};

use crate::machine::{download, sample, software, stream};

/// Set in the process that runs the kernel of this name.
const FAULTY: &str = "MIRROR_TEST_FAULTY_KERNEL";

/// Kernel, what is said of it, and with what else the device runs.
type Fault = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const FAULTS: [Fault; 10] = [
    ("beyond_static_shared", "touches", &[]),
    ("beyond_dynamic_shared", "touches", &[]),
    ("too_much_shared", "49408 bytes of shared memory with values; a block may have 49152", &[]),
    ("beyond_device_memory", "touches", &[("SWCUDA_GUARD", "1")]),
    ("barrier_in_a_branch", "that never come", &[]),
    ("different_operations", "in different operations", &[("SWCUDA_ORDER", "reverse")]),
    ("lane_outside_its_mask", "which it is not in", &[]),
    ("failed_assertion", "fails the assertion blockDim.x == 1", &[]),
    ("unwritten_shared", "is not a number", &[]),
    ("missing_barrier", "is not a number", &[]),
];

#[test]
fn each_fault_is_found() {
    if software().is_none() {
        return;
    }
    for (kernel, said, settings) in FAULTS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "findings::a_faulty_kernel", "--nocapture"])
            .env(FAULTY, kernel)
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{kernel}: {}\n{stderr}", output.status);
    }
}

#[test]
fn a_faulty_kernel() {
    let Ok(kernel) = std::env::var(FAULTY) else { return };
    let stream = stream();
    let x = stream.clone_htod(&[1f32; 64]).unwrap();
    let mut y = stream.alloc_zeros::<f32>(64).unwrap();
    let function = sample(&stream, "faulty").load_function(&kernel).unwrap();
    let mut call = stream.launch_builder(&function);
    call.arg(&x).arg(&mut y);
    let launch = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 256 };
    // SAFETY: it is none on a GPU. On the software device, the process ends where the kernel goes too far.
    unsafe { call.launch(launch) }.unwrap();
    let values = download(&stream, &y);
    assert!(values.iter().all(|value| value.is_finite()), "{kernel}: a value is not a number");
}
