//! A lock on a folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::OutputError;

/// The file that is locked.
pub(super) const NAME: &str = ".mirror.lock";

/// The operating system's lock on a file in the folder: it dies with its process, however that ends.
pub(crate) struct FolderLock {
    path: PathBuf,
    file: File,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, OutputError> {
        let path = folder.join(NAME);
        let failed = |source| OutputError::Write { path: folder.to_owned(), source };
        loop {
            let mut options = File::options();
            let file =
                options.create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(OutputError::InUse(folder.to_owned())),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Who held it before may have removed the file between our opening and locking it.
            if is_at(&file, &path) {
                return Ok(FolderLock { path, file });
            }
        }
    }
}

impl FolderLock {
    /// Whether the folder is still the one that was locked.
    pub(super) fn is_held(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Lets others in.
    pub(super) fn release(&self) {
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether an open file is the one that its path leads to.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if identity(&a) == identity(&b))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
