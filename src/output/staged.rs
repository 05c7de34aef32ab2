//! A folder that appears whole: filled under a temporary name beside its place, then renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{NewFolders, OutputError, TEMPORARY, is_empty, set_listable, sync_folder};

/// A folder to be filled. Dropped before [`StagedFolder::publish`], it leaves nothing.
pub struct StagedFolder {
    target: PathBuf,
    staging: TempDir,
    /// Those above the target that were not there before.
    _above: NewFolders,
}

impl StagedFolder {
    /// Makes room for what will be at `target`, which is absent or empty unless it is to be written into.
    pub fn beside(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        let failed = |source| OutputError::Write { path: target.to_owned(), source };
        if target.exists() {
            if !target.is_dir() {
                return Err(OutputError::NotAFolder(target.to_owned()));
            }
            if !overwrite && !is_empty(target).map_err(failed)? {
                return Err(OutputError::NotEmpty(target.to_owned()));
            }
        }
        let above = NewFolders::above(target);
        // What is renamed has to lie on the same file system: in a folder that is there, else beside it.
        let place = match target.is_dir() {
            true => target,
            false => target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        };
        fs::create_dir_all(place).map_err(failed)?;
        let staging = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(place).map_err(failed)?;
        Ok(StagedFolder { target: target.to_owned(), staging, _above: above })
    }

    /// Where files go until they are all there.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Puts everything into its place: a folder that was not there appears with all that is in it; into one
    /// that was, files and folders are moved one by one, those of the same names being replaced.
    pub fn publish(self) -> Result<(), OutputError> {
        let failed = |source| OutputError::Write { path: self.target.clone(), source };
        set_listable(self.path()).map_err(failed)?;
        if self.target.is_dir() {
            self.move_entries().map_err(failed)?;
            return sync_folder(&self.target).map_err(failed);
        }
        match fs::rename(self.path(), &self.target) {
            Ok(()) => sync_folder(self.target.parent().unwrap_or(Path::new(""))).map_err(failed),
            // Somebody else was faster.
            Err(_) if self.target.exists() => Err(OutputError::NotEmpty(self.target.clone())),
            Err(source) => Err(failed(source)),
        }
    }

    fn move_entries(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.path())? {
            let entry = entry?;
            let to = self.target.join(entry.file_name());
            if to.is_dir() {
                fs::remove_dir_all(&to)?;
            }
            fs::rename(entry.path(), to)?;
        }
        Ok(())
    }
}
