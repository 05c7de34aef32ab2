//! A temporary file without a name: it is gone when the program ends, however it ends.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::ReadingError;

const BUFFER: usize = 256 << 10;

/// Where large temporary files go: TMPDIR, else /var/tmp, which unlike /tmp is a disk everywhere.
pub fn folder() -> PathBuf {
    let large = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR") {
        None if cfg!(unix) && large.is_dir() => large.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// Bytes that are written once, and then read by position.
pub struct Spool {
    file: BufWriter<File>,
    folder: PathBuf,
    length: u64,
}

impl Spool {
    pub fn new() -> Result<Self, ReadingError> {
        let folder = folder();
        match tempfile::tempfile_in(&folder) {
            Ok(file) => Ok(Spool { file: BufWriter::with_capacity(BUFFER, file), folder, length: 0 }),
            Err(source) => Err(ReadingError::Spool { folder, source }),
        }
    }

    /// Where the file is, though it has no name there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the next bytes will be.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ReadingError> {
        self.length += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(|source| ReadingError::Spool { folder: self.folder.clone(), source })
    }

    /// Takes in all of a reader. An error of the reader is the inner one.
    pub fn take_in(&mut self, reader: &mut impl Read) -> Result<io::Result<()>, ReadingError> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(read) => self.write(&buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// The file, in which all that was written is.
    pub fn finish(self) -> Result<File, ReadingError> {
        let folder = self.folder;
        let finished = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        finished.map_err(|source| ReadingError::Spool { folder, source })
    }
}
