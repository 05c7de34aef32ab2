//! Where to compute: threads and device.

use candle_core::Device;
use clap::Args;

use super::progress::say;
use super::{Ending, usage};
use crate::encoder::Precision;

/// Flags of commands that compute.
#[derive(Args, Clone, Debug)]
pub struct Machine {
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE", help_heading = "Machine")]
    pub device: String,
}

impl Machine {
    /// Sets up the thread pool and opens the device.
    pub fn set_up(&self) -> Result<Device, Ending> {
        if let Some(threads) = self.threads {
            if threads == 0 {
                return Err(usage("--threads is 0; it must be a number above 0"));
            }
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        }
        open(&self.device)
    }

    /// As [`Machine::set_up`], for computing in `precision`.
    pub fn set_up_for(&self, precision: Precision) -> Result<Device, Ending> {
        let device = self.set_up()?;
        if precision != Precision::F32 && !device.is_cpu() {
            return Err(usage(format!("--precision {precision} is for the CPU; give --device cpu too")));
        }
        Ok(device)
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(rayon::current_num_threads)
    }
}

/// Opens the device called auto, cpu, cuda or cuda:N. `auto` is the first CUDA device where this
/// build and this machine have one, else the CPU.
fn open(name: &str) -> Result<Device, Ending> {
    let ordinal = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "auto" => return Ok(best()),
        None if name == "cuda" => 0,
        Some(("cuda", n)) if n.parse::<usize>().is_ok() => n.parse().unwrap_or(0),
        _ => return Err(usage(format!("--device {name} is not known; it takes auto, cpu, cuda or cuda:N"))),
    };
    if !candle_core::utils::cuda_is_available() {
        return Err(usage(format!(
            "--device {name}: this program was built without CUDA; build with scripts/build-cuda, or use --device cpu"
        )));
    }
    match cuda_devices() {
        0 => Err(anyhow::anyhow!(
            "--device {name}: no CUDA driver that finds a GPU is on this machine; use --device cpu or auto"
        )
        .into()),
        count if ordinal >= count => Err(anyhow::anyhow!(
            "--device {name}: this machine has no such device; its last one is cuda:{}",
            count - 1
        )
        .into()),
        _ => Device::new_cuda(ordinal)
            .map_err(|e| anyhow::anyhow!("--device {name} cannot be opened: {}", first_line(&e)).into()),
    }
}

/// The first CUDA device, else the CPU. A GPU that is there but does not open is worth a line.
fn best() -> Device {
    if cuda_devices() == 0 {
        return Device::Cpu;
    }
    Device::new_cuda(0).unwrap_or_else(|e| {
        say(&format!("computing on the CPU, since the GPU cannot be opened: {}", first_line(&e)));
        Device::Cpu
    })
}

/// GPUs that the CUDA driver finds: none where there is no driver.
#[cfg(feature = "cuda")]
fn cuda_devices() -> usize {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> usize {
    0
}

/// Candle's message, without the backtrace that may follow, and what to do about the usual cause.
fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    format!("{text}; libcublas.so.13 and libcurand.so.10 must be in LD_LIBRARY_PATH (docs/cuda.md)")
}
