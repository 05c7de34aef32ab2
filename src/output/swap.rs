//! A folder's new content in the place of its old one, at once: what others put there stays.
//!
//! The new content is complete in a folder inside the old one, and is *settled*: [`SWAP`] in it lists what of the
//! old one it replaces. From then on the swap can be taken up wherever it was cut off, by [`recover`]:
//!
//! 1. The new folder moves beside the old one, and the two change places in one call of the system. What was the
//!    folder is now beside it. What others put there moves back, and what is replaced goes.
//! 2. Where that cannot be (the folder is a mount point, the one above may not be written to, the file system does
//!    not know the call), files move in one by one, the weights last: a folder with weights is complete.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::written::files_below;
use super::{FolderLock, OutputError, RUN, STAGED, TEMPORARY, is_temporary, lock, sync_folder, write_whole};

/// What is replaced, in the new folder while the swap goes on.
const SWAP: &str = ".mirror-swap.json";

/// Moved last where files move one by one.
const LAST: &str = "model.safetensors";

#[derive(Default, Serialize, Deserialize)]
struct Swap {
    /// Files of the old content that may go.
    replaces: BTreeSet<PathBuf>,
    /// Those of them that the new content has nothing in the place of.
    removes: BTreeSet<PathBuf>,
    /// Whether files are to move in one by one in any case.
    by_file: bool,
    /// Whether it is a run that takes its place, and others that were to do so are overtaken.
    is_run: bool,
}

impl Swap {
    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(SWAP)).ok()?).ok()
    }
}

/// Puts what is in `staged`, a folder below `target`, into the place of `replaces`, files of `target` that are this
/// program's own. Everything else there stays.
///
/// # Errors
/// [`OutputError::NotOurs`] where a file not written by mirror has a name of the new content; nothing has changed then.
pub fn swap(target: &Path, staged: &Path, replaces: &BTreeSet<PathBuf>) -> Result<(), OutputError> {
    // Where nothing of ours is, there is nothing to keep whole, and what others have there need not move. Nor may the
    // folder go from under whoever started this in it.
    let by_file = replaces.is_empty() || is_current(target);
    settle_and_complete(target, staged, replaces, by_file)
}

/// Whether the process works in a folder, or below it.
fn is_current(folder: &Path) -> bool {
    let current = std::env::current_dir().and_then(|current| current.canonicalize());
    matches!((current, folder.canonicalize()), (Ok(current), Ok(folder)) if current.starts_with(&folder))
}

/// As [`swap`], file by file, for a folder most of which stays.
pub fn merge(target: &Path, staged: &Path, replaces: &BTreeSet<PathBuf>) -> Result<(), OutputError> {
    settle_and_complete(target, staged, replaces, true)
}

fn settle_and_complete(
    target: &Path,
    staged: &Path,
    replaces: &BTreeSet<PathBuf>,
    by_file: bool,
) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write { path: target.to_owned(), source };
    let new: BTreeSet<PathBuf> = files_below(staged).map_err(failed)?.into_iter().collect();
    refuse_conflicts(target, &new, replaces)?;
    let removes = replaces.difference(&new).cloned().collect();
    let is_run = staged.file_name().is_some_and(is_run);
    let swap = Swap { replaces: replaces.clone(), removes, by_file, is_run };
    let bytes = serde_json::to_vec(&swap).map_err(|e| failed(e.into()))?;
    sync_all(staged).map_err(failed)?;
    write_whole(&staged.join(SWAP), &bytes)?;
    complete(target, staged).map_err(failed)
}

/// Refuses names that are taken by what this program did not write.
pub fn refuse_conflicts<'a>(
    target: &Path,
    new: impl IntoIterator<Item = &'a PathBuf>,
    replaces: &BTreeSet<PathBuf>,
) -> Result<(), OutputError> {
    for file in new {
        // A file where a folder has to be is in the way, too.
        for part in file.ancestors().filter(|part| !part.as_os_str().is_empty()) {
            let path = target.join(part);
            let Ok(found) = path.symlink_metadata() else { continue };
            let is_folder = found.is_dir() && part != file;
            if !is_folder && (found.is_dir() || !replaces.contains(part)) {
                return Err(OutputError::NotOurs(path));
            }
        }
    }
    Ok(())
}

