//! The folder that a run writes: claimed before work starts, filled without half-written files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum OutputError {
    #[error("{0} is not empty; choose another --output, or write into it with --overwrite")]
    NotEmpty(PathBuf),
    #[error("{0} is a file; --output takes a folder")]
    NotAFolder(PathBuf),
    #[error("cannot write to {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A folder that this run may write to. Unless [`OutputFolder::keep`] was called, dropping it leaves
/// things as they were: folders that it created are gone, one that was empty is empty again. What lay in
/// a folder that is overwritten cannot be told from this run's files, and stays.
pub struct OutputFolder {
    path: PathBuf,
    /// Folders that were not there, innermost first.
    created: Vec<PathBuf>,
    was_empty: bool,
    kept: bool,
}

impl OutputFolder {
    /// Claims the folder asked for, or the first free one of mirror-out, mirror-out-2, …
    pub fn claim(asked: Option<&Path>, overwrite: bool) -> Result<Self, OutputError> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None if overwrite => PathBuf::from("mirror-out"),
            None => (1u32..)
                .map(|n| if n == 1 { "mirror-out".into() } else { PathBuf::from(format!("mirror-out-{n}")) })
                .find(|path| !path.exists())
                .unwrap_or_default(),
        };
        let failed = |source| OutputError::Write { path: path.clone(), source };
        if path.exists() && !path.is_dir() {
            return Err(OutputError::NotAFolder(path));
        }
        let above = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        let created: Vec<PathBuf> = above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let was_empty = !path.exists() || fs::read_dir(&path).map_err(failed)?.next().is_none();
        if !was_empty && !overwrite {
            return Err(OutputError::NotEmpty(path));
        }
        let folder = OutputFolder { path, created, was_empty, kept: false };
        let failed = |source| OutputError::Write { path: folder.path.clone(), source };
        fs::create_dir_all(&folder.path).map_err(failed)?;
        // Permission and space are found out now, not after an hour of training.
        tempfile::NamedTempFile::new_in(&folder.path)
            .and_then(|mut probe| probe.write_all(b"mirror"))
            .map_err(failed)?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on the folder stays, whatever happens.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Best effort: the run's own error is the one to tell.
        if self.was_empty {
            clear(&self.path);
        }
        for folder in &self.created {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
    }
}

/// Writes a file whole or not at all: to a temporary neighbour, synced, then renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let file = file.persist(path).map_err(|e| failed(e.error))?;
    set_readable(&file).map_err(failed)
}

/// Temporary files are private; what a run leaves is readable as any other file.
fn set_readable(file: &fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}
