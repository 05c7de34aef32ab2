//! metrics.jsonl: a line for each step and each score.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("cannot write to {path}: {source}")]
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
    /// Starts the log anew in the folder.
    pub fn create(folder: &Path) -> Result<Self, MetricsError> {
        let path = folder.join("metrics.jsonl");
        match File::create(&path) {
            Ok(file) => Ok(Metrics { path, file: BufWriter::new(file) }),
            Err(source) => Err(MetricsError { path, source }),
        }
    }

    pub fn write(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
        let mut line = || -> io::Result<()> {
            serde_json::to_writer(&mut self.file, record)?;
            self.file.write_all(b"\n")?;
            self.file.flush()
        };
        line().map_err(|source| MetricsError { path: self.path.clone(), source })
    }

    pub fn finish(self) -> Result<(), MetricsError> {
        let Metrics { path, file } = self;
        let sync = || file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all();
        sync().map_err(|source| MetricsError { path, source })
    }
}
