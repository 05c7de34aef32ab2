//! `--log-dir`: the lines of metrics.jsonl once more, as the event files that TensorBoard draws.
//!
//! Each part of a run has a file of its own. It begins with a session's start, upon which readers drop what earlier
//! files say of that step and of later ones: so nothing is drawn twice after a kill, though no file is ever changed.
//! The step is the checkpoint's; what the run had logged of it by then is written again.

mod format;
mod scalars;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use self::format::Event;
use crate::output::NewFolders;

/// What event files are known by, to TensorBoard as well.
const MARK: &str = "tfevents";
/// What event files are called; the second in which they were begun follows.
const PREFIX: &str = "events.out.tfevents.";
/// Who is named as their writer.
const WRITER: &str = "mirror";

/// The longest line of metrics.jsonl that is read back, in bytes; ours have some hundreds.
const LONGEST_LINE: u64 = 1 << 16;

/// Why a log cannot be kept.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum EventLogError {
    #[error("--log-dir {0} is a file; it takes a folder")]
    NotAFolder(PathBuf),
    #[error(
        "--log-dir {folder} has {file}, the log of another run; give each run a folder of its own, such as \
         {}{}",
        next.display(), if *ours { ", or let this run take that one's place with --overwrite" } else { "" }
    )]
    Taken { folder: PathBuf, file: String, next: PathBuf, ours: bool },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write to {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// Refuses a folder for a new run's log that is none, or in which another run's is: one drawing would be made of both.
/// With `overwrite` a log of this program may be there, whose place the new one takes.
///
/// # Errors
/// [`EventLogError::NotAFolder`], [`EventLogError::Taken`]; a folder that cannot be read.
pub fn check(folder: &Path, overwrite: bool) -> Result<(), EventLogError> {
    for path in logs(folder)? {
        let ours = is_ours(&path).map_err(|source| EventLogError::Read { path: path.clone(), source })?;
        if !ours || !overwrite {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (folder, next) = (folder.to_owned(), free_below(folder));
            return Err(EventLogError::Taken { folder, file, next, ours });
        }
    }
    Ok(())
}

/// The event files of a folder, in the order in which they are read.
fn logs(folder: &Path) -> Result<Vec<PathBuf>, EventLogError> {
    if folder.exists() && !folder.is_dir() {
        return Err(EventLogError::NotAFolder(folder.to_owned()));
    }
    let failed = |source| EventLogError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains(MARK)) && path.is_file() {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// Whether this program wrote an event file. An empty one says nothing of anybody.
fn is_ours(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let is_empty = file.metadata()?.len() == 0;
    let first = Event::read_first(&mut file)?;
    Ok(is_empty
        || first.and_then(|event| event.source_metadata).is_some_and(|source| source.writer == WRITER))
}

/// A folder below this one that is not there yet.
fn free_below(folder: &Path) -> PathBuf {
    let below = (2..u32::MAX).map(|number| folder.join(format!("run-{number}")));
    below.into_iter().find(|path| !path.exists()).unwrap_or_else(|| folder.join("run"))
}

/// The open event file of a run. Events are written as they come, each in one piece, so that a killed run's file is
/// whole but perhaps for its last event, which readers pass over.
///
/// Dropped before it holds a step of training, it is removed, with the folders that were made for it: a run that fails
/// early leaves nothing behind.
pub struct EventLog {
    path: PathBuf,
    file: File,
    kept: bool,
    _new: NewFolders,
}

impl EventLog {
    /// Begins a file in `folder` for the steps from `step` on, of which `metrics`, the run's metrics.jsonl so far, may
    /// have lines already. Where the folder has no log of earlier steps, it is made from those lines.
    ///
    /// # Errors
    /// A folder that is none; files that cannot be read or written.
    pub fn open(folder: &Path, metrics: &Path, step: u64) -> Result<Self, EventLogError> {
        let earlier = logs(folder)?;
        let first = if earlier.is_empty() { 0 } else { step };
        let failed = |source| EventLogError::Write { path: folder.to_owned(), source };
        let new = NewFolders::above(&folder.join(PREFIX));
        fs::create_dir_all(folder).map_err(failed)?;
        let (path, file) = create(folder, &earlier).map_err(failed)?;
        let mut log = EventLog { path, file, kept: false, _new: new };
        let now = wall_time();
        log.append(&Event::first(now, WRITER))?;
        log.append(&Event::start(now, first))?;
        log.repeat(metrics, first)?;
        Ok(log)
    }

    /// Writes a line of metrics.jsonl.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, line: &impl Serialize) -> Result<(), EventLogError> {
        match serde_json::to_value(line) {
            Ok(Value::Object(line)) => self.write_line(&line),
            // Nothing of it could be drawn.
            _ => Ok(()),
        }
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// It cannot be.
    pub fn sync(&self) -> Result<(), EventLogError> {
        self.file.sync_all().map_err(|source| self.failed(source))
    }

    fn write_line(&mut self, line: &Map<String, Value>) -> Result<(), EventLogError> {
        let Some((step, scalars)) = scalars::of(line).filter(|(_, scalars)| !scalars.is_empty()) else {
            return Ok(());
        };
        self.kept |= scalars::is_step(line);
        self.append(&Event::scalars(wall_time(), step, scalars))
    }

    /// Writes the lines again that a file has of steps from `first` on.
    fn repeat(&mut self, metrics: &Path, first: u64) -> Result<(), EventLogError> {
        let failed = |source| EventLogError::Read { path: metrics.to_owned(), source };
        let file = match File::open(metrics) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed(source)),
        };
        let (mut reader, mut text) = (BufReader::new(file), Vec::new());
        while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text).map_err(failed)? > 0 {
            if let Ok(Value::Object(line)) = serde_json::from_slice(&text)
                && line.get("step").and_then(Value::as_u64).is_some_and(|step| step >= first)
            {
                self.write_line(&line)?;
            }
            text.clear();
        }
        Ok(())
    }

    fn append(&mut self, event: &Event) -> Result<(), EventLogError> {
        self.file.write_all(&event.record()).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> EventLogError {
        EventLogError::Write { path: self.path.clone(), source }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: the run's own error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a file that is read after all earlier ones, whatever the clock says: readers go by the names.
fn create(folder: &Path, earlier: &[PathBuf]) -> io::Result<(PathBuf, File)> {
    let begun = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
        name.split('.').next()?.parse::<u64>().ok()
    };
    let newest = earlier.iter().filter_map(begun).max();
    let mut second = newest.map_or(0, |newest| newest.saturating_add(1)).max(wall_time() as u64);
    loop {
        let path = folder.join(format!("{PREFIX}{second:010}.{WRITER}.{}.0", std::process::id()));
        match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => second += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
