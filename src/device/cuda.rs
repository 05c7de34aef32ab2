//! CUDA devices, through cudarc as candle has it.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cublas::result::CublasError;
use candle_core::cuda_backend::cudarc::cublas::sys::cublasStatus_t;
use candle_core::cuda_backend::cudarc::driver::sys::CUresult;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};
use candle_core::cuda_backend::{CudaError, kernels};
use candle_core::{Device, Error, Tensor};

use super::{Failure, Memory, Unusable, sentence};

pub fn count() -> usize {
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

pub fn open(ordinal: usize) -> Result<Device, Unusable> {
    match count() {
        0 => return Err(Unusable::NoDriver),
        count if ordinal >= count => return Err(Unusable::NoSuchDevice { last: count - 1 }),
        _ => {}
    }
    let unnamed = format!("cuda:{ordinal}");
    let context = CudaContext::new(ordinal).map_err(|error| unusable(unnamed, error))?;
    let name = context.name().unwrap_or_else(|_| format!("cuda:{ordinal}"));
    check_kernels(&context, &name)?;
    let device = Device::new_cuda(ordinal).map_err(|error| match driver_error(&error) {
        Some(error) => unusable(name.clone(), error),
        None => Unusable::NoLibraries { name: name.clone(), reason: sentence(&error) },
    })?;
    match computes(&device) {
        Ok(()) => Ok(device),
        Err(error) if failure(&error) == Some(Failure::OutOfMemory) => Err(Unusable::Full { name }),
        Err(error) => Err(Unusable::Broken { name, reason: sentence(&error) }),
    }
}

/// Whether the driver translates a module of candle's kernels for this card.
fn check_kernels(context: &Arc<CudaContext>, name: &str) -> Result<(), Unusable> {
    let ptx = kernels::AFFINE.ptx();
    let (major, minor) = context.compute_capability().map_err(|error| unusable(name.to_owned(), error))?;
    let has = u32::try_from(10 * major + minor).unwrap_or(0);
    if let Some(needs) = target(ptx).filter(|&needs| needs > has) {
        return Err(Unusable::OldCard { name: name.to_owned(), has, needs });
    }
    match context.load_module(ptx.into()) {
        Ok(_) => Ok(()),
        Err(error) => Err(unusable(name.to_owned(), error)),
    }
}

/// The compute capability that a PTX text is for: 80 for `.target sm_80`.
fn target(ptx: &str) -> Option<u32> {
    let rest = ptx.split_once(".target sm_")?.1;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

fn unusable(name: String, DriverError(status): DriverError) -> Unusable {
    match status {
        CUresult::CUDA_ERROR_NO_DEVICE => Unusable::NoDriver,
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => Unusable::OldDriver,
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => Unusable::Full { name },
        _ => Unusable::Broken { name, reason: words(DriverError(status)) },
    }
}

/// An upload, a kernel and a download.
fn computes(device: &Device) -> Result<(), Error> {
    let two = (Tensor::new(&[1f32], device)? + 1.0)?.to_vec1::<f32>()?;
    if two == [2.0] { Ok(()) } else { candle_core::bail!("1 + 1 is {two:?} on it") }
}

pub fn name(device: &Device) -> Option<String> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let name = stream.context().name().ok()?;
    let (major, minor) = stream.context().compute_capability().ok()?;
    Some(format!("{name} (compute capability {major}.{minor})"))
}

pub fn memory(device: &Device) -> Option<Memory> {
    let (free, total) = device.as_cuda_device().ok()?.cuda_stream().context().mem_get_info().ok()?;
    Some(Memory { free: free as u64, total: total as u64 })
}

pub fn failure(error: &Error) -> Option<Failure> {
    if let Some(error) = driver_error(error) {
        return Some(match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Failure::OutOfMemory,
            _ => Failure::Lost(words(error)),
        });
    }
    match cuda_error(error)? {
        CudaError::Cublas(CublasError(status @ cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED)) => {
            Some(Failure::Lost(format!("{status:?}")))
        }
        CudaError::Cublas(CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED)) => {
            Some(Failure::OutOfMemory)
        }
        _ => None,
    }
}

/// The driver's status, where it is one that ended an operation.
fn driver_error(error: &Error) -> Option<DriverError> {
    match cuda_error(error)? {
        CudaError::Cuda(error) | CudaError::Load { cuda: error, .. } => Some(*error),
        _ => None,
    }
}

fn cuda_error(error: &Error) -> Option<&CudaError> {
    let Error::Cuda(error) = super::failure::cause(error) else { return None };
    error.downcast_ref()
}

fn words(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| text.ok()?.to_str().ok().map(str::to_owned);
    match (text(error.error_name()), text(error.error_string())) {
        (Some(name), Some(words)) => format!("{} ({name})", words.trim_end_matches('.')),
        _ => format!("{:?}", error.0),
    }
}
