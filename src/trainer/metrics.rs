//! metrics.jsonl: a line for each step and each score.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

/// The log's name in an output folder.
pub const METRICS: &str = "metrics.jsonl";

#[derive(Debug, Error)]
#[error("cannot write to {path}: {source}")]
#[allow(missing_docs, reason = "the messages say what each is")]
pub struct MetricsError {
    path: PathBuf,
    source: io::Error,
}

/// The open log of a run. Lines are flushed as they are written, so that they can be followed.
pub struct Metrics {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Metrics {
    /// Starts the log in the folder, or goes on with the one there after its first `bytes` bytes: what
    /// follows is of steps that are made again. A log that is shorter by now is gone on with as it is.
    pub fn open(folder: &Path, bytes: u64) -> Result<Self, MetricsError> {
        let path = folder.join(METRICS);
        let open = || -> io::Result<File> {
            let mut options = File::options();
            let mut file = options.create(true).truncate(false).read(true).write(true).open(&path)?;
            file.set_len(file.metadata()?.len().min(bytes))?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Metrics { path, file: BufWriter::new(file) }),
            Err(source) => Err(MetricsError { path, source }),
        }
    }

    /// Appends a record as one line of JSON.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
        let mut line = || -> io::Result<()> {
            serde_json::to_writer(&mut self.file, record)?;
            self.file.write_all(b"\n")?;
            self.file.flush()
        };
        line().map_err(|source| MetricsError { path: self.path.clone(), source })
    }

    /// Makes what was written durable, and tells how many bytes that is.
    pub fn sync(&mut self) -> Result<u64, MetricsError> {
        let mut sync = || -> io::Result<u64> {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            Ok(self.file.get_ref().metadata()?.len())
        };
        sync().map_err(|source| MetricsError { path: self.path.clone(), source })
    }
}
