//! A folder to run the program in, and what is asserted of every run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

/// Hides GPUs from the CUDA driver, so that `--device auto` is the CPU on every machine.
pub const NO_GPU: (&str, &str) = ("CUDA_VISIBLE_DEVICES", "");

/// An empty folder, and another one for the program's temporary files.
pub struct Workspace {
    folder: TempDir,
    temporary: TempDir,
}

/// What one successful run said.
pub struct Said {
    pub stdout: String,
    pub stderr: String,
}

impl Workspace {
    pub fn new() -> Self {
        Workspace { folder: tempfile::tempdir().unwrap(), temporary: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// The lines of metrics.jsonl.
    pub fn metrics(&self, folder: &str) -> Vec<Value> {
        let text = String::from_utf8(self.read(&format!("{folder}/metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `mirror` with arguments separated by blanks, in this folder. It never asks the network, and computes on the CPU.
    pub fn mirror(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("TMPDIR", self.temporary.path())
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.temporary.path())
            .env(NO_GPU.0, NO_GPU.1)
            .timeout(std::time::Duration::from_secs(600));
        command
    }

    /// Runs to success.
    pub fn run(&self, arguments: &str) -> Said {
        self.run_with(arguments, "")
    }

    /// Runs to success with text on standard input. Its temporary files are gone afterwards.
    pub fn run_with(&self, arguments: &str, stdin: &str) -> Said {
        let assert = self.mirror(arguments).write_stdin(stdin).assert().success();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said =
            Said { stdout: text(&assert.get_output().stdout), stderr: text(&assert.get_output().stderr) };
        assert_eq!(contents(self.temporary.path()), BTreeMap::new());
        said
    }

    /// Runs to a refusal: exit code 2.
    pub fn refuses_usage(&self, arguments: &str, says: &[&str]) {
        self.refuses(2, arguments, says);
    }

    /// Runs to a failure: exit code 1.
    pub fn fails(&self, arguments: &str, says: &[&str]) {
        self.refuses(1, arguments, says);
    }

    /// One sentence on stderr that names what it should; every file is as before, and none is new.
    fn refuses(&self, code: i32, arguments: &str, says: &[&str]) {
        let before = contents(self.folder.path());
        let output = self.mirror(arguments).write_stdin("").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let told = format!("mirror {arguments}\n{stderr}");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(output.stdout.is_empty(), "{told}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{told}");
        for part in says {
            assert!(predicate::str::contains(*part).eval(&stderr), "no {part:?} in: {told}");
        }
        // A cause that is repeated is not one clear sentence.
        assert!(stderr.matches("(os error").count() < 2, "{told}");
        assert!(!stderr.contains(".writing-"), "a temporary file's name: {told}");
        assert_eq!(contents(self.folder.path()), before, "{told}");
        assert_eq!(contents(self.temporary.path()), BTreeMap::new(), "{told}");
    }
}

/// All files and folders under a folder, the files with their bytes.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// The array of a .npy file: rows and columns of f32.
pub fn npy(bytes: &[u8]) -> Vec<Vec<f32>> {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(text.contains("'descr': '<f4'") && text.contains("'fortran_order': False"), "{text}");
    assert!((10 + header).is_multiple_of(64) && text.ends_with('\n'));
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let shape: Vec<usize> =
        shape.split(',').filter(|s| !s.trim().is_empty()).map(|s| s.trim().parse().unwrap()).collect();
    let values: Vec<f32> =
        bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values.len(), shape[0] * shape[1]);
    values.chunks(shape[1]).map(<[f32]>::to_vec).collect()
}

/// The rows of a .jsonl file.
pub fn jsonl(text: &str) -> Vec<Vec<f32>> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The largest difference between two arrays of the same shape.
pub fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let rows = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    rows.fold(0.0, |most, (a, b)| {
        assert!(a.is_finite() && b.is_finite());
        most.max((a - b).abs())
    })
}
