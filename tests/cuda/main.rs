//! The CUDA path on a device: a GPU, or the software device of tests/software_cuda. scripts/test-cuda builds what is needed
//! and says where it is:
//!
//! * MIRROR_CUDA_SAMPLES: the folder of the sample kernels' PTX;
//! * MIRROR_CUDA_KERNELS: the folder of the program's own;
//! * MIRROR_SOFTWARE_CUDA: the software device, where that is what runs. Tests that have to know what it counts or finds
//!   are left out on a GPU.

mod counts;
mod faults;
mod findings;
mod kernels;
mod machine;
mod operations;
mod products;
mod runs;
#[path = "../cli/workspace.rs"]
#[allow(dead_code, reason = "it is the command line's tests', which use more of it")]
mod workspace;
