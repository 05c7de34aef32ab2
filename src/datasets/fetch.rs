//! Bringing a folder to what the manifest says.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Checked, DatasetsError, Manifest, check, unpack};
use crate::hub::{self, DatasetFile, Progress};
use crate::output::{FolderLock, NewFolders, OutputError, TEMPORARY, sync_folder, write_whole};

/// The data set on the hub, and its file: the archive that SimCSE's download_dataset.sh takes.
pub const REPOSITORY: &str = "princeton-nlp/datasets-for-simcse";
pub const ARCHIVE: &str = "senteval.tar";

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    /// Nothing: all was there.
    AlreadyThere(Checked),
    /// The folder is new.
    New(Checked),
    /// Files were missing or altered, and are now as they should be.
    Completed { checked: Checked, missing: Vec<String>, altered: Vec<String> },
}

impl Fetched {
    pub fn checked(&self) -> &Checked {
        match self {
            Fetched::AlreadyThere(checked) | Fetched::New(checked) | Fetched::Completed { checked, .. } => {
                checked
            }
        }
    }
}

/// Fills `output` with the manifest's files, from the archive `from` or the hub's.
///
/// A new folder appears at once, with all files checked. In a folder that has some of the files, those that are
/// missing or altered are written, each at once, and nothing else is touched. A folder that is not empty and has none
/// of the files is refused.
pub fn fetch(
    output: &Path,
    from: Option<&Path>,
    manifest: &Manifest,
    progress: &mut dyn Progress,
) -> Result<Fetched, DatasetsError> {
    let before = match found(output, manifest)? {
        Some(checked) if checked.complete => return Ok(Fetched::AlreadyThere(checked)),
        before => before,
    };
    let archive = Archive::find(from, progress)?;
    let staging = Staging::beside(output)?;
    archive.unpack(manifest, &staging.folder)?;
    let Some(before) = before else {
        staging.become_output(output)?;
        return Ok(Fetched::New(check(output, manifest)?));
    };
    for path in before.lacking() {
        copy_whole(&staging.folder.join(path), &before.folder.join(path))?;
    }
    let all = |paths: fn(&super::SetState) -> &Vec<String>| -> Vec<String> {
        before.sets.iter().flat_map(|(_, set)| paths(set).clone()).collect()
    };
    let (missing, altered) = (all(|set| &set.missing), all(|set| &set.altered));
    Ok(Fetched::Completed { checked: check(output, manifest)?, missing, altered })
}

/// What is in the folder already; none where it is empty or not there.
fn found(output: &Path, manifest: &Manifest) -> Result<Option<Checked>, DatasetsError> {
    if !output.exists() {
        return Ok(None);
    }
    if !output.is_dir() {
        return Err(OutputError::NotAFolder(output.to_owned()).into());
    }
    let mut entries =
        fs::read_dir(output).map_err(|source| DatasetsError::Read { path: output.to_owned(), source })?;
    if entries.next().is_none() {
        return Ok(None);
    }
    match check(output, manifest)? {
        checked if checked.is_empty() => Err(DatasetsError::Foreign(output.to_owned())),
        checked => Ok(Some(checked)),
    }
}

/// An archive on disk.
enum Archive {
    Given(PathBuf),
    OfHub(DatasetFile),
}

impl Archive {
    fn find(from: Option<&Path>, progress: &mut dyn Progress) -> Result<Self, DatasetsError> {
        match from {
            Some(path) if path.is_dir() => Err(DatasetsError::ArchiveIsFolder(path.to_owned())),
            Some(path) => Ok(Archive::Given(path.to_owned())),
            None => {
                let id = REPOSITORY.parse()?;
                Ok(Archive::OfHub(hub::locate_dataset_file(&id, ARCHIVE, progress)?))
            }
        }
    }

    /// Unpacks into an empty folder. An archive of the hub that is not what it should be leaves the cache, so that
    /// the next run downloads it anew.
    fn unpack(self, manifest: &Manifest, into: &Path) -> Result<(), DatasetsError> {
        let (path, name) = match &self {
            Archive::Given(path) => (path.as_path(), path.display().to_string()),
            Archive::OfHub(file) => (file.path(), format!("{ARCHIVE} of {REPOSITORY}")),
        };
        let read = |source| DatasetsError::Read { path: path.to_owned(), source };
        let unpacked = File::open(path).map_err(read).and_then(|file| unpack(file, &name, manifest, into));
        match (unpacked, self) {
            (Err(error), Archive::OfHub(file)) if error.is_of_the_archive() => {
                file.discard();
                Err(error)
            }
            (unpacked, _) => unpacked,
        }
    }
}

/// A folder beside the output, on the same file system, that is gone afterwards.
struct Staging {
    /// Where to unpack.
    folder: PathBuf,
    /// Holds `folder`, and the lock that keeps another run out.
    around: PathBuf,
    lock: Option<FolderLock>,
    _above: NewFolders,
}

impl Staging {
    fn beside(output: &Path) -> Result<Self, DatasetsError> {
        let absolute = std::path::absolute(output)
            .map_err(|source| OutputError::Write { path: output.to_owned(), source })?;
        let mut name = OsString::from(TEMPORARY);
        name.push(absolute.file_name().unwrap_or_default());
        let around = absolute.with_file_name(name);
        let above = NewFolders::above(&around);
        let failed = |source| OutputError::Write { path: output.to_owned(), source };
        fs::create_dir_all(&around).map_err(failed)?;
        let lock = FolderLock::take(&around).map_err(|error| match error {
            OutputError::InUse(_) => OutputError::InUse(output.to_owned()),
            other => other,
        })?;
        let folder = around.join("new");
        let staging = Staging { folder, around, lock: Some(lock), _above: above };
        // What a killed run left.
        if staging.folder.exists() {
            fs::remove_dir_all(&staging.folder).map_err(failed)?;
        }
        fs::create_dir(&staging.folder).map_err(failed)?;
        Ok(staging)
    }

    fn become_output(self, output: &Path) -> Result<(), DatasetsError> {
        let failed = |source| OutputError::Write { path: output.to_owned(), source };
        if output.is_symlink() {
            // A link to an empty folder stays one.
            let target = output.canonicalize().map_err(failed)?;
            return self.become_output(&target);
        }
        if output.exists() {
            fs::remove_dir(output).map_err(failed)?;
        }
        fs::rename(&self.folder, output).map_err(failed)?;
        Ok(sync_folder(output.parent().unwrap_or(Path::new(""))).map_err(failed)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: what is left is cleared by the next run.
        let _ = fs::remove_dir_all(&self.folder);
        self.lock = None;
        let _ = fs::remove_dir(&self.around);
    }
}

/// A file of a few hundred kilobytes, to where it belongs.
fn copy_whole(from: &Path, to: &Path) -> Result<(), DatasetsError> {
    let bytes = fs::read(from).map_err(|source| DatasetsError::Read { path: from.to_owned(), source })?;
    let failed = |source| OutputError::Write { path: to.to_owned(), source };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    Ok(write_whole(to, &bytes)?)
}
