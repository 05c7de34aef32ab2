//! The folder that a run writes: claimed before work starts, locked while it goes on, filled without
//! half-written files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

mod lock;
mod staged;
mod whole;

pub(crate) use lock::FolderLock;
pub use staged::StagedFolder;
pub use whole::{WholeFile, write_whole, write_whole_with};

#[derive(Debug, Error)]
pub enum OutputError {
    #[error("{0} is not empty; choose another --output, or write into it with --overwrite")]
    NotEmpty(PathBuf),
    #[error("{0} is a file; --output takes a folder")]
    NotAFolder(PathBuf),
    #[error("{0} is in use by another run of mirror; wait for it to end, or choose another --output")]
    InUse(PathBuf),
    #[error("cannot write to {path}: {}", cause(source))]
    Write { path: PathBuf, source: io::Error },
}

/// What went wrong, without the temporary file's name that tempfile adds, which is no business of a user's.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path \"").next().unwrap_or(&text).to_owned()
}

/// What temporary files and folders are called, so that what a killed run left of them is known as such.
pub const TEMPORARY: &str = ".writing-";

/// A folder that this run, and no other, writes to. Dropped before [`OutputFolder::keep`], it removes
/// what this run put there, so that a run that fails early leaves nothing behind.
pub struct OutputFolder {
    path: PathBuf,
    found: Found,
    kept: bool,
    _above: NewFolders,
    /// Held as long as the folder is in use.
    _lock: FolderLock,
}

/// How a run found its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Absent,
    Empty,
    /// Of an earlier run, which is to be overwritten or to go on.
    Filled,
}

impl OutputFolder {
    /// Claims the folder asked for, or the first free one of mirror-out, mirror-out-2, …
    pub fn claim(asked: Option<&Path>, overwrite: bool) -> Result<Self, OutputError> {
        let (path, created) = match asked {
            Some(path) => (path.to_owned(), !path.exists()),
            None if overwrite => (PathBuf::from("mirror-out"), !Path::new("mirror-out").exists()),
            None => (create_numbered()?, true),
        };
        if path.exists() && !path.is_dir() {
            return Err(OutputError::NotAFolder(path));
        }
        let failed = |source| OutputError::Write { path: path.clone(), source };
        let above = NewFolders::above(&path);
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = FolderLock::take(&path)?;
        let found = match created {
            true => Found::Absent,
            false if is_empty(&path).map_err(failed)? => Found::Empty,
            false if overwrite => Found::Filled,
            false => return Err(OutputError::NotEmpty(path)),
        };
        // Permission and space are found out now, not after an hour of training.
        let folder = OutputFolder { path, found, kept: false, _above: above, _lock: lock };
        folder.probe()?;
        Ok(folder)
    }

    /// Takes over the folder of a run that is to go on. It stays, whatever happens.
    pub fn reopen(path: &Path) -> Result<Self, OutputError> {
        let lock = FolderLock::take(path)?;
        let (path, above) = (path.to_owned(), NewFolders::default());
        let folder = OutputFolder { path, found: Found::Filled, kept: true, _above: above, _lock: lock };
        remove_temporaries(&folder.path)
            .map_err(|source| OutputError::Write { path: folder.path.clone(), source })?;
        folder.probe()?;
        Ok(folder)
    }

    fn probe(&self) -> Result<(), OutputError> {
        let probe = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.path)?;
            file.write_all(b"mirror")?;
            sync_folder(self.path.parent().unwrap_or(Path::new("")))
        };
        probe().map_err(|source| OutputError::Write { path: self.path.clone(), source })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an earlier run left something here.
    pub fn is_filled(&self) -> bool {
        self.found == Found::Filled
    }

    /// Removes files and folders of these names that an earlier run left, in this order.
    pub fn remove(&self, names: &[&str]) -> Result<(), OutputError> {
        for name in names {
            let path = self.path.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(OutputError::Write { path, source });
                }
                _ => {}
            }
        }
        sync_folder(&self.path).map_err(|source| OutputError::Write { path: self.path.clone(), source })
    }

    /// From now on the folder stays, whatever happens.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        // Best effort: the run's own error is the one to tell.
        match self.found {
            _ if self.kept => {}
            Found::Absent => {
                let _ = fs::remove_dir_all(&self.path);
            }
            Found::Empty => {
                for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
                    let path = entry.path();
                    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                }
            }
            Found::Filled => {}
        }
    }
}

/// Folders above an output folder that were not there before, innermost first. Those that are empty when
/// this is dropped are removed: all of them, where the output folder is gone again.
#[derive(Default)]
pub(crate) struct NewFolders(Vec<PathBuf>);

impl NewFolders {
    pub(crate) fn above(path: &Path) -> Self {
        let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        NewFolders(above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect())
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn create_numbered() -> Result<PathBuf, OutputError> {
    let mut number = 1u32;
    loop {
        let path =
            if number == 1 { "mirror-out".into() } else { PathBuf::from(format!("mirror-out-{number}")) };
        // Creating it is what tells whether it is free: two runs may start at once.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < u32::MAX => number += 1,
            Err(source) => return Err(OutputError::Write { path, source }),
        }
    }
}

/// Whether nothing is in the folder but what this program puts there while it works.
pub(crate) fn is_empty(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != lock::NAME && !name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the temporary files and folders that a killed run left in a folder. Only for who holds the
/// folder's lock.
pub fn remove_temporaries(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            let path = entry.path();
            if entry.file_type()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
    }
    Ok(())
}

/// Makes the names in a folder survive a loss of power: a file's own sync says nothing of its name.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Not every file system syncs folders, and not every parent may be read.
            Err(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Err(e);
            }
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Temporary files are private; what a run leaves is readable as any other file.
fn set_readable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Temporary folders are private; what a run leaves is readable as any other folder.
pub fn set_listable(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
