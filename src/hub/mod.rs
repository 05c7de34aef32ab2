//! Where a model comes from: a folder, the compiled-in one, or a Hugging Face id.
//!
//! [`resolve`] reads what the user wrote, [`locate`] turns an id into a local folder: the snapshot
//! folder of the cache that Python's `huggingface_hub` uses too, so that neither downloads what the
//! other has. The variables of that library are honoured (see [`Environment`]).
//!
//! # Which client, and what is done around it
//!
//! From `hf-hub` 0.5 come the addresses and the cache layout. Its successor 1.0 reads more variables, but it needs
//! tokio, reqwest, hyper and the xet stack (235 crates to build, against 57), starts a broken download again from its
//! first byte, and still ignores HF_HUB_OFFLINE. The requests of 0.5 are not used, because they trust the compiled-in
//! roots alone and take one proxy for all schemes, nor is its `download`, because what a server sends reaches the disk
//! unchecked there: a commit header or an ETag names the path that is written, a redirect without a target panics, a
//! body of the wrong length is filed as complete, and an answer to a resumed request is appended even when it starts
//! at byte 0. Hence `request` (ureq and rustls: proxies, certificates, the token, patience), `client` (what is asked
//! and which answers are accepted), `download` (resume, length, SHA-256), `cache` (refs, locks, links) and `intact`
//! (what others left there).
//!
//! Small files come first and are read by an [`Admission`] before the weights are asked for.
//!
//! Only the file routes (`/{id}/resolve/{revision}/{file}`) are asked, so a plain mirror will do.
//!
//! [`locate_dataset_file`] brings a single file of a data set by the same way (`/datasets/{id}/resolve/…`).

mod address;
mod cache;
mod client;
mod dataset;
mod download;
mod environment;
mod error;
mod failure;
mod files;
mod id;
mod intact;
mod progress;
mod proxy;
mod request;
mod snapshot;
mod trust;

pub use dataset::{DatasetFile, locate_dataset_file};
pub use environment::{Environment, Token};
pub use error::HubError;
pub use id::HubId;
pub use progress::{DownloadBar, Progress};
pub use proxy::Proxies;
pub use snapshot::{Admission, Snapshot, locate, locate_in};
pub use trust::Trust;

use std::path::{Path, PathBuf};

/// What `--model` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder that exists.
    Folder(PathBuf),
    /// The small model that is compiled into the program.
    Builtin,
    /// A model on the hub, or in its cache.
    Hub(HubId),
}

/// The name of the compiled-in model.
pub const BUILTIN: &str = "builtin";

/// Reads what the user wrote as a model. A folder that exists takes precedence, so `./name` and
/// `name` are the same when there is such a folder.
///
/// # Errors
/// [`HubError::NotAModel`] for any other name, [`HubError::BadRevision`] for an
/// `@revision` that cannot be one, [`HubError::NotAFolder`] for a file.
pub fn resolve(model: &str) -> Result<ModelSource, HubError> {
    let path = Path::new(model);
    if path.is_dir() {
        return Ok(ModelSource::Folder(path.to_path_buf()));
    }
    if model == BUILTIN {
        return Ok(ModelSource::Builtin);
    }
    if path.is_file() {
        return Err(HubError::NotAFolder { path: path.to_path_buf() });
    }
    model.parse().map(ModelSource::Hub)
}