/// Ends a swap that was cut off in this folder, whose lock the caller holds.
pub fn recover(target: &Path) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write { path: target.to_owned(), source };
    let beside = beside(target).map_err(failed)?;
    if beside.join(SWAP).is_file() {
        exchange(&beside, &target.canonicalize().map_err(failed)?).map_err(failed)?;
        return clear_away(&beside, target).map_err(failed);
    }
    if beside.is_dir() && target.join(SWAP).is_file() {
        // Who is at it now holds the old folder's lock, wherever that lies.
        let _lock = FolderLock::take(&beside).map_err(|error| error.of(target))?;
        return clear_away(&beside, target).map_err(failed);
    }
    if target.join(SWAP).is_file() {
        // The old content is gone already.
        return fs::remove_file(target.join(SWAP)).map_err(failed);
    }
    let staged = fs::read_dir(target).map_err(failed)?.flatten().map(|entry| entry.path());
    let settled = staged.flat_map(|path| [path.join("new"), path]).find(|path| path.join(SWAP).is_file());
    match settled {
        Some(settled) => complete(target, &settled).map_err(failed),
        None => Ok(()),
    }
}

fn complete(target: &Path, staged: &Path) -> io::Result<()> {
    if Swap::read(staged).is_some_and(|swap| swap.by_file) {
        return move_in(target, staged);
    }
    let beside = beside(target)?;
    if let Ok(permissions) = fs::metadata(target).map(|m| m.permissions()) {
        fs::set_permissions(staged, permissions)?;
    }
    if !beside.exists() && fs::rename(staged, &beside).is_ok() {
        match exchange(&beside, &target.canonicalize()?) {
            Ok(()) => return clear_away(&beside, target),
            Err(_) => fs::rename(&beside, staged)?,
        }
    }
    move_in(target, staged)
}

/// Where the new folder, and then the old one, is for the moment of the swap.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let target = target.canonicalize()?;
    let mut name = OsString::from(".mirror-swap-");
    name.push(target.file_name().unwrap_or_default());
    Ok(target.with_file_name(name))
}

/// Two folders change places.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    sync_folder(one.parent().unwrap_or(Path::new("")))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios")))]
fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The second half of a swap: the old content lies in `old`, the new one is in its place.
fn clear_away(old: &Path, target: &Path) -> io::Result<()> {
    let swap = Swap::read(target).unwrap_or_default();
    carry_over(old, target, Path::new(""), &swap)?;
    // What is left would be of those who wrote it meanwhile; it is not ours to remove.
    let _ = fs::remove_dir(old);
    fs::remove_file(target.join(SWAP))?;
    sync_folder(target)?;
    sync_folder(target.parent().unwrap_or(Path::new("")))
}

/// Moves what others put into the old folder to the new one, and removes what is replaced.
fn carry_over(old: &Path, new: &Path, below: &Path, swap: &Swap) -> io::Result<()> {
    let replaces = &swap.replaces;
    for entry in fs::read_dir(old.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let (from, to) = (old.join(&path), new.join(&path));
        let is_folder = entry.file_type()?.is_dir();
        let at_top = below.as_os_str().is_empty();
        if at_top && (is_working(&entry.file_name()) || (swap.is_run && is_run(&entry.file_name()))) {
            if is_folder { fs::remove_dir_all(from) } else { fs::remove_file(from) }?;
        } else if !is_folder {
            if replaces.contains(&path) {
                fs::remove_file(from)?;
            } else if to.symlink_metadata().is_err() {
                fs::rename(from, to)?;
            }
        } else if to.symlink_metadata().is_err() && !replaces.iter().any(|file| file.starts_with(&path)) {
            fs::rename(from, to)?;
        } else {
            let is_new = fs::create_dir(&to).is_ok();
            carry_over(old, new, &path, swap)?;
            let _ = fs::remove_dir(from);
            if is_new {
                // Where it held only files of mirror's.
                let _ = fs::remove_dir(to);
            }
        }
    }
    Ok(())
}

/// Whether a name at the top of a folder is of something that this program works with there and has no more use for.
fn is_working(name: &OsStr) -> bool {
    name == lock::NAME || name == STAGED || is_temporary(name)
}

fn is_run(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(RUN.as_bytes())
}

