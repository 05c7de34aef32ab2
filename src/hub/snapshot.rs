//! From an id to a folder that holds the model.

use std::error::Error;
use std::path::{Path, PathBuf};

use hf_hub::RepoType;

use super::cache::{Cached, RepoCache};
use super::client::{Client, Metadata};
use super::download::Download;
use super::files::{self, CONFIG, MODULES, Source, describes};
use super::{Environment, HubError, HubId, Progress};

/// A model's files, all of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder they lie in, in the cache.
    pub folder: PathBuf,
    /// The commit that the revision means.
    pub commit: String,
    /// A sentence for the user, where the files may not be the newest or not all.
    pub note: Option<String>,
}

/// What a program asks of a model before its weights are downloaded.
pub trait Admission {
    /// Reads the config.json of a transformer's folder.
    fn configuration(&self, transformer: &Path) -> Result<(), Box<dyn Error + Send + Sync>>;
    /// Reads all that a model's folder has but the weights.
    fn description(&self, folder: &Path) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Asks nothing.
impl Admission for () {
    fn configuration(&self, _transformer: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
    fn description(&self, _folder: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// Finds the model in the cache or downloads it, as the environment of this process configures it.
pub fn locate(
    id: &HubId,
    admission: &dyn Admission,
    progress: &mut dyn Progress,
) -> Result<Snapshot, HubError> {
    locate_in(&Environment::from_process()?, id, admission, progress)
}

/// Finds the model in the cache or downloads it.
///
/// The hub is asked what commit the revision means, unless the revision is a commit; files of that
/// commit that are whole in the cache are not asked for again. Where the hub cannot be reached, a complete
/// copy in the cache will do, with a note.
pub fn locate_in(
    environment: &Environment,
    id: &HubId,
    admission: &dyn Admission,
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
    let mut visit = || from_hub(environment, &cache, id, admission, progress);
    // Files of two commits do not make a model: where the branch moves meanwhile, begin again, once.
    let online = match visit() {
        Err(HubError::Moved { .. }) => visit(),
        first => first,
    };
    match online {
        Err(error) if error.is_outage() => match from_cache(&cache, id) {
            Ok(Snapshot { folder, commit, note }) => {
                let more = note.map_or_else(String::new, |note| format!("; {note}"));
                let note =
                    format!("using the copy of {id} in the cache, which may be out of date: {error}{more}");
                Ok(Snapshot { folder, commit, note: Some(note) })
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
    let mut found = Found { cache, id, commit, unknown: Vec::new(), doubtful: Vec::new() };
    files::gather(id, &mut found).map_err(lack)?;
    let note = found.note();
    Ok(Snapshot { folder: cache.snapshot(&found.commit), commit: found.commit, note })
}

/// The files of one commit in the cache, and what is not known of them.
struct Found<'a> {
    cache: &'a RepoCache,
    id: &'a HubId,
    commit: String,
    /// Files that are missing from the cache, without a record that the model lacks them.
    unknown: Vec<String>,
    doubtful: Vec<String>,
}

impl Source for Found<'_> {
    fn obtain(&mut self, file: &str) -> Result<Option<PathBuf>, HubError> {
        match self.cache.file(&self.commit, file) {
            Cached::There(path) => Ok(Some(path)),
            Cached::Doubtful(path) => {
                self.doubtful.push(file.to_owned());
                Ok(Some(path))
            }
            Cached::Damaged { reason, .. } => {
                let lacks = format!("its {file} there is damaged: {reason}");
                Err(HubError::Incomplete { id: self.id.to_string(), lacks })
            }
            Cached::KnownAbsent => Ok(None),
            Cached::Unknown => {
                self.unknown.push(file.to_owned());
                Ok(None)
            }
        }
    }
}

impl Found<'_> {
    /// What the user has to know of a cache that another program filled, perhaps for another purpose.
    fn note(&self) -> Option<String> {
        let (id, mut notes) = (self.id, Vec::new());
        // Of the rest, a model has one form or another.
        let telling = |file: &&String| files::TELLING.contains(&file.as_str());
        let unknown: Vec<_> = self.unknown.iter().filter(telling).map(String::as_str).collect();
        if !unknown.is_empty() && !self.cache.is_whole_repository(&self.commit) {
            notes.push(format!(
                "the cache has no {} for {id}, and no record of whether the model has them; it is read as one without",
                unknown.join(", ")
            ));
        }
        if !self.doubtful.is_empty() {
            let files = self.doubtful.join(", ");
            notes.push(format!(
                "{files} of {id} in the cache may be damaged, for its sum is not that of its name"
            ));
        }
        (!notes.is_empty()).then(|| format!("{} (a run that may ask the hub settles it)", notes.join("; ")))
    }
}

fn from_hub(
    environment: &Environment,
    cache: &RepoCache,
    id: &HubId,
    admission: &dyn Admission,
    progress: &mut dyn Progress,
) -> Result<Snapshot, HubError> {
    let client = Client::new(environment, RepoType::Model, id);
    let is_there = |commit: &&str| {
        [CONFIG, MODULES].iter().any(|file| matches!(cache.file(commit, file), Cached::There(_)))
    };
    let mut known = None;
    let commit = match id.commit().filter(is_there) {
        Some(commit) => commit.to_owned(),
        None => {
            let (file, metadata) = first_file(&client, cache, id)?;
            let commit = metadata.commit.clone();
            known = Some((file, metadata));
            commit
        }
    };
    let mut visit =
        Visit { client, cache, id, commit, known, admission, progress, is_described: false, admitted: false };
    files::gather(id, &mut visit)?;
    // Only now, so that a branch never means a commit that is half there.
    cache.set_commit(id, &visit.commit);
    Ok(Snapshot { folder: cache.snapshot(&visit.commit), commit: visit.commit, note: None })
}

/// The hub's metadata on the file that every model has.
fn first_file(client: &Client, cache: &RepoCache, id: &HubId) -> Result<(&'static str, Metadata), HubError> {
    let had_no_config = cache.commit(id).is_some_and(|last| cache.file(&last, CONFIG) == Cached::KnownAbsent);
    for file in if had_no_config { [MODULES, CONFIG] } else { [CONFIG, MODULES] } {
        if let Some(metadata) = client.metadata(file)? {
            return Ok((file, metadata));
        }
    }
    Err(client.not_found(CONFIG))
}

/// The files of one commit, from the cache where they are there.
struct Visit<'a> {
    client: Client,
    cache: &'a RepoCache,
    id: &'a HubId,
    commit: String,
    /// The hub's metadata on a file, from the request for the commit.
    known: Option<(&'static str, Metadata)>,
    admission: &'a dyn Admission,
    progress: &'a mut dyn Progress,
    is_described: bool,
    /// A model whose weights are there was admitted once, and is read anyway.
    admitted: bool,
}

impl Source for Visit<'_> {
    fn obtain(&mut self, file: &str) -> Result<Option<PathBuf>, HubError> {
        match self.cache.file(&self.commit, file) {
            Cached::There(path) => Ok(Some(path)),
            Cached::KnownAbsent => Ok(None),
            Cached::Unknown => self.fetch(file, "is not", |_| true),
            Cached::Damaged { path, .. } => {
                let cache = self.cache;
                self.fetch(file, "is damaged", |_| {
                    cache.discard(&path);
                    true
                })
            }
            Cached::Doubtful(path) => {
                let length = path.metadata().map(|metadata| metadata.len()).ok();
                let is_other = |metadata: &Metadata| metadata.size.is_some_and(|size| Some(size) != length);
                Ok(self.fetch(file, "is damaged", is_other)?.or(Some(path)))
            }
        }
    }

    fn configured(&mut self, transformer: &str) -> Result<(), HubError> {
        let folder = self.cache.snapshot(&self.commit).join(transformer);
        self.admission.configuration(&folder).map_err(HubError::Refused)
    }

    fn described(&mut self) -> Result<(), HubError> {
        self.is_described = true;
        Ok(())
    }
}

impl Visit<'_> {
    /// Brings a file into the cache if the hub has it and `is_wanted`.
    fn fetch(
        &mut self,
        file: &str,
        lack: &'static str,
        is_wanted: impl FnOnce(&Metadata) -> bool,
    ) -> Result<Option<PathBuf>, HubError> {
        if self.is_described && !self.admitted && !describes(file) {
            let folder = self.cache.snapshot(&self.commit);
            self.admission.description(&folder).map_err(HubError::Refused)?;
            self.admitted = true;
        }
        let known = self.known.take_if(|(known, _)| *known == file);
        let metadata = match known {
            Some((_, metadata)) => Some(metadata),
            None => self.client.metadata(file)?,
        };
        let Some(metadata) = metadata else {
            self.cache.mark_absent(&self.commit, file);
            return Ok(None);
        };
        if metadata.commit != self.commit {
            return Err(HubError::Moved { id: self.id.to_string() });
        }
        if !is_wanted(&metadata) {
            return Ok(None);
        }
        let (client, cache, id) = (&self.client, self.cache, self.id);
        let download = Download { client, cache, id, file, metadata: &metadata };
        let placed =
            download.run(self.progress).and_then(|()| cache.link(&self.commit, file, &metadata.etag));
        placed.map(Some).map_err(|error| match error {
            HubError::Cache { path, source } => {
                HubError::CannotComplete { id: id.to_string(), file: file.to_owned(), lack, path, source }
            }
            other => other,
        })
    }
}
