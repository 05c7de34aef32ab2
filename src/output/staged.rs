//! A folder that appears whole: filled under a temporary name beside its place, then renamed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::lock_and_recover;
use super::swap::{merge, swap};
use super::{FolderLock, NewFolders, OutputError, STAGED, TEMPORARY, is_empty, set_listable, sync_folder};

/// A folder to be filled. Dropped before [`StagedFolder::publish`], it leaves nothing; what a killed run left is
/// cleared by the next one that writes to the same place.
pub struct StagedFolder {
    target: PathBuf,
    /// Where files go.
    folder: PathBuf,
    /// Holds `folder`, and the lock that keeps another run out.
    around: PathBuf,
    lock: Option<FolderLock>,
    /// Keeps a run of training out of a folder that is there.
    target_lock: Option<FolderLock>,
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
        let mut staged =
            StagedFolder { target, folder, around, lock: Some(lock), target_lock: None, _above: above };
        if staged.is_inside() {
            staged.target_lock = Some(lock_and_recover(&staged.target)?);
            // What was recovered took the folder with all that was worked with in it.
            fs::create_dir_all(&staged.around).map_err(failed)?;
        }
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

    /// Puts everything into its place: a folder that was not there appears with all that is in it; in one that was,
    /// the new content takes the place of `replaces`, which are files of this program's own, and all else stays.
    pub fn publish(self, replaces: &BTreeSet<PathBuf>) -> Result<(), OutputError> {
        let failed = |source| OutputError::Write { path: self.target.clone(), source };
        set_listable(self.path()).map_err(failed)?;
        if self.is_inside() {
            return swap(&self.target, self.path(), replaces);
        }
        match fs::rename(self.path(), &self.target) {
            Ok(()) => sync_folder(self.target.parent().unwrap_or(Path::new(""))).map_err(failed),
            // Somebody else was faster.
            Err(_) if self.target.exists() => Err(OutputError::NotEmpty(self.target.clone())),
            Err(source) => Err(failed(source)),
        }
    }

    /// Puts everything into a folder that was there, file by file, as [`StagedFolder::publish`] does where the folder as
    /// a whole cannot be replaced: most of what is in it stays.
    pub fn publish_into(self, replaces: &BTreeSet<PathBuf>) -> Result<(), OutputError> {
        merge(&self.target, self.path(), replaces)
    }

    /// Whether the target was there before.
    fn is_inside(&self) -> bool {
        self.around.parent() == self.target.canonicalize().ok().as_deref()
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        // Best effort: what is left is cleared by the next run.
        let _ = fs::remove_dir_all(&self.folder);
        (self.lock, self.target_lock) = (None, None);
        let _ = fs::remove_dir(&self.around);
    }
}

/// What is renamed has to lie on the same file system: in a folder that is there, else beside it.
fn around(target: &Path) -> io::Result<PathBuf> {
    if target.is_dir() {
        return Ok(target.canonicalize()?.join(STAGED));
    }
    let absolute = std::path::absolute(target)?;
    let mut name = OsString::from(TEMPORARY);
    name.push(absolute.file_name().unwrap_or_default());
    Ok(absolute.with_file_name(name))
}
