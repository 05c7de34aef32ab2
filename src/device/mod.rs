//! Where to compute: CUDA devices, opened so that they are known to work, by name, and what their errors mean.
//!
//! Without the feature `cuda` there are none, and the functions say so.

use candle_core::Device;
use thiserror::Error;

#[cfg(feature = "cuda")]
mod cuda;
mod failure;
#[cfg(not(feature = "cuda"))]
mod none;

#[cfg(feature = "cuda")]
use cuda as devices;
#[cfg(not(feature = "cuda"))]
use none as devices;

pub use failure::{Failure, sentence};

/// Why a CUDA device cannot be used, and what would have to be done. The alternative, `--device cpu`, is the caller's to
/// name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// The program has no kernels.
    #[error("this program was built without CUDA; build with scripts/build-cuda")]
    NotBuilt,
    /// No driver, or none that finds a GPU.
    #[error("no CUDA driver that finds a GPU is on this machine; install one")]
    NoDriver,
    /// There are fewer devices.
    #[error("this machine has no such device; name one up to cuda:{last}")]
    NoSuchDevice {
        /// The highest number.
        last: usize,
    },
    /// The kernels' PTX is for later generations.
    #[error(
        "{name} has compute capability {}.{}, and the program's kernels need {}.{} or later; build with \
         CUDA_COMPUTE_CAP={has} scripts/build-cuda", has / 10, has % 10, needs / 10, needs % 10
    )]
    OldCard {
        /// The card.
        name: String,
        /// Its compute capability, 75 for 7.5.
        has: u32,
        /// That of the kernels.
        needs: u32,
    },
    /// The driver cannot translate the kernels' PTX.
    #[error("the CUDA driver is too old for this program; install one for CUDA 13 (580 or later)")]
    OldDriver,
    /// cuBLAS or cuRAND is missing or does not start.
    #[error("{name}: {reason}; put libcublas.so.13 and libcurand.so.10 into LD_LIBRARY_PATH (docs/cuda.md)")]
    NoLibraries {
        /// The card.
        name: String,
        /// In the library's words.
        reason: String,
    },
    /// There is no memory left for even the least.
    #[error("other programs use all memory of {name}; end them")]
    Full {
        /// The card.
        name: String,
    },
    /// Anything else.
    #[error("{name} does not compute: {reason}; look at it with nvidia-smi")]
    Broken {
        /// The card.
        name: String,
        /// In the driver's words.
        reason: String,
    },
}

/// CUDA devices that the driver finds: none where there is no driver.
pub fn count() -> usize {
    devices::count()
}

/// Whether what `--device` says, `auto`, `cpu` or `cuda:N`, means a GPU on this machine.
pub fn means_gpu(name: &str) -> bool {
    name != "cpu" && count() > 0
}

/// Opens a CUDA device and computes something on it, so that what is wrong with it shows now and not in the first step.
///
/// # Errors
/// What is wrong with it.
pub fn open(ordinal: usize) -> Result<Device, Unusable> {
    devices::open(ordinal)
}

/// What the device is: cpu, or the card's name and compute capability, on which the last bits of a result depend.
pub fn name(device: &Device) -> String {
    devices::name(device).unwrap_or_else(|| "cpu".to_owned())
}

/// Bytes of its memory that are free, and all that it has; `None` for the CPU, or where the driver does not say.
pub fn memory(device: &Device) -> Option<Memory> {
    devices::memory(device)
}

/// A device's own memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Not in use by any program.
    pub free: u64,
    /// All.
    pub total: u64,
}
