//! A build without CUDA.

use candle_core::{Device, Error};

use super::{Failure, Memory, Unusable};

pub fn count() -> usize {
    0
}

pub fn open(_ordinal: usize) -> Result<Device, Unusable> {
    Err(Unusable::NotBuilt)
}

pub fn name(_device: &Device) -> Option<String> {
    None
}

pub fn memory(_device: &Device) -> Option<Memory> {
    None
}

pub fn failure(_error: &Error) -> Option<Failure> {
    None
}
