//! One file's content into the cache: continued where an earlier attempt broke off, checked for
//! length and SHA-256, and only then filed under its final name.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::{RepoCache, create_parent};
use super::client::{Client, Content, Metadata};
use super::{HubError, HubId, Progress};
use crate::output::sums::sha256_of;

pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub cache: &'a RepoCache,
    pub id: &'a HubId,
    pub file: &'a str,
    pub metadata: &'a Metadata,
}

/// Why one attempt did not reach the end of the file.
struct Break {
    got: u64,
    reason: String,
}

/// Attempts that bring next to nothing before the download is given up.
const ATTEMPTS: u32 = 4;
/// Bytes that make an attempt a success, after which the count starts again.
const PROGRESS: u64 = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const BUFFER: usize = 1 << 17;

impl Download<'_> {
    /// Brings the blob of this file into the cache, unless it is there.
    pub(super) fn run(&self, progress: &mut dyn Progress) -> Result<(), HubError> {
        let blob = self.cache.blob(&self.metadata.etag);
        create_parent(&blob)?;
        if self.is_complete(&blob) {
            return Ok(());
        }
        let Some(_lock) = self.cache.lock(&self.metadata.etag) else {
            return self.run_alone(&blob, progress);
        };
        // Another process may have brought it while this one waited.
        if self.is_complete(&blob) {
            return Ok(());
        }
        let partial = PathBuf::from(format!("{}.incomplete", blob.display()));
        self.complete(&partial, progress)?;
        self.check_content(&partial)?;
        fs::rename(&partial, &blob).map_err(|source| HubError::Cache { path: blob, source })?;
        progress.finish();
        Ok(())
    }

    /// Without a lock, another process may be writing the common partial file, so this one has a file of its own,
    /// which nobody continues.
    fn run_alone(&self, blob: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
        let failed = |source| HubError::Cache { path: blob.to_path_buf(), source };
        let folder = blob.parent().unwrap_or(Path::new("."));
        let partial = tempfile::Builder::new().suffix(".incomplete").tempfile_in(folder).map_err(failed)?;
        self.complete(partial.path(), progress)?;
        self.check_content(partial.path())?;
        let file = partial.persist(blob).map_err(|error| failed(error.error))?;
        // A temporary file is its owner's alone; a cache may be shared.
        share(&file).map_err(failed)?;
        progress.finish();
        Ok(())
    }

    fn is_complete(&self, blob: &Path) -> bool {
        blob.metadata().is_ok_and(|on_disk| self.metadata.size.is_none_or(|size| size == on_disk.len()))
    }

    /// Attempts until the partial file has its full length.
    fn complete(&self, partial: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
        let failed = |source| HubError::Cache { path: partial.to_path_buf(), source };
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(partial);
        let file = file.as_mut().map_err(|error| failed(io::Error::new(error.kind(), error.to_string())))?;
        self.check_space(partial, file.metadata().map_err(failed)?.len())?;
        let mut fruitless = 0;
        loop {
            let before = file.seek(SeekFrom::End(0)).map_err(failed)?;
            let Err(Break { got, reason }) = self.attempt(file, partial, before, progress)? else {
                return file.sync_all().map_err(failed);
            };
            fruitless = if got >= before.saturating_add(PROGRESS) { 0 } else { fruitless + 1 };
            if fruitless == ATTEMPTS {
                let (id, expected) = (self.id.to_string(), self.metadata.size);
                return Err(HubError::Interrupted { id, file: self.file.to_owned(), expected, got, reason });
            }
            std::thread::sleep(FIRST_PAUSE * 2u32.pow(fruitless));
        }
    }

    fn check_space(&self, partial: &Path, have: u64) -> Result<(), HubError> {
        let (Some(size), Some(free)) = (self.metadata.size, partial.parent().and_then(free_space)) else {
            return Ok(());
        };
        let needed = size.saturating_sub(have);
        if needed <= free {
            return Ok(());
        }
        if have == 0 {
            let _ = fs::remove_file(partial);
        }
        let path = partial.parent().unwrap_or(partial).to_path_buf();
        Err(HubError::NoSpace { id: self.id.to_string(), file: self.file.to_owned(), needed, free, path })
    }

    /// One request: appends what it brings to the `have` bytes that are there.
    fn attempt(
        &self,
        file: &mut File,
        partial: &Path,
        have: u64,
        progress: &mut dyn Progress,
    ) -> Result<Result<(), Break>, HubError> {
        let size = self.metadata.size;
        let have = if size.is_some_and(|size| have > size) { 0 } else { have };
        if have > 0 && size == Some(have) {
            return Ok(Ok(()));
        }
        let (start, total, body) = match self.client.content(self.file, &self.metadata.url, have)? {
            Content::From { start, total, body } => (start, total, body),
            // What is there is the beginning of something else.
            Content::OutOfRange => match self.client.content(self.file, &self.metadata.url, 0)? {
                Content::From { start, total, body } => (start, total, body),
                Content::OutOfRange => return Ok(Err(Break { got: 0, reason: "no such range".to_owned() })),
            },
        };
        if let (Some(expected), Some(got)) = (size, total)
            && expected != got
        {
            return Err(self.wrong_length(partial, expected, got));
        }
        let failed = |source| HubError::Cache { path: partial.to_path_buf(), source };
        file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start))).map_err(failed)?;
        let total = size.or(total);
        progress.start(self.file, total, start);
        self.append(file, partial, start, total, &mut body.into_reader(), progress)
    }

    fn append(
        &self,
        file: &mut File,
        partial: &Path,
        start: u64,
        total: Option<u64>,
        body: &mut dyn Read,
        progress: &mut dyn Progress,
    ) -> Result<Result<(), Break>, HubError> {
        let mut buffer = vec![0; BUFFER];
        let mut got = start;
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(Break { got, reason: error.to_string() })),
            };
            got += count as u64;
            if let Some(expected) = total.filter(|total| got > *total) {
                return Err(self.wrong_length(partial, expected, got));
            }
            let written = file.write_all(&buffer[..count]);
            written.map_err(|source| HubError::Cache { path: partial.to_path_buf(), source })?;
            progress.advance(count as u64);
        }
        match total {
            Some(total) if got < total => {
                Ok(Err(Break { got, reason: "the connection was closed".to_owned() }))
            }
            _ => Ok(Ok(())),
        }
    }

    /// The ETag of a file in large-file storage is its SHA-256.
    fn check_content(&self, partial: &Path) -> Result<(), HubError> {
        let expected = self.metadata.etag.to_ascii_lowercase();
        if expected.len() != 64 || !expected.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        let got = sha256_of(partial);
        let got = got.map_err(|source| HubError::Cache { path: partial.to_path_buf(), source })?;
        if got == expected {
            return Ok(());
        }
        let _ = fs::remove_file(partial);
        Err(HubError::WrongContent { id: self.id.to_string(), file: self.file.to_owned(), expected, got })
    }

    fn wrong_length(&self, partial: &Path, expected: u64, got: u64) -> HubError {
        let _ = fs::remove_file(partial);
        HubError::WrongLength { id: self.id.to_string(), file: self.file.to_owned(), expected, got }
    }
}

/// Bytes that can be written to the disk of a folder, if the system reports them.
#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok().filter(|disk| disk.f_blocks > 0)?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn share(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_file: &File) -> io::Result<()> {
    Ok(())
}
