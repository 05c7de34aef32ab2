//! The device that tests run on, buffers on it, and the program run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaModule, CudaSlice, CudaStream, DeviceRepr};
use mirror::random::Key;
use serde_json::Value;

use crate::workspace::Workspace;

/// The software device's folder, if that is what runs; else a note that the test is for it alone.
pub fn software() -> Option<PathBuf> {
    let folder = std::env::var_os("MIRROR_SOFTWARE_CUDA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: this is about the software device");
    }
    folder
}

/// A stream of its own on the first device.
pub fn stream() -> Arc<CudaStream> {
    CudaContext::new(0).unwrap().new_stream().unwrap()
}

/// A file of tests/software_cuda/samples, compiled to PTX.
pub fn sample(stream: &CudaStream, name: &str) -> Arc<CudaModule> {
    let folder = std::env::var_os("MIRROR_CUDA_SAMPLES").expect("run scripts/test-cuda");
    let ptx = std::fs::read_to_string(Path::new(&folder).join(format!("{name}.ptx"))).unwrap();
    stream.context().load_module(ptx.into()).unwrap()
}

/// A number format of the device.
pub trait Number: DeviceRepr + Copy + Unpin {
    /// What kernels' names end in.
    const SUFFIX: &str;
    /// The largest error that a kernel may make, as a share of the largest value.
    const TOLERANCE: f64;
    fn from_f32(value: f32) -> Self;
    fn to_f64(self) -> f64;
}

impl Number for f32 {
    const SUFFIX: &str = "f32";
    const TOLERANCE: f64 = 1e-5;
    fn from_f32(value: f32) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Number for half::bf16 {
    const SUFFIX: &str = "bf16";
    const TOLERANCE: f64 = 2e-2;
    fn from_f32(value: f32) -> Self {
        half::bf16::from_f32(value)
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

/// Normal values as the format holds them, on the host in f64 and on the device.
pub fn normals<T: Number>(stream: &Arc<CudaStream>, key: Key, len: usize) -> (Vec<f64>, CudaSlice<T>) {
    let values: Vec<T> = (0..len as u32).map(|i| T::from_f32(key.normal(i) as f32)).collect();
    (values.iter().map(|value| value.to_f64()).collect(), stream.clone_htod(&values).unwrap())
}

pub fn download<T: Number>(stream: &Arc<CudaStream>, values: &CudaSlice<T>) -> Vec<f64> {
    stream.clone_dtoh(values).unwrap().into_iter().map(Number::to_f64).collect()
}

/// The largest difference, as a share of the largest expected value.
pub fn error(ours: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(ours.len(), expected.len());
    let largest = expected.iter().fold(0f64, |most, x| most.max(x.abs()));
    let off = ours.iter().zip(expected).fold(0f64, |most, (x, y)| {
        assert!(x.is_finite(), "{x} for {y}");
        most.max((x - y).abs())
    });
    off / largest
}

/// The program on the device, in a folder of its own.
pub struct OnDevice<'a> {
    command: Command,
    workspace: &'a Workspace,
}

impl<'a> OnDevice<'a> {
    pub fn new(workspace: &'a Workspace, arguments: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        command.args(arguments.split_whitespace()).current_dir(workspace.path("")).env("HF_HUB_OFFLINE", "1");
        OnDevice { command, workspace }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn command(self) -> Command {
        self.command
    }

    /// Runs to success; gives stdout and stderr.
    pub fn run(mut self) -> [String; 2] {
        let output = self.command.output().unwrap();
        let [stdout, stderr] = texts(&output);
        assert!(output.status.success(), "{:?}: {}\n{stdout}{stderr}", self.command, output.status);
        [stdout, stderr]
    }

    /// Runs to failure with exit code 1; gives stderr.
    pub fn fail(mut self) -> String {
        let output = self.command.output().unwrap();
        let [_, stderr] = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{:?}\n{stderr}", self.command);
        stderr
    }

    /// Runs to success on the software device; gives what it counted.
    pub fn counts(self) -> Value {
        let file = self.workspace.path("counts.json");
        let name = file.to_str().unwrap().to_owned();
        self.env("SWCUDA_COUNTS", &name).run();
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }
}

fn texts(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
