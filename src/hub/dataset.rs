//! From a data set's id to one of its files.

use std::path::{Path, PathBuf};

use hf_hub::RepoType;

use super::cache::{Cached, RepoCache};
use super::client::Client;
use super::download::Download;
use super::{Environment, HubError, HubId, Progress};

/// A file of a data set, in the cache.
pub struct DatasetFile {
    path: PathBuf,
    cache: RepoCache,
}

impl DatasetFile {
    /// The file in the cache.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file from the cache, since it is not what it should be.
    pub fn discard(self) {
        self.cache.discard(&self.path);
    }
}

/// Finds a file of a data set in the cache or downloads it, as the environment of this process configures it. A download
/// that breaks off is continued by the next one.
///
/// Unlike a model's files, it may come from a server that sends neither commit nor ETag.
pub fn locate_dataset_file(
    id: &HubId,
    file: &str,
    progress: &mut dyn Progress,
) -> Result<DatasetFile, HubError> {
    let environment = Environment::from_process()?;
    let cache = RepoCache::new(&environment.cache, RepoType::Dataset, id);
    let cached = cache.commit(id).and_then(|commit| there(&cache, &commit, file));
    if let Some(variable) = environment.offline {
        let path = cached.ok_or_else(|| HubError::DatasetOffline {
            id: id.to_string(),
            file: file.to_owned(),
            cache: environment.cache.clone(),
            variable,
        })?;
        return Ok(DatasetFile { path, cache });
    }
    match (from_hub(&environment, &cache, id, file, progress), cached) {
        (Ok(path), _) => Ok(DatasetFile { path, cache }),
        // It may be out of date; what it holds is checked either way.
        (Err(error), Some(path)) if error.is_outage() => Ok(DatasetFile { path, cache }),
        (Err(error), _) => Err(error),
    }
}

fn from_hub(
    environment: &Environment,
    cache: &RepoCache,
    id: &HubId,
    file: &str,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let client = Client::new(environment, RepoType::Dataset, id);
    let metadata = client.metadata(file)?.ok_or_else(|| client.not_found(file))?;
    let path = match there(cache, &metadata.commit, file) {
        Some(path) => path,
        None => {
            Download { client: &client, cache, id, file, metadata: &metadata }.run(progress)?;
            cache.link(&metadata.commit, file, &metadata.etag)?
        }
    };
    cache.set_commit(id, &metadata.commit);
    Ok(path)
}

/// What an archive holds is checked after unpacking, so that doubts about it are settled there.
fn there(cache: &RepoCache, commit: &str, file: &str) -> Option<PathBuf> {
    match cache.file(commit, file) {
        Cached::There(path) | Cached::Doubtful(path) => Some(path),
        _ => None,
    }
}
