//! Values on the device: in what formats they are, and where.

use std::marker::PhantomData;

use candle_core::DType;
use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use half::bf16;

/// What activations are stored in.
pub trait Element: DeviceRepr + CudaDType + Copy + Send + Sync + 'static {
    const DTYPE: DType;
    /// Behind the names of kernels.
    const SUFFIX: &'static str;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
    const SUFFIX: &'static str = "_f32";
}

impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
    const SUFFIX: &'static str = "_bf16";
}

/// An address on the device, of values of type `T`. It does not keep them alive.
#[derive(Debug)]
pub struct Pointer<T> {
    pub address: u64,
    values: PhantomData<T>,
}

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

impl<T> Pointer<T> {
    pub const NULL: Self = Pointer { address: 0, values: PhantomData };

    pub fn new(address: u64) -> Self {
        Pointer { address, values: PhantomData }
    }

    /// The value `elements` further.
    pub fn at(self, elements: usize) -> Self {
        Pointer { address: self.address + (elements * size_of::<T>()) as u64, values: PhantomData }
    }

    /// The same place, said to hold values of another type.
    pub fn cast<U>(self) -> Pointer<U> {
        Pointer { address: self.address, values: PhantomData }
    }
}
