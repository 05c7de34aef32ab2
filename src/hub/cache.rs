//! The cache of one model or data set, laid out as Python's `huggingface_hub` does:
//!
//! ```text
//! models--owner--name/refs/main                     the commit that a branch means
//!                     snapshots/COMMIT/config.json  a link to ../../blobs/ETAG
//!                     blobs/ETAG                    a complete file
//!                     blobs/ETAG.incomplete         the beginning of one
//!                     .no_exist/COMMIT/vocab.txt    empty: the commit has no such file
//! .locks/models--owner--name/ETAG.lock              held while a blob is written
//! ```
//!
//! A data set's folder is `datasets--owner--name`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::id::{is_safe_path, is_safe_segment};
use super::intact::{self, Soundness};
use super::{HubError, HubId};

pub(super) struct RepoCache {
    root: PathBuf,
    folder_name: String,
    layout: CacheRepo,
}

/// A file of a commit, as far as the cache knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cached {
    There(PathBuf),
    /// It is there, but may not be what it should be.
    Doubtful(PathBuf),
    /// It should be there, and is not whole.
    Damaged {
        path: PathBuf,
        reason: &'static str,
    },
    /// The commit has no such file.
    KnownAbsent,
    /// Nobody has asked for it yet.
    Unknown,
}

impl RepoCache {
    pub(super) fn new(root: &Path, kind: RepoType, id: &HubId) -> RepoCache {
        let repo = Repo::with_revision(id.id().to_owned(), kind, id.revision().to_owned());
        let folder_name = repo.folder_name();
        let layout = Cache::new(root.to_path_buf()).repo(repo);
        RepoCache { root: root.to_path_buf(), folder_name, layout }
    }

    /// The folder of all files of a commit, which has passed `is_safe_segment`.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        debug_assert!(is_safe_segment(commit));
        self.layout.pointer_path(commit)
    }

    /// What the cache has of a commit's file.
    pub(super) fn file(&self, commit: &str, file: &str) -> Cached {
        debug_assert!(is_safe_path(file));
        let path = self.snapshot(commit).join(file);
        if path.is_file() {
            return match intact::judge(&path) {
                Soundness::Sound => Cached::There(path),
                Soundness::Doubtful => Cached::Doubtful(path),
                Soundness::Damaged(reason) => Cached::Damaged { path, reason },
            };
        }
        if path.symlink_metadata().is_ok() {
            return Cached::Damaged { path, reason: "the blob that it links to is missing" };
        }
        match self.absence(commit, file).is_file() {
            true => Cached::KnownAbsent,
            false => Cached::Unknown,
        }
    }

    /// Whether the whole of a commit seems to have been brought by another program: nothing but a download of all
    /// files brings this one, which every repository has.
    pub(super) fn is_whole_repository(&self, commit: &str) -> bool {
        self.snapshot(commit).join(".gitattributes").is_file()
    }

    /// The commit that the revision meant when it was last asked for.
    pub(super) fn commit(&self, id: &HubId) -> Option<String> {
        if let Some(commit) = id.commit() {
            return Some(commit.to_owned());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(id.revision())).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_safe_segment(commit))
    }

    /// Lets the revision mean `commit` from now on. A cache that cannot be written is asked about again next time.
    pub(super) fn set_commit(&self, id: &HubId, commit: &str) {
        if id.commit().is_none() && self.commit(id).as_deref() != Some(commit) {
            let _ = self.layout.create_ref(commit);
        }
    }

    /// Remembers that a commit, which never changes, has no such file; where that cannot be written, the hub is asked
    /// again next time.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) {
        let path = self.absence(commit, file);
        if create_parent(&path).is_ok() {
            let _ = File::create(&path);
        }
    }

    /// Where the content with this ETag lies once it is complete.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        debug_assert!(is_safe_segment(etag));
        self.layout.blob_path(etag)
    }

    /// Waits until no other thread or process writes the blob, and keeps them out until dropped. None where there can
    /// be no lock: the folder belongs to another user, or the file system has none.
    pub(super) fn lock(&self, etag: &str) -> Option<File> {
        let path = self.root.join(".locks").join(&self.folder_name).join(format!("{etag}.lock"));
        create_parent(&path).ok()?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    /// Makes a complete blob a file of the commit.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, HubError> {
        let pointer = self.snapshot(commit).join(file);
        create_parent(&pointer)?;
        let up = "../".repeat(2 + file.matches('/').count());
        match place(&format!("{up}blobs/{etag}"), &self.blob(etag), &pointer) {
            Ok(()) => Ok(pointer),
            Err(source) => Err(HubError::Cache { path: pointer, source }),
        }
    }

    /// Removes a file of a commit and its content, so that it is downloaded anew.
    pub(super) fn discard(&self, pointer: &Path) {
        if let Ok(blob) = pointer.canonicalize() {
            let _ = fs::remove_file(blob);
        }
        let _ = fs::remove_file(pointer);
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.folder_name)
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.folder().join(".no_exist").join(commit).join(file)
    }
}

/// The link is relative, so that the cache can be moved. It takes the place of one to a blob that was deleted in one
/// step: another process may be reading through it.
#[cfg(unix)]
fn place(target: &str, _blob: &Path, pointer: &Path) -> io::Result<()> {
    let folder = pointer.parent().unwrap_or(Path::new("."));
    let link = tempfile::Builder::new().make_in(folder, |path| std::os::unix::fs::symlink(target, path))?;
    link.into_temp_path().persist(pointer).map_err(|error| error.error)
}

/// Elsewhere a link takes special rights.
#[cfg(not(unix))]
fn place(_target: &str, blob: &Path, pointer: &Path) -> io::Result<()> {
    let folder = pointer.parent().unwrap_or(Path::new("."));
    let copy = tempfile::Builder::new().suffix(".incomplete").tempfile_in(folder)?;
    fs::copy(blob, copy.path())?;
    copy.into_temp_path().persist(pointer).map_err(|error| error.error)
}

pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|source| HubError::Cache { path: parent.to_path_buf(), source })
}
