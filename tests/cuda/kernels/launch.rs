//! Launches of the program's kernels, and what comes of them.

use std::path::Path;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};

use crate::machine::{self, Number};

/// Rows whose sums a block makes, as elements.cuh has it.
pub const STRIPE: usize = 32;

#[derive(Clone, Copy, Debug)]
pub enum Argument {
    Pointer(u64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

pub const NULL: Argument = Argument::Pointer(0);

/// The address of an element.
pub fn pointer<T: DeviceRepr>(values: &CudaSlice<T>, element: usize) -> Argument {
    Argument::Pointer(values.device_ptr(values.stream()).0 + (element * size_of::<T>()) as u64)
}

impl<T: DeviceRepr> From<&CudaSlice<T>> for Argument {
    fn from(values: &CudaSlice<T>) -> Self {
        pointer(values, 0)
    }
}

impl From<Argument> for u64 {
    fn from(argument: Argument) -> u64 {
        match argument {
            Argument::Pointer(address) => address,
            other => panic!("{other:?} is no pointer"),
        }
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

/// Arguments in the order of a kernel's declaration.
macro_rules! arguments {
    ($($argument:expr),+ $(,)?) => { Vec::from([$($crate::kernels::launch::Argument::from($argument)),+]) };
}
pub(super) use arguments;

#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub blocks: (usize, usize, usize),
    pub threads: usize,
    /// Bytes of dynamic shared memory.
    pub shared: usize,
}

impl Grid {
    pub fn of(blocks: usize, threads: usize) -> Self {
        Grid { blocks: (blocks, 1, 1), threads, shared: 0 }
    }

    pub fn by(self, y: usize) -> Self {
        Grid { blocks: (self.blocks.0, y, 1), ..self }
    }
}

/// Launches kernel `name` of `file`.cu.
pub fn launch(stream: &Arc<CudaStream>, file: &str, name: &str, grid: Grid, arguments: &[Argument]) {
    let folder = std::env::var_os("MIRROR_CUDA_KERNELS").expect("run scripts/test-cuda");
    let ptx = std::fs::read_to_string(Path::new(&folder).join(format!("{file}.ptx"))).unwrap();
    let function = stream.context().load_module(ptx.into()).unwrap().load_function(name).unwrap();
    let mut call = stream.launch_builder(&function);
    for argument in arguments {
        match argument {
            Argument::Pointer(x) | Argument::U64(x) => call.arg(x),
            Argument::U32(x) => call.arg(x),
            Argument::F32(x) => call.arg(x),
            Argument::F64(x) => call.arg(x),
        };
    }
    let (x, y, z) = grid.blocks;
    let config = LaunchConfig {
        grid_dim: (x as u32, y as u32, z as u32),
        block_dim: (grid.threads as u32, 1, 1),
        shared_mem_bytes: grid.shared as u32,
    };
    // SAFETY: tests pass the arguments of the kernel's declaration, with buffers of the sizes that it goes through.
    unsafe { call.launch(config) }.unwrap();
}

/// Launches a kernel for activations of type `T`.
pub fn launch_of<T: Number>(
    stream: &Arc<CudaStream>,
    file: &str,
    name: &str,
    grid: Grid,
    arguments: &[Argument],
) {
    launch(stream, file, &format!("{name}_{}", T::SUFFIX), grid, arguments);
}

/// A buffer whose every value must be written: until then they are NaN.
pub fn unwritten<T: Number>(stream: &Arc<CudaStream>, len: usize) -> CudaSlice<T> {
    stream.clone_htod(&vec![T::from_f32(f32::NAN); len]).unwrap()
}

/// Fails where results in format `T` are further from what is expected than they may be.
pub fn check<T: Number>(what: &str, ours: &[f64], expected: &[f64]) {
    check_beside::<T>(what, ours, expected, 0.0);
}

/// As [`check`], for values that come of larger ones: `terms` is how large these are.
pub fn check_beside<T: Number>(what: &str, ours: &[f64], expected: &[f64], terms: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(terms, |most, x| most.max(x.abs()));
    for (place, (x, y)) in ours.iter().zip(expected).enumerate() {
        let off = (x - y).abs();
        assert!(off <= T::TOLERANCE * largest, "{what}, {} at {place}: {x} for {y}, of {largest}", T::SUFFIX);
    }
}

/// Fails where results differ by a bit.
pub fn check_bits(what: &str, ours: &[f64], expected: &[f64]) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    for (place, (x, y)) in ours.iter().zip(expected).enumerate() {
        assert!(x == y, "{what} at {place}: {x} for {y}");
    }
}

pub fn values<T: Number>(stream: &Arc<CudaStream>, there: &CudaSlice<T>) -> Vec<f64> {
    machine::download(stream, there)
}
