//! Completing a folder to what the manifest lists.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Checked, DatasetsError, Manifest, check, unpack};
use crate::hub::{self, DatasetFile, Progress};
use crate::output::{OutputError, StagedFolder, is_empty, write_whole};

/// The data set on the hub, and its file: the archive that SimCSE's download_dataset.sh takes.
pub const REPOSITORY: &str = "princeton-nlp/datasets-for-simcse";
/// The archive's name within the folder, while it is downloaded.
pub const ARCHIVE: &str = "senteval.tar";

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    /// Nothing: all was there.
    AlreadyThere(Checked),
    /// The folder is new.
    New(Checked),
    /// Files were missing or altered, and are now as they should be.
    Completed {
        /// The folder's state afterwards.
        checked: Checked,
        /// Paths of files that were not there.
        missing: Vec<String>,
        /// Paths of files that were there and other than they should be.
        altered: Vec<String>,
    },
}

impl Fetched {
    /// The folder's state afterwards.
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
/// missing or altered are written, each at once, what was altered is kept as NAME.altered, and nothing else is touched. A folder that is not empty and has none
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
    let staged = StagedFolder::beside(output, before.is_some())?;
    archive.unpack(manifest, staged.path())?;
    let Some(before) = before else {
        staged.publish(&BTreeSet::new())?;
        return Ok(Fetched::New(check(output, manifest)?));
    };
    for path in before.lacking() {
        copy_whole(&staged.path().join(path), &before.folder.join(path))?;
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
    if is_empty(output).map_err(|source| DatasetsError::Read { path: output.to_owned(), source })? {
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

/// A file of a few hundred kilobytes, to where it belongs.
fn copy_whole(from: &Path, to: &Path) -> Result<(), DatasetsError> {
    let bytes = fs::read(from).map_err(|source| DatasetsError::Read { path: from.to_owned(), source })?;
    let failed = |source| OutputError::Write { path: to.to_owned(), source };
    if to.symlink_metadata().is_ok() {
        set_aside(to).map_err(failed)?;
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    Ok(write_whole(to, &bytes)?)
}

/// Gives what is at a path another name, too: it differs from what was published, and may be the user's work.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    for number in 1u32.. {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(if number == 1 { ".altered".to_owned() } else { format!(".altered-{number}") });
        let aside = path.with_file_name(name);
        match fs::hard_link(path, &aside) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Ok(()) => return Ok(()),
            // Not every file system has links.
            Err(_) => return fs::rename(path, aside),
        }
    }
    Ok(())
}
