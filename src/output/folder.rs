//! The folder that a run writes: claimed before work starts, locked while it goes on.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::swap::{recover, refuse_conflicts, swap};
use super::written::{LIST, Written, files_below};
use super::{
    FolderLock, NewFolders, OutputError, RUN, TEMPORARY, is_empty, remove_temporaries, set_listable,
    sync_folder,
};

/// A folder that this run, and no other, writes to. Dropped before [`OutputFolder::keep`], it removes
/// what this run put there, so that a run that fails early leaves nothing behind.
///
/// Over an earlier run a new one goes on in a folder inside, and takes the earlier one's place when it is complete.
pub struct OutputFolder {
    path: PathBuf,
    /// Where this run's files go until it is complete.
    work: PathBuf,
    found: Found,
    /// What a run puts there before its first step: files, and the folders that they are in.
    first: &'static [&'static str],
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
    /// Something is in it that is to be overwritten, or a run that is to be resumed.
    Filled,
}

impl OutputFolder {
    /// Claims the folder asked for, or the first free one of mirror-out, mirror-out-2, … `first` is what a run puts
    /// there before its first step.
    pub fn claim(
        asked: Option<&Path>,
        overwrite: bool,
        first: &'static [&'static str],
    ) -> Result<Self, OutputError> {
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
        let lock = lock_and_recover(&path)?;
        let found = match created {
            true => Found::Absent,
            false if is_empty(&path).map_err(failed)? => Found::Empty,
            false if overwrite => Found::Filled,
            false => return Err(OutputError::NotEmpty(path)),
        };
        let work = match found {
            Found::Filled => next_run(&path),
            _ => path.clone(),
        };
        // Permission and space are found out now, not after an hour of training.
        let folder = OutputFolder { path, work, found, first, kept: false, _above: above, _lock: lock };
        folder.probe()?;
        fs::create_dir_all(&folder.work)
            .map_err(|source| OutputError::Write { path: folder.path.clone(), source })?;
        Ok(folder)
    }

    /// Takes over the folder of a run that is to be resumed. It stays, whatever happens.
    pub fn reopen(path: &Path) -> Result<Self, OutputError> {
        let lock = lock_and_recover(path)?;
        let (work, path, above) = (run_folder(path), path.to_owned(), NewFolders::default());
        let found = Found::Filled;
        let folder = OutputFolder { path, work, found, first: &[], kept: true, _above: above, _lock: lock };
        for place in [&folder.path, &folder.work] {
            remove_temporaries(place)
                .map_err(|source| OutputError::Write { path: folder.path.clone(), source })?;
        }
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

    /// The folder as it was asked for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where this run's files are until it is complete.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Whether this run is to take the place of what is in the folder.
    pub fn is_replacing(&self) -> bool {
        self.work != self.path
    }

    /// From now on the folder stays, whatever happens.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Puts a complete run into the place of `replaces`, files of an earlier one. Where there was none, it is in its
    /// place already.
    pub fn complete(&mut self, replaces: &BTreeSet<PathBuf>) -> Result<(), OutputError> {
        self.kept = true;
        if !self.is_replacing() {
            return Ok(());
        }
        set_listable(&self.work).map_err(|source| OutputError::Write { path: self.path.clone(), source })?;
        swap(&self.path, &self.work, replaces)?;
        self.work = self.path.clone();
        Ok(())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Best effort: the run's own error is the one to report. No other process writes to a run's folder inside another.
        if self.is_replacing() {
            let _ = fs::remove_dir_all(&self.work);
            return;
        }
        if self.found == Found::Filled {
            return;
        }
        let _ = remove_temporaries(&self.path);
        for name in self.first {
            let path = self.path.join(name);
            // A folder goes where it is empty: what is left in it is not mirror's.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
        if self.found == Found::Absent {
            self._lock.release();
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Takes a folder's lock, and ends a swap that was cut off there.
pub(super) fn lock_and_recover(path: &Path) -> Result<FolderLock, OutputError> {
    let lock = FolderLock::take(path)?;
    recover(path)?;
    // A swap takes the folder's place, and the lock's with it.
    if lock.is_held() { Ok(lock) } else { FolderLock::take(path) }
}

/// The run that is to be resumed in an output folder: the newest that is to take its place, else its own.
pub fn run_folder(path: &Path) -> PathBuf {
    runs(path).into_iter().max_by_key(|(number, _)| *number).map_or_else(|| path.to_owned(), |(_, run)| run)
}

fn next_run(path: &Path) -> PathBuf {
    let newest = runs(path).into_iter().map(|(number, _)| number).max().unwrap_or(0);
    path.join(format!("{RUN}{}", newest + 1))
}

/// Runs that were to take a folder's place, with their numbers.
fn runs(path: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix(RUN)?.parse().ok()?;
        entry.path().is_dir().then(|| (number, entry.path()))
    });
    numbered.collect()
}

/// Fills a folder with files that appear in it together, `last` at the end, and lists them in [`LIST`] with those
/// of `others` that are there. What other programs put there meanwhile is not touched.
///
/// # Errors
/// [`OutputError::NotOurs`] where a file's name is taken, besides those of `fill`.
pub fn fill<E: From<OutputError>>(
    folder: &Path,
    last: &str,
    others: &[&str],
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |source| OutputError::Write { path: folder.to_owned(), source };
    let staged = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(folder).map_err(failed)?;
    fill(staged.path())?;
    let mut files = files_below(staged.path()).map_err(failed)?;
    files.sort_by_key(|file| file == Path::new(last));
    let others = others.iter().map(PathBuf::from).filter(|file| folder.join(file).is_file());
    let ours: BTreeSet<PathBuf> = earlier(folder).into_iter().chain(others.clone()).collect();
    refuse_conflicts(folder, &files, &ours)?;
    // Listed before they are there, so that a fill that is cut off can be done again.
    let mut listed = Written::of(staged.path(), files.iter().cloned()).map_err(failed)?;
    listed.add(Written::of(folder, others.filter(|file| !files.contains(file))).map_err(failed)?);
    listed.save(folder)?;
    for file in &files {
        let to = folder.join(file);
        let above = to.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(failed)?;
        fs::rename(staged.path().join(file), &to).map_err(failed)?;
        sync_folder(above).map_err(failed)?;
    }
    Ok(())
}

/// Files that a fill listed which was cut off.
fn earlier(folder: &Path) -> BTreeSet<PathBuf> {
    match folder.join(LIST).is_file() {
        true => Written::read(folder).map(|written| written.unchanged(folder)).unwrap_or_default(),
        false => BTreeSet::new(),
    }
}

fn create_numbered() -> Result<PathBuf, OutputError> {
    let mut number = 1u32;
    loop {
        let path =
            if number == 1 { "mirror-out".into() } else { PathBuf::from(format!("mirror-out-{number}")) };
        // Only creating it shows whether it is free: two runs may start at once.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < u32::MAX => number += 1,
            Err(source) => return Err(OutputError::Write { path, source }),
        }
    }
}