/// Files move into a folder one by one. An interrupted move is resumed from the start: nothing here depends on how far
/// it came.
fn move_in(target: &Path, staged: &Path) -> io::Result<()> {
    let swap = Swap::read(staged).unwrap_or_default();
    let mut files = files_below(staged)?;
    files.retain(|file| file != Path::new(SWAP));
    files.sort_by_key(|file| file == Path::new(LAST));
    // Rather no weights for a moment than some that do not belong to what is beside them.
    let weights = files.last().filter(|file| *file == Path::new(LAST) && swap.replaces.contains(*file));
    for file in swap.removes.iter().chain(weights) {
        match fs::remove_file(target.join(file)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        for folder in file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            // Where it is empty now.
            let _ = fs::remove_dir(target.join(folder));
        }
    }
    for file in &files {
        let to = target.join(file);
        fs::create_dir_all(to.parent().unwrap_or(target))?;
        fs::rename(staged.join(file), to)?;
    }
    sync_all(target)?;
    fs::remove_dir_all(staged)?;
    // Runs that this one overtook.
    for entry in fs::read_dir(target)?.flatten() {
        if swap.is_run && is_run(&entry.file_name()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    sync_folder(target)
}

/// Makes the names below a folder survive a loss of power; the files are synced as they are written.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && !name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            sync_all(&entry.path())?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn write(folder: &Path, files: &BTreeMap<PathBuf, String>) {
        for (path, text) in files {
            fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            fs::write(folder.join(path), text).unwrap();
        }
    }

    fn read(folder: &Path) -> BTreeMap<PathBuf, String> {
        let files = files_below(folder).unwrap();
        files.into_iter().map(|path| (path.clone(), fs::read_to_string(folder.join(path)).unwrap())).collect()
    }

    /// Some files by their paths: few names, so that they meet.
    fn files() -> impl Strategy<Value = BTreeSet<PathBuf>> {
        let name = prop::sample::select(vec!["a", "b", "c/a", "c/b", "c/d/a", "e/a", LAST]);
        prop::collection::btree_set(name.prop_map(PathBuf::from), 0..6)
    }

    /// What is in the folder after a swap: the new files, and those of the old ones that are not ours.
    fn expected(
        old: &BTreeMap<PathBuf, String>,
        new: &BTreeMap<PathBuf, String>,
        replaces: &BTreeSet<PathBuf>,
    ) -> BTreeMap<PathBuf, String> {
        let kept = old.iter().filter(|(path, _)| !replaces.contains(*path));
        new.iter().chain(kept).map(|(path, text)| (path.clone(), text.clone())).collect()
    }

    struct Scene {
        /// Removed at the end.
        _above: tempfile::TempDir,
        target: PathBuf,
        staged: PathBuf,
    }

    fn scene(old: &BTreeMap<PathBuf, String>, new: &BTreeMap<PathBuf, String>) -> Scene {
        let above = tempfile::tempdir().unwrap();
        let target = above.path().join("out");
        let staged = target.join(format!("{RUN}1"));
        fs::create_dir_all(&staged).unwrap();
        write(&target, old);
        write(&staged, new);
        Scene { _above: above, target, staged }
    }

    fn with_text(paths: &BTreeSet<PathBuf>, text: &str) -> BTreeMap<PathBuf, String> {
        paths.iter().map(|path| (path.clone(), format!("{text} {}", path.display()))).collect()
    }

    proptest! {
        /// Whatever is ours and whatever is others': the new is there whole, the others' is there, the rest is gone;
        /// or a name is taken, and nothing has changed. In both ways in which it is done, and where it is cut off
        /// at any of its points and taken up.
        #[test]
        fn others_files_stay(old in files(), ours in files(), new in files(), cut in 0usize..5) {
            let replaces: BTreeSet<PathBuf> = old.intersection(&ours).cloned().collect();
            let taken = old.difference(&replaces).any(|path| new.contains(path));
            let (old, new) = (with_text(&old, "old"), with_text(&new, "new"));
            let Scene { _above, target, staged } = scene(&old, &new);
            if taken {
                let before = read(&target);
                prop_assert!(matches!(swap(&target, &staged, &replaces), Err(OutputError::NotOurs(_))));
                prop_assert_eq!(read(&target), before);
                return Ok(());
            }
            let removes = replaces.iter().filter(|path| !new.contains_key(*path)).cloned().collect();
            let settle = Swap { replaces: replaces.clone(), removes, by_file: false, is_run: true };
            let settle = serde_json::to_vec(&settle).unwrap();
            let beside = beside(&target).unwrap();
            match cut {
                0 => swap(&target, &staged, &replaces).unwrap(),
                1 => fs::write(staged.join(SWAP), settle).unwrap(),
                2 => {
                    fs::write(staged.join(SWAP), settle).unwrap();
                    fs::rename(&staged, &beside).unwrap();
                }
                3 => {
                    fs::write(staged.join(SWAP), settle).unwrap();
                    fs::rename(&staged, &beside).unwrap();
                    exchange(&beside, &target).unwrap();
                }
                // Something is in the way beside: one by one, cut off after the first file.
                _ => {
                    fs::write(staged.join(SWAP), settle).unwrap();
                    fs::write(&beside, "somebody's").unwrap();
                    if let Some(first) = new.keys().next() {
                        fs::create_dir_all(target.join(first).parent().unwrap()).unwrap();
                        fs::rename(staged.join(first), target.join(first)).unwrap();
                    }
                }
            }
            recover(&target).unwrap();
            prop_assert_eq!(read(&target), expected(&old, &new, &replaces));
            prop_assert_eq!(beside.exists(), cut == 4);
        }
    }
}
