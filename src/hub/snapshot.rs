//! From an id to a folder that holds the model.

use std::path::PathBuf;

use hf_hub::RepoType;

use super::cache::RepoCache;
use super::client::{Client, Metadata};
use super::download::Download;
use super::files::{self, CONFIG};
use super::{Environment, HubError, HubId, Progress};

/// A model's files, all of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder they lie in, in the cache.
    pub folder: PathBuf,
    /// The commit that the revision means.
    pub commit: String,
    /// A sentence for the user, where the files may not be the newest.
    pub note: Option<String>,
}

/// Finds the model in the cache or downloads it, as the variables of this process say.
pub fn locate(id: &HubId, progress: &mut dyn Progress) -> Result<Snapshot, HubError> {
    locate_in(&Environment::from_process()?, id, progress)
}

/// Finds the model in the cache or downloads it.
///
/// The hub is asked what commit the revision means, unless the revision is a commit; files of that
/// commit that are in the cache are not asked for again. Where the hub cannot be reached, a complete
/// copy in the cache will do, with a note.
pub fn locate_in(
    environment: &Environment,
    id: &HubId,
    progress: &mut dyn Progress,
) -> Result<Snapshot, HubError> {
    let cache = RepoCache::new(&environment.cache, RepoType::Model, id);
    if let Some(variable) = environment.offline {
        return from_cache(&cache, id).map_err(|lacks| HubError::Offline {
            id: id.to_string(),
            cache: environment.cache.clone(),
            lacks,
            variable,
        });
    }
    // Files of two commits do not make a model: where the branch moves meanwhile, begin again, once.
    let online = match from_hub(environment, &cache, id, progress) {
        Err(HubError::Moved { .. }) => from_hub(environment, &cache, id, progress),
        first => first,
    };
    match online {
        Err(error) if error.is_outage() => match from_cache(&cache, id) {
            Ok(snapshot) => {
                let note = format!("using the copy of {id} in the cache, which may be out of date: {error}");
                Ok(Snapshot { note: Some(note), ..snapshot })
            }
            Err(_) => Err(error),
        },
        online => online,
    }
}

/// The model as it lies in the cache, or what is lacking there.
fn from_cache(cache: &RepoCache, id: &HubId) -> Result<Snapshot, String> {
    let commit = cache.commit(id).ok_or("it was never downloaded completely")?;
    let lack = |error| match error {
        HubError::Incomplete { lacks, .. } => lacks,
        other => other.to_string(),
    };
    files::gather(id, &mut |file| Ok(cache.file(&commit, file))).map_err(lack)?;
    Ok(Snapshot { folder: cache.snapshot(&commit), commit, note: None })
}

fn from_hub(
    environment: &Environment,
    cache: &RepoCache,
    id: &HubId,
    progress: &mut dyn Progress,
) -> Result<Snapshot, HubError> {
    let client = Client::new(environment, RepoType::Model, id);
    let mut config = None;
    let commit = match id.commit().filter(|commit| cache.file(commit, CONFIG).is_some()) {
        Some(commit) => commit.to_owned(),
        None => {
            let metadata = client.metadata(CONFIG)?.ok_or_else(|| client.not_found(CONFIG))?;
            let commit = metadata.commit.clone();
            config = Some(metadata);
            commit
        }
    };
    let mut visit = Visit { client, cache, id, commit, config };
    files::gather(id, &mut |file| visit.obtain(file, progress))?;
    // Only now, so that a branch never means a commit that is half there.
    cache.set_commit(id, &visit.commit)?;
    Ok(Snapshot { folder: cache.snapshot(&visit.commit), commit: visit.commit, note: None })
}

/// The files of one commit, from the cache where they are there.
struct Visit<'a> {
    client: Client,
    cache: &'a RepoCache,
    id: &'a HubId,
    commit: String,
    /// What the hub said of config.json when it was asked for the commit.
    config: Option<Metadata>,
}

impl Visit<'_> {
    fn obtain(&mut self, file: &str, progress: &mut dyn Progress) -> Result<Option<PathBuf>, HubError> {
        if let Some(path) = self.cache.file(&self.commit, file) {
            return Ok(Some(path));
        }
        if self.cache.is_known_absent(&self.commit, file) {
            return Ok(None);
        }
        let known = self.config.take_if(|_| file == CONFIG);
        let metadata = match known {
            Some(metadata) => Some(metadata),
            None => self.client.metadata(file)?,
        };
        let Some(metadata) = metadata else {
            self.cache.mark_absent(&self.commit, file)?;
            return Ok(None);
        };
        if metadata.commit != self.commit {
            return Err(HubError::Moved { id: self.id.to_string() });
        }
        let (client, cache, id) = (&self.client, self.cache, self.id);
        Download { client, cache, id, file, metadata: &metadata }.run(progress)?;
        self.cache.link(&self.commit, file, &metadata.etag).map(Some)
    }
}
