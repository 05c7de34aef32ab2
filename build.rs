//! Compiles the CUDA kernels of src/backend/cuda/kernels to PTX, for the feature `cuda`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::compile();
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::path::PathBuf;

    const KERNELS: &str = "src/backend/cuda/kernels";

    pub fn compile() {
        println!("cargo::rerun-if-changed={KERNELS}");
        println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
        let folder = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
        let kernels = cudaforge::KernelBuilder::new().source_dir(KERNELS).arg("-std=c++17").arg("-O3");
        let written = kernels.build_ptx().and_then(|ptx| ptx.write(folder.join("ptx.rs")));
        if let Err(error) = written {
            panic!("the CUDA kernels do not compile: {error}; scripts/build-cuda prepares the compiler");
        }
    }
}
