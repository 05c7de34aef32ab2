//! A single file that a command was asked to write: whether it may be written at all, and how.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::inputs::{Identity, Inputs, follow};
use super::{OutputError, WholeFile};

/// A form of file that this program writes, and how one of an earlier run is known.
#[derive(Clone, Copy)]
pub struct Form {
    /// What a message calls it: "a report of mirror eval".
    pub what: &'static str,
    pub is_ours: fn(&Path) -> io::Result<bool>,
}

/// The files that one command writes, each held against what it reads and against the others.
pub struct OutputFiles<'a> {
    inputs: &'a Inputs,
    overwrite: bool,
    claimed: Vec<(Identity, String)>,
}

impl<'a> OutputFiles<'a> {
    /// With `overwrite`, files that mirror did not write may be replaced, but never an input.
    pub fn new(inputs: &'a Inputs, overwrite: bool) -> Self {
        OutputFiles { inputs, overwrite, claimed: Vec::new() }
    }

    /// Settles where a file goes, and refuses one that must stay as it is. Nothing is written yet.
    pub fn claim(&mut self, flag: &str, path: &Path, form: Form) -> Result<OutputFile, OutputError> {
        self.inputs.refuse(flag, path)?;
        let output = OutputFile::at(flag, path)?;
        if let Place::File(target) = &output.place {
            let identity = Identity::of(target);
            if let Some((_, other)) = self.claimed.iter().find(|(claimed, _)| *claimed == identity) {
                let (flag, other, path) = (flag.to_owned(), other.clone(), path.to_owned());
                return Err(OutputError::Twice { flag, other, path });
            }
            self.claimed.push((identity, flag.to_owned()));
            if !self.overwrite && !may_be_replaced(target, form)? {
                return Err(OutputError::Foreign { path: path.to_owned(), what: form.what });
            }
        }
        Ok(output)
    }
}

/// Whether nothing is lost with the file: it is not there, is empty, or is what this program writes there.
fn may_be_replaced(target: &Path, form: Form) -> Result<bool, OutputError> {
    match fs::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Ok(metadata) if metadata.len() == 0 => Ok(true),
        Ok(_) => (form.is_ours)(target),
        Err(error) => Err(error),
    }
    .map_err(|source| OutputError::Write { path: target.to_owned(), source })
}

/// Where one file goes.
pub struct OutputFile {
    flag: String,
    /// As it was asked for.
    path: PathBuf,
    place: Place,
}

enum Place {
    /// Appears whole. A symbolic link stays, and what it leads to is replaced.
    File(PathBuf),
    /// A pipe, a device, or an open file of the process: written as it comes.
    Stream(PathBuf),
}

impl OutputFile {
    fn at(flag: &str, path: &Path) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Write { path: path.to_owned(), source };
        let metadata = fs::metadata(path);
        if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return Err(OutputError::IsFolder { flag: flag.to_owned(), path: path.to_owned() });
        }
        let place = match metadata {
            Ok(metadata) if !metadata.is_file() => Place::Stream(path.to_owned()),
            _ if is_descriptor(path) => Place::Stream(path.to_owned()),
            _ => Place::File(follow(path).map_err(failed)?),
        };
        Ok(OutputFile { flag: flag.to_owned(), path: path.to_owned(), place })
    }

    /// Whether one can go back in it: not in a pipe.
    pub fn is_seekable(&self) -> bool {
        match &self.place {
            Place::File(_) => true,
            Place::Stream(path) => !is_pipe(path) && !is_descriptor(path),
        }
    }

    /// Once more, where what is read was not known before.
    pub fn check(&self, inputs: &Inputs) -> Result<(), OutputError> {
        inputs.refuse(&self.flag, &self.path)
    }

    pub fn open(&self) -> Result<OutputWriter, OutputError> {
        match &self.place {
            Place::File(target) => Ok(OutputWriter::Whole(WholeFile::beside_as(target, &self.path)?)),
            Place::Stream(path) => {
                // An open file that already has something in it keeps that.
                let mut options = File::options();
                let options = if is_descriptor(path) { options.append(true) } else { options.write(true) };
                let file = options.open(path);
                file.map(OutputWriter::Stream)
                    .map_err(|source| OutputError::Write { path: path.clone(), source })
            }
        }
    }

    /// Writes all of it.
    pub fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        let mut writer = self.open()?;
        let failed = |source| OutputError::Write { path: self.path.clone(), source };
        writer.write_all(bytes).map_err(failed)?;
        writer.finish().map_err(|error| match error {
            OutputError::Write { source, .. } => failed(source),
            error => error,
        })
    }
}

/// Whether a path names an open file of a process: /dev/stdout, /dev/fd/3, /proc/self/fd/3.
fn is_descriptor(path: &Path) -> bool {
    let mut path = path.to_owned();
    // At most three links: /dev/stdout, /proc/self/fd/1, what that leads to.
    for _ in 0..3 {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
        let in_proc = folder.starts_with("/proc") && folder.ends_with("fd");
        if in_proc || folder == Path::new("/dev/fd") {
            return true;
        }
        match fs::read_link(&path) {
            Ok(to) => path = folder.join(to),
            Err(_) => return false,
        }
    }
    false
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_socket())
}

#[cfg(not(unix))]
fn is_pipe(_path: &Path) -> bool {
    false
}

/// An output that is being written.
pub enum OutputWriter {
    Whole(WholeFile),
    Stream(File),
}

impl OutputWriter {
    /// All is written: a file gets its name.
    pub fn finish(self) -> Result<(), OutputError> {
        match self {
            OutputWriter::Whole(file) => file.persist(),
            OutputWriter::Stream(_) => Ok(()),
        }
    }
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            OutputWriter::Whole(file) => file.write(bytes),
            OutputWriter::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            OutputWriter::Whole(file) => file.flush(),
            OutputWriter::Stream(file) => file.flush(),
        }
    }
}

impl Seek for OutputWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            OutputWriter::Whole(file) => file.seek(to),
            OutputWriter::Stream(file) => file.seek(to),
        }
    }
}
