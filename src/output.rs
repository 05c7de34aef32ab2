//! What a command writes: claimed before work starts and held against what it reads, written without half-written
//! files, and never in the place of a file that mirror did not write.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

mod file;
mod folder;
mod inputs;
mod lock;
mod staged;
pub mod sums;
pub mod swap;
mod whole;
pub mod written;

pub use file::{Form, OutputFile, OutputFiles, OutputWriter};
pub use folder::{OutputFolder, fill, run_folder};
pub use inputs::{Identity, Inputs};
pub(crate) use lock::FolderLock;
pub use staged::StagedFolder;
pub use whole::{WholeFile, json, write_json, write_whole, write_whole_with};

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum OutputError {
    #[error("{0} is not empty; choose another --output, or write into it with --overwrite")]
    NotEmpty(PathBuf),
    #[error("{0} is a file; --output takes a folder")]
    NotAFolder(PathBuf),
    #[error("{0} is in use by another run of mirror; wait for it to end, or choose another --output")]
    InUse(PathBuf),
    #[error("{output} is what {reader} reads; choose another one")]
    IsInput { output: String, reader: String },
    #[error("{output} lies within {folder}, which {reader} reads; choose another one")]
    WithinInput { output: String, folder: PathBuf, reader: String },
    #[error("{flag} {path} is the same file as that of {other}; choose another name")]
    Twice { flag: String, other: String, path: PathBuf },
    #[error("{path} is a folder; {flag} takes a file")]
    IsFolder { flag: String, path: PathBuf },
    #[error("{path} exists and is not {what}; choose another name, or replace it with --overwrite")]
    Foreign { path: PathBuf, what: &'static str },
    #[error(
        "{0} was not written by mirror, or has been changed since; move it away, or choose another --output"
    )]
    NotOurs(PathBuf),
    #[error("cannot write to {path}: {}", cause(source))]
    Write { path: PathBuf, source: io::Error },
}

impl OutputError {
    /// Whether the command line itself asks for what cannot be.
    pub fn is_usage(&self) -> bool {
        use OutputError::{IsInput, Twice, WithinInput};
        matches!(self, IsInput { .. } | WithinInput { .. } | Twice { .. })
    }

    /// The same of the folder that was asked for, where it is about one that stands for it.
    fn of(self, folder: &Path) -> Self {
        match self {
            OutputError::InUse(_) => OutputError::InUse(folder.to_owned()),
            OutputError::Write { source, .. } => OutputError::Write { path: folder.to_owned(), source },
            other => other,
        }
    }
}

/// What went wrong, without the temporary file's name that tempfile adds, which means nothing to a user.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path \"").next().unwrap_or(&text).to_owned()
}

/// What temporary files and folders are called, so that what a killed run left of them is known as such.
pub const TEMPORARY: &str = ".writing-";

/// Where a folder's new content is put together, in it or beside it.
const STAGED: &str = ".writing-new";

/// What folders are called, in an output folder, of runs that will take its place; a number follows.
const RUN: &str = ".mirror-run-";

/// Whether a name is one that this program gives what it has not finished: random letters end it.
fn is_temporary(name: &std::ffi::OsStr) -> bool {
    const RANDOM: usize = 6;
    let rest = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
    rest.is_some_and(|rest| rest.len() == RANDOM && rest.chars().all(|c| c.is_ascii_alphanumeric()))
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

/// Whether nothing is in the folder but what this program puts there while it works.
pub(crate) fn is_empty(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != lock::NAME && name != STAGED && !is_temporary(&name) {
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
        if is_temporary(&entry.file_name()) {
            let path = entry.path();
            if entry.file_type()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
    }
    Ok(())
}

/// Makes the names in a folder survive a loss of power: a file's own sync does not cover its name.
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
