//! A file that appears whole: written under a temporary name beside its place, then synced and renamed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::interrupt::HalfWritten;

use super::{OutputError, TEMPORARY, set_readable, sync_folder};

/// A file to be filled. Dropped before [`WholeFile::persist`], it leaves nothing, as it does where a signal ends the
/// process.
pub struct WholeFile {
    file: NamedTempFile,
    target: PathBuf,
    /// What messages call it.
    shown: PathBuf,
    half_written: HalfWritten,
}

impl WholeFile {
    /// Makes room for what will be at `target`; what is there now stays until then.
    pub fn beside(target: &Path) -> Result<Self, OutputError> {
        Self::beside_as(target, target)
    }

    /// As [`WholeFile::beside`], of a file that messages call by the link that leads to it.
    pub(super) fn beside_as(target: &Path, shown: &Path) -> Result<Self, OutputError> {
        let create = || tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder(target));
        let (file, half_written) = HalfWritten::create(create, NamedTempFile::path)
            .map_err(|source| OutputError::Write { path: shown.to_owned(), source })?;
        Ok(WholeFile { file, target: target.to_owned(), shown: shown.to_owned(), half_written })
    }

    /// Puts it into its place, for good.
    pub fn persist(self) -> Result<(), OutputError> {
        let failed = |source| OutputError::Write { path: self.shown.clone(), source };
        set_readable(self.file.as_file()).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist(&self.target).map_err(|e| failed(e.error))?;
        drop(self.half_written);
        sync_folder(folder(&self.target)).map_err(failed)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn folder(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file whole or not at all, and for good.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    write_whole_with(path, |file| file.write_all(bytes))
}

/// A value as files of this program have it: pretty JSON that ends its line.
pub fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// As [`write_whole`], of a value as [`json`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), OutputError> {
    write_whole_with(path, |file| file.write_all(&json(value)?))
}

/// As [`write_whole`], of what `fill` writes.
pub fn write_whole_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), OutputError> {
    let mut whole = WholeFile::beside(path)?;
    fill(whole.file.as_file_mut()).map_err(|source| OutputError::Write { path: path.to_owned(), source })?;
    whole.persist()
}
