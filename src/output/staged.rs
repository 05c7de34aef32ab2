//! A folder that appears whole: filled under a temporary name beside its place, then renamed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{FolderLock, NewFolders, OutputError, TEMPORARY, is_empty, set_listable, sync_folder};

/// A folder to be filled. Dropped before [`StagedFolder::publish`], it leaves nothing; what a killed run left is
/// cleared by the next one that writes to the same place.
pub struct StagedFolder {
    target: PathBuf,
    /// Where files go.
    folder: PathBuf,
    /// Holds `folder`, and the lock that keeps another run out.
    around: PathBuf,
    lock: Option<FolderLock>,
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
        let around = around(target).map_err(failed)?;
        let above = NewFolders::above(&around);
        fs::create_dir_all(&around).map_err(failed)?;
        let lock = FolderLock::take(&around).map_err(|error| match error {
            OutputError::InUse(_) => OutputError::InUse(target.to_owned()),
            other => other,
        })?;
        let (target, folder) = (target.to_owned(), around.join("new"));
        let staged = StagedFolder { target, folder, around, lock: Some(lock), _above: above };
        staged.start_anew().map_err(failed)?;
        Ok(staged)
    }

    fn start_anew(&self) -> io::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir(&self.folder)
    }

    /// Where files go until they are all there.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Puts everything into its place: a folder that was not there appears with all that is in it; into one
    /// that was, files and folders are moved one by one, those of the same names being replaced.
    pub fn publish(self) -> Result<(), OutputError> {
        let failed = |source| OutputError::Write { path: self.target.clone(), source };
        set_listable(self.path()).map_err(failed)?;
        if self.around.parent() == self.target.canonicalize().ok().as_deref() {
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

impl Drop for StagedFolder {
    fn drop(&mut self) {
        // Best effort: what is left is cleared by the next run.
        let _ = fs::remove_dir_all(&self.folder);
        self.lock = None;
        let _ = fs::remove_dir(&self.around);
    }
}

/// What is renamed has to lie on the same file system: in a folder that is there, else beside it.
fn around(target: &Path) -> io::Result<PathBuf> {
    if target.is_dir() {
        return Ok(target.canonicalize()?.join(format!("{TEMPORARY}new")));
    }
    let absolute = std::path::absolute(target)?;
    let mut name = OsString::from(TEMPORARY);
    name.push(absolute.file_name().unwrap_or_default());
    Ok(absolute.with_file_name(name))
}
