//! What a pass needs of a device: its stream, the kernels that the program carries, memory, and products.
//!
//! Everything is done on the stream of candle's device, in order, so that buffers may be freed as soon as the last
//! operation on them is asked for.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, result,
};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Result, Storage, Tensor};

pub use super::pointer::{Element, Pointer};
use super::products::Products;

/// A kernel file compiled to PTX by build.rs.
mod ptx {
    include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
}

const MODULES: [&str; 6] =
    [ptx::ACTIVATION, ptx::ATTENTION, ptx::EMBEDDING, ptx::FLAT, ptx::LAYER_NORM, ptx::POOLING];

/// Memory of the device. It is given back when the buffer is dropped, after everything that was asked for before.
#[derive(Debug)]
pub struct Buffer<T: DeviceRepr>(CudaSlice<T>);

impl<T: DeviceRepr> Buffer<T> {
    pub fn pointer(&self) -> Pointer<T> {
        let (address, _) = self.0.device_ptr(self.0.stream());
        Pointer::new(address)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    Address(u64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

impl Argument {
    fn place(&mut self) -> *mut c_void {
        match self {
            Argument::Address(x) | Argument::U64(x) => std::ptr::from_mut(x).cast(),
            Argument::U32(x) => std::ptr::from_mut(x).cast(),
            Argument::F32(x) => std::ptr::from_mut(x).cast(),
            Argument::F64(x) => std::ptr::from_mut(x).cast(),
        }
    }
}

impl<T> From<Pointer<T>> for Argument {
    fn from(pointer: Pointer<T>) -> Self {
        Argument::Address(pointer.address)
    }
}

macro_rules! argument_from {
    ($($kind:ident $number:ty),+) => {
        $(impl From<$number> for Argument {
            fn from(number: $number) -> Self {
                Argument::$kind(number)
            }
        })+
    };
}
argument_from!(U32 u32, U64 u64, F32 f32, F64 f64);

/// Arguments in the order of a kernel's declaration: pointers, and numbers of the declared types.
macro_rules! arguments {
    ($($argument:expr),+ $(,)?) => { [$($crate::backend::cuda::device::Argument::from($argument)),+] };
}
pub(super) use arguments;

/// How a kernel is spread: blocks, and threads of each.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub blocks: (usize, usize, usize),
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: usize,
}

impl Grid {
    /// `blocks` of 256 threads.
    pub fn of(blocks: usize) -> Self {
        Grid { blocks: (blocks, 1, 1), threads: 256, shared: 0 }
    }

    /// Enough blocks for a warp a row.
    pub fn warps(rows: usize) -> Self {
        Grid::of(rows.div_ceil(8))
    }

    /// Enough blocks for one thread an element, up to where a loop over the grid serves as well.
    pub fn over(elements: usize) -> Self {
        Grid::of(elements.div_ceil(256).clamp(1, 4096))
    }

    pub fn by(self, y: usize, z: usize) -> Self {
        Grid { blocks: (self.blocks.0, y, z), ..self }
    }
}

/// A device that is computed on.
#[derive(Debug)]
pub struct Gpu {
    device: CudaDevice,
    pub stream: Arc<CudaStream>,
    /// As [`MODULES`] has them.
    modules: Vec<Arc<CudaModule>>,
    functions: Mutex<HashMap<String, CudaFunction>>,
    pub products: Products,
}

impl Gpu {
    /// That of candle's device, which is prepared when it is first asked for.
    pub fn of(device: &candle_core::Device) -> Result<Arc<Gpu>> {
        static GPUS: OnceLock<Mutex<HashMap<DeviceId, Arc<Gpu>>>> = OnceLock::new();
        let device = device.as_cuda_device()?;
        let mut gpus = GPUS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = gpus.get(&device.id()) {
            return Ok(gpu.clone());
        }
        let gpu = Arc::new(Gpu::new(device)?);
        gpus.insert(device.id(), gpu.clone());
        Ok(gpu)
    }

    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let modules = MODULES.iter().map(|&ptx| stream.context().load_module(ptx.into()).w());
        Ok(Gpu {
            modules: modules.collect::<Result<_>>()?,
            functions: Mutex::default(),
            products: Products::new(&stream)?,
            device: device.clone(),
            stream,
        })
    }

    fn function(&self, name: &str) -> Result<CudaFunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let entry = format!(".entry {name}(");
        let Some(module) = MODULES.iter().position(|ptx| ptx.contains(&entry)) else {
            candle_core::bail!("the program has no kernel called {name}")
        };
        let function = self.modules[module].load_function(name).w()?;
        functions.insert(name.to_owned(), function.clone());
        Ok(function)
    }

    /// Launches a kernel for activations of type `T`.
    pub fn launch<T: Element>(&self, name: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        self.launch_plain(&format!("{name}{}", T::SUFFIX), grid, arguments)
    }

    /// Launches a kernel by its full name. A grid without blocks is none.
    pub fn launch_plain(&self, name: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let (x, y, z) = grid.blocks;
        if x * y * z == 0 {
            return Ok(());
        }
        let function = self.function(name)?;
        let mut arguments = arguments.to_vec();
        let mut places: Vec<*mut c_void> = arguments.iter_mut().map(Argument::place).collect();
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: kernels are this room's own. Callers pass the arguments of the kernel's declaration, with buffers of
        // the sizes that it goes through; `arguments` outlives the call, in which they are copied.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x as u32, y as u32, z as u32),
                (grid.threads, 1, 1),
                grid.shared as u32,
                self.stream.cu_stream(),
                &mut places,
            )
        }
        .w()
    }

    /// Memory whose values are to be written before they are read.
    pub fn buffer<T: DeviceRepr>(&self, len: usize) -> Result<Buffer<T>> {
        // SAFETY: callers write before they read; any bits are a value of the types that are used.
        unsafe { self.stream.alloc(len.max(1)) }.map(Buffer).w()
    }

    pub fn zeros<T: DeviceRepr>(&self, len: usize) -> Result<Buffer<T>> {
        let buffer = self.buffer::<T>(len)?;
        self.clear(buffer.pointer(), buffer.len())?;
        Ok(buffer)
    }

    pub fn clear<T>(&self, place: Pointer<T>, len: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: callers own the memory.
        unsafe { result::memset_d8_async(place.address, 0, len * size_of::<T>(), self.stream.cu_stream()) }
            .w()
    }

    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> Result<Buffer<T>> {
        self.stream.clone_htod(values).map(Buffer).w()
    }

    /// Waits for the device.
    pub fn download<T: DeviceRepr>(&self, buffer: &Buffer<T>) -> Result<Vec<T>> {
        self.stream.clone_dtoh(&buffer.0).w()
    }

    /// The buffer as a tensor of candle's.
    pub fn tensor<T: Element>(&self, buffer: Buffer<T>, shape: impl Into<candle_core::Shape>) -> Tensor {
        let storage = CudaStorage::wrap_cuda_slice(buffer.0, self.device.clone());
        Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
    }
}

/// Where a contiguous tensor of candle's lies. The tensor must live until the last operation on it is asked for.
pub fn pointer<T: Element>(tensor: &Tensor) -> Result<Pointer<T>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cuda(storage), Some((start, _))) => {
            let slice = storage.as_cuda_slice::<T>()?;
            let (address, _) = slice.device_ptr(slice.stream());
            Ok(Pointer::new(address).at(start))
        }
        _ => candle_core::bail!("fused operations need contiguous tensors on the GPU"),
    }
}
