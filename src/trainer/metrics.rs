//! metrics.jsonl: a line for each step and each score.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::event_log::{EventLog, EventLogError};

/// The log's name in an output folder.
pub const METRICS: &str = "metrics.jsonl";

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum MetricsError {
    #[error("cannot write to {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Events(#[from] EventLogError),
}

/// The open log of a run. Lines are flushed as they are written, so that they can be followed.
pub struct Metrics {
    path: PathBuf,
    file: BufWriter<File>,
    /// The same lines for TensorBoard.
    events: Option<EventLog>,
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
            Ok(file) => Ok(Metrics { path, file: BufWriter::new(file), events: None }),
            Err(source) => Err(MetricsError::Write { path, source }),
        }
    }

    /// The same log, which from now on goes to event files in `folder` too, if there is one: of steps from `step` on,
    /// with what the log has of these already.
    ///
    /// # Errors
    /// As [`EventLog::open`].
    pub fn with_events(mut self, folder: Option<&Path>, step: u64) -> Result<Self, MetricsError> {
        self.events = folder.map(|folder| EventLog::open(folder, &self.path, step)).transpose()?;
        Ok(self)
    }

    /// Appends a record as one line of JSON.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
        let mut line = || -> io::Result<()> {
            serde_json::to_writer(&mut self.file, record)?;
            self.file.write_all(b"\n")?;
            self.file.flush()
        };
        line().map_err(|source| MetricsError::Write { path: self.path.clone(), source })?;
        Ok(self.events.as_mut().map_or(Ok(()), |events| events.write(record))?)
    }

    /// Makes what was written durable, and tells how many bytes that is.
    pub fn sync(&mut self) -> Result<u64, MetricsError> {
        let mut sync = || -> io::Result<u64> {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            Ok(self.file.get_ref().metadata()?.len())
        };
        self.events.as_ref().map_or(Ok(()), EventLog::sync)?;
        sync().map_err(|source| MetricsError::Write { path: self.path.clone(), source })
    }
}
