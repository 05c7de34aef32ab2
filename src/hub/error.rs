//! What can go wrong on the way to a model, each in one sentence with what to do.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum HubError {
    #[error(
        "{given:?} is neither a folder that exists, nor `builtin`, nor a Hugging Face id such as \
         bert-base-uncased or owner/name (with @revision if need be): check the path or the name"
    )]
    NotAModel { given: String },

    #[error("{} is a file, but a model is a folder: give the folder that it lies in", .path.display())]
    NotAFolder { path: PathBuf },

    #[error("{revision:?} cannot be a revision of {id}: give a branch, a tag or a commit hash")]
    BadRevision { id: String, revision: String },

    #[error("the variable {name} has the value {value:?}, but it has to be {expected}")]
    BadVariable { name: &'static str, value: String, expected: &'static str },

    #[error(
        "{id} cannot be loaded from the cache {} ({lacks}) and {variable} forbids downloads: \
         unset {variable} to fetch the model, or give a folder", .cache.display()
    )]
    Offline { id: String, cache: PathBuf, lacks: String, variable: &'static str },

    #[error(
        "{endpoint} has no model {id} with a config.json: check the name and the revision, or the path if a folder \
         is meant (such as ./{id})"
    )]
    NotFound { endpoint: String, id: String },

    #[error(
        "{endpoint} has no data set {id} with a file {file}: check HF_ENDPOINT, or give a copy that is at hand with --from"
    )]
    NoDataset { endpoint: String, id: String, file: String },

    #[error(
        "{file} of the data set {id} is not in the cache {} and {variable} forbids downloads: unset {variable}, or give \
         a copy that is at hand with --from", .cache.display()
    )]
    DatasetOffline { id: String, file: String, cache: PathBuf, variable: &'static str },

    #[error("{id} cannot be loaded: {lacks}")]
    Incomplete { id: String, lacks: String },

    #[error("{endpoint} refuses access to {id} (HTTP {status}{message}): {check}")]
    NoAccess { endpoint: String, id: String, status: u16, message: String, check: String },

    #[error("{endpoint} refuses the given token access to {id} (HTTP {status}{message}): {check}")]
    TokenRefused { endpoint: String, id: String, status: u16, message: String, check: String },

    #[error("{endpoint} cannot be reached ({reason}): check {check}, or {instead}")]
    Unreachable { endpoint: String, reason: String, check: String, instead: &'static str },

    #[error(
        "{endpoint} sent a web page instead of {file} of {id}, as networks do that want a log-in first: open a page in \
         a browser, or check HF_ENDPOINT and HTTPS_PROXY"
    )]
    Page { endpoint: String, id: String, file: String },

    #[error("{variable} names {} for the certificates to trust, but {reason}: correct {variable} or unset it", .path.display())]
    Certificates { variable: &'static str, path: PathBuf, reason: String },

    #[error("{endpoint} answered HTTP {status} for {file} of {id}: try again {when}")]
    Status { endpoint: String, id: String, file: String, status: u16, when: String },

    #[error(
        "{endpoint} sent a bad answer for {file} of {id} ({what}): check that HF_ENDPOINT is a model hub"
    )]
    BadAnswer { endpoint: String, id: String, file: String, what: String },

    #[error(
        "the download of {file} of {id} broke off at {got} of {} bytes ({reason}): run again to continue it",
        expected.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string())
    )]
    Interrupted { id: String, file: String, expected: Option<u64>, got: u64, reason: String },

    #[error(
        "{file} of {id} has the wrong length (expected {expected} bytes, got {got}) and was not kept: try again \
         later, or check HF_ENDPOINT"
    )]
    WrongLength { id: String, file: String, expected: u64, got: u64 },

    #[error(
        "{file} of {id} arrived damaged (SHA-256 {got} instead of {expected}) and was not kept: run again to \
         download it anew"
    )]
    WrongContent { id: String, file: String, expected: String, got: String },

    #[error(
        "{id} was changed on the hub while it was being downloaded: run again, or name a commit with {id}@COMMIT"
    )]
    Moved { id: String },

    #[error(
        "the cache cannot be used at {} ({source}): set HF_HUB_CACHE to a folder that can be written", .path.display()
    )]
    Cache { path: PathBuf, source: io::Error },

    #[error(
        "{file} of {id} {lack} in the cache, and cannot be written to {} ({source}): set HF_HUB_CACHE to a folder \
         that can be written, or complete this one from where it can", .path.display()
    )]
    CannotComplete { id: String, file: String, lack: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "{file} of {id} takes {} MB and the disk of {} has {} MB left: make room, or set HF_HUB_CACHE to a folder on \
         another disk", needed.div_ceil(1_000_000), .path.display(), free / 1_000_000
    )]
    NoSpace { id: String, file: String, needed: u64, free: u64, path: PathBuf },

    /// The calling program's reason, about the small files; it names them.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error + Send + Sync>),

    #[error("no home folder was found for the cache of models: set HF_HOME to a folder that can be written")]
    NoHome,
}

impl HubError {
    /// Whether the hub could not answer, as opposed to having answered no. A copy in the cache is
    /// then as good as can be had.
    pub fn is_outage(&self) -> bool {
        match self {
            HubError::Unreachable { .. } | HubError::Interrupted { .. } | HubError::Page { .. } => true,
            HubError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
