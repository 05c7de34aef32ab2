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
use super::{HubError, HubId};

pub(super) struct RepoCache {
    root: PathBuf,
    folder_name: String,
    layout: CacheRepo,
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

    /// A file of a commit, if it is there and complete.
    pub(super) fn file(&self, commit: &str, file: &str) -> Option<PathBuf> {
        debug_assert!(is_safe_path(file));
        Some(self.snapshot(commit).join(file)).filter(|path| path.is_file())
    }

    /// The commit that the revision meant when it was last asked for.
    pub(super) fn commit(&self, id: &HubId) -> Option<String> {
        if let Some(commit) = id.commit() {
            return Some(commit.to_owned());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(id.revision())).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_safe_segment(commit))
    }

    /// Lets the revision mean `commit` from now on.
    pub(super) fn set_commit(&self, id: &HubId, commit: &str) -> Result<(), HubError> {
        if id.commit().is_some() || self.commit(id).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder().join("refs").join(id.revision());
        self.layout.create_ref(commit).map_err(|source| HubError::Cache { path, source })
    }

    pub(super) fn is_known_absent(&self, commit: &str, file: &str) -> bool {
        self.absence(commit, file).is_file()
    }

    /// Remembers that a commit, which never changes, has no such file.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.absence(commit, file);
        create_parent(&path)?;
        File::create(&path).map(drop).map_err(|source| HubError::Cache { path, source })
    }

    /// Where the content with this ETag lies once it is complete.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        debug_assert!(is_safe_segment(etag));
        self.layout.blob_path(etag)
    }

    /// Waits until no other thread or process writes the blob, and keeps them out until dropped.
    pub(super) fn lock(&self, etag: &str) -> Result<File, HubError> {
        let path = self.root.join(".locks").join(&self.folder_name).join(format!("{etag}.lock"));
        create_parent(&path)?;
        let locked = File::options().create(true).truncate(false).write(true).open(&path).and_then(|file| {
            match file.lock() {
                // Some network file systems have no locks; Python's library goes on without, too.
                Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
                _ => Ok(file),
            }
        });
        locked.map_err(|source| HubError::Cache { path, source })
    }

    /// Makes a complete blob a file of the commit.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, HubError> {
        let pointer = self.snapshot(commit).join(file);
        create_parent(&pointer)?;
        let up = "../".repeat(2 + file.matches('/').count());
        match place(&format!("{up}blobs/{etag}"), &self.blob(etag), &pointer) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(HubError::Cache { path: pointer, source })
            }
            _ => Ok(pointer),
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

/// The link is relative, so that the cache can be moved.
#[cfg(unix)]
fn place(target: &str, _blob: &Path, pointer: &Path) -> io::Result<()> {
    // A link to a blob that was deleted is in the way of the one to its successor.
    if !pointer.exists() {
        let _ = fs::remove_file(pointer);
    }
    std::os::unix::fs::symlink(target, pointer)
}

/// Elsewhere a link takes special rights.
#[cfg(not(unix))]
fn place(_target: &str, blob: &Path, pointer: &Path) -> io::Result<()> {
    let partial = pointer.with_extension("incomplete");
    fs::copy(blob, &partial)?;
    fs::rename(&partial, pointer)
}

pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|source| HubError::Cache { path: parent.to_path_buf(), source })
}
