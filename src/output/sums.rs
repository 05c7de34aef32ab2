//! The length and SHA-256 of a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file's length and SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// The length.
    pub bytes: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

impl FileSum {
    /// Those of the file at `path`, which is read whole.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(FileSum { bytes: path.metadata()?.len(), sha256: sha256_of(path)? })
    }

    /// Whether a regular file has this length and sum. One of another length is not read.
    pub fn is_of(&self, path: &Path) -> bool {
        let same_length = path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == self.bytes);
        same_length && sha256_of(path).is_ok_and(|sum| sum == self.sha256)
    }
}

/// In lower case, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file's bytes, read in a fixed buffer.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&sum.finalize())),
            read => sum.update(&buffer[..read]),
        }
    }
}
