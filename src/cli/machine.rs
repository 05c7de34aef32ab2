//! Where to compute: threads and device.

use candle_core::Device;
use clap::Args;

use super::progress::say;
use super::{Ending, failure, usage};
use crate::device::{self, Unusable};
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
        if precision == Precision::Int8 && !device.is_cpu() {
            return Err(usage("--precision int8 is for the CPU; give --device cpu too"));
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
    device::open(ordinal).map_err(|error| {
        let message = format!("--device {name}: {error}, or use --device cpu");
        if error == Unusable::NotBuilt { usage(message) } else { failure(message) }
    })
}

/// The first CUDA device, else the CPU. A GPU that is there and cannot be used is worth a line.
fn best() -> Device {
    match device::open(0) {
        Ok(device) => device,
        Err(Unusable::NotBuilt | Unusable::NoDriver) => Device::Cpu,
        Err(error) => {
            say(&format!("computing on the CPU: {error}"));
            Device::Cpu
        }
    }
}
