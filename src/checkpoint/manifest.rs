//! manifest.json of a checkpoint: the length and SHA-256 of each of its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::output::sums::{FileSum, hex, sha256_of};
use crate::quote::reason;

/// The manifest's name in a checkpoint's folder.
pub const MANIFEST: &str = "manifest.json";

/// A manifest lists four files; anything larger is not one.
const LARGEST_MANIFEST: u64 = 1 << 16;

const FORMAT: u32 = 1;

/// The files of a checkpoint, with their lengths and sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// By name.
    pub files: BTreeMap<String, FileSum>,
}

impl Manifest {
    /// A manifest of these files.
    pub fn new(files: BTreeMap<String, FileSum>) -> Self {
        Manifest { format: FORMAT, files }
    }

    /// Reads the manifest of a checkpoint; the error says what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(MANIFEST);
        let bytes = read_at_most(&path, LARGEST_MANIFEST).map_err(|e| format!("{MANIFEST}: {e}"))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| format!("{MANIFEST} is damaged: {}", reason(e)))?;
        if manifest.format != FORMAT {
            return Err(format!("{MANIFEST} has the format {}, and {FORMAT} is known", manifest.format));
        }
        Ok(manifest)
    }

    /// Whether a file is what was written; the error says what is wrong with it.
    pub fn verify(&self, folder: &Path, name: &str) -> Result<(), String> {
        let sum = self.files.get(name).ok_or_else(|| format!("{MANIFEST} does not list {name}"))?;
        let path = folder.join(name);
        let found = path.metadata().map_err(|e| format!("{name}: {e}"))?.len();
        if found != sum.bytes {
            return Err(format!("{name} has {found} bytes, and {} were written", sum.bytes));
        }
        if sha256_of(&path).map_err(|e| format!("{name}: {e}"))? != sum.sha256 {
            return Err(format!("{name} is not what was written (its SHA-256 differs)"));
        }
        Ok(())
    }
}

/// A small file's bytes; one that is larger than `most` is an error, and not read.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Takes the SHA-256 of what passes through to a new file.
pub struct SummingFile {
    file: io::BufWriter<File>,
    sum: Sha256,
    bytes: u64,
}

impl SummingFile {
    /// Creates the file at `path`, which must not exist.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = io::BufWriter::with_capacity(1 << 20, File::create_new(path)?);
        Ok(SummingFile { file, sum: Sha256::new(), bytes: 0 })
    }

    /// Makes the file durable and returns its sum.
    pub fn finish(self) -> io::Result<FileSum> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(FileSum { bytes: self.bytes, sha256: hex(&self.sum.finalize()) })
    }
}

impl Write for SummingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
