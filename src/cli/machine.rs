//! Where to compute: threads and device.

use candle_core::Device;
use clap::Args;

use super::{Ending, usage};

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
}

/// Opens the device called auto, cpu, cuda or cuda:N. `auto` is the first CUDA device where this
/// build and this machine have one, else the CPU.
fn open(name: &str) -> Result<Device, Ending> {
    let ordinal = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "auto" => {
            let cuda = candle_core::utils::cuda_is_available().then(|| Device::new_cuda(0).ok());
            return Ok(cuda.flatten().unwrap_or(Device::Cpu));
        }
        None if name == "cuda" => 0,
        Some(("cuda", n)) if n.parse::<usize>().is_ok() => n.parse().unwrap_or(0),
        _ => return Err(usage(format!("--device {name} is not known; auto, cpu, cuda and cuda:N are"))),
    };
    if !candle_core::utils::cuda_is_available() {
        return Err(usage(format!(
            "--device {name}: this program was built without CUDA; build with --features cuda"
        )));
    }
    Device::new_cuda(ordinal).map_err(|e| {
        Ending::Failure(anyhow::anyhow!("--device {name} cannot be opened: {e}; use --device cpu"))
    })
}
