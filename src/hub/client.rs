//! What is asked of the hub, at the addresses of `hf-hub`'s routes, and answers that are checked before anything of
//! them is used.

use std::io::Read;

use hf_hub::{Repo, RepoType};
use ureq::Body;

use super::failure::Failure;
use super::id::is_safe_segment;
use super::request::{Answer, Requests, header, wait};
use super::{Environment, HubError, HubId, address};
use crate::quote::quoted;

pub(super) struct Client {
    requests: Requests,
    repo: Repo,
    kind: RepoType,
    id: HubId,
    endpoint: String,
}

/// The hub's metadata on a file, before it is downloaded.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    /// Safe to be a folder's name.
    pub commit: String,
    /// Safe to be a file's name. The SHA-256 for files in large-file storage.
    pub etag: String,
    pub size: Option<u64>,
    /// Where the content can be had.
    pub url: String,
}

/// The answer to a request for the bytes of a file.
pub(super) enum Content {
    /// The bytes from `start` to the end of a file of `total` bytes.
    From { start: u64, total: Option<u64>, body: Box<Body> },
    /// The file is shorter than the start that was asked for.
    OutOfRange,
}

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// A renamed model is one redirect away, its storage another.
const MOST_REDIRECTS: usize = 5;
/// Of a body, to see what it is.
const BEGINNING: u64 = 512;

impl Client {
    pub(super) fn new(environment: &Environment, kind: RepoType, id: &HubId) -> Client {
        let endpoint = environment.endpoint.clone().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let repo = Repo::with_revision(id.id().to_owned(), kind, id.revision().to_owned());
        let requests = Requests::new(environment, &endpoint);
        Client { requests, repo, kind, id: id.clone(), endpoint }
    }

    /// Asks for a file's commit, ETag and size; none if there is no such file.
    ///
    /// A redirect to another place (to the storage behind the hub) is not followed where the hub's own answer gives
    /// all that is asked for.
    pub(super) fn metadata(&self, file: &str) -> Result<Option<Metadata>, HubError> {
        let (repo, revision) = (self.repo.url(), self.repo.url_revision());
        let mut url = format!("{}/{repo}/resolve/{revision}/{file}", self.endpoint);
        let mut headers = HubHeaders::default();
        for _ in 0..MOST_REDIRECTS {
            let answer = self.send(&url, file, Some("bytes=0-0"))?;
            headers.note(&answer);
            match answer.status().as_u16() {
                200 | 206 | 416 => {
                    let size = headers.linked_size.or_else(|| total_length(&answer));
                    if is_page(file, &answer) || (headers.commit.is_none() && begins_as_page(answer)) {
                        return Err(self.page(file, &url));
                    }
                    return self.checked(file, headers, size, url).map(Some);
                }
                301 | 302 | 303 | 307 | 308 => {
                    let target = self.target(file, &url, &answer)?;
                    if headers.is_complete() && address::origin(&target) != address::origin(&url) {
                        let size = headers.linked_size;
                        return self.checked(file, headers, size, url).map(Some);
                    }
                    url = target;
                }
                404 if is_about_the_file(&answer, headers.commit.is_some()) => return Ok(None),
                _ => return Err(self.refusal(file, &url, &answer)),
            }
        }
        Err(self.bad_answer(file, "too many redirects"))
    }

    /// Asks for the bytes of a file from `start` on.
    pub(super) fn content(&self, file: &str, url: &str, start: u64) -> Result<Content, HubError> {
        let range = (start > 0).then(|| format!("bytes={start}-"));
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send(&url, file, range.as_deref())?;
            match answer.status().as_u16() {
                200 | 206 if is_page(file, &answer) => return Err(self.page(file, &url)),
                200 => return Ok(whole(0, answer)),
                206 => {
                    let range = header(&answer, "content-range").unwrap_or_default();
                    let first = range.trim_start_matches("bytes").trim_start().split('-').next();
                    if first.and_then(|first| first.parse().ok()) != Some(start) {
                        return Err(self.bad_answer(file, "another part of the file than was asked for"));
                    }
                    return Ok(whole(start, answer));
                }
                301 | 302 | 303 | 307 | 308 => url = self.target(file, &url, &answer)?,
                416 if start > 0 => return Ok(Content::OutOfRange),
                // The hub has just named this place, so it is not the model that is missing.
                404 => return Err(self.bad_answer(file, "a redirect to a file that is not there")),
                _ => return Err(self.refusal(file, &url, &answer)),
            }
        }
        Err(self.bad_answer(file, "too many redirects"))
    }

    pub(super) fn not_found(&self, file: &str) -> HubError {
        let (endpoint, id) = (self.server(&self.endpoint), self.id.to_string());
        match self.kind {
            RepoType::Dataset => HubError::NoDataset { endpoint, id, file: file.to_owned() },
            _ => HubError::NotFound { endpoint, id },
        }
    }

    fn send(&self, url: &str, file: &str, range: Option<&str>) -> Result<Answer, HubError> {
        self.requests.send(url, range).map_err(|failure| match failure {
            Failure::Unreached { reason, check } => {
                let instead = instead(self.kind);
                HubError::Unreachable { endpoint: self.server(url), reason, check, instead }
            }
            Failure::BadAnswer(what) => self.bad_answer(file, &what),
            Failure::Other(error) => error,
        })
    }

    /// Where a redirect leads.
    fn target(&self, file: &str, url: &str, answer: &Answer) -> Result<String, HubError> {
        let target = header(answer, "location").and_then(|location| address::follow(url, location));
        target.ok_or_else(|| self.bad_answer(file, "a redirect to nowhere"))
    }

    /// The server behind an address, and how it is reached, for a message.
    fn server(&self, url: &str) -> String {
        let by_proxy = self.requests.by_proxy(url);
        let is_hub = address::origin(url) == address::origin(&self.endpoint);
        let name = if is_hub { &self.endpoint } else { address::origin(url) };
        format!("{}{by_proxy}", address::shown(name))
    }

    fn refusal(&self, file: &str, url: &str, answer: &Answer) -> HubError {
        let (endpoint, id) = (self.server(url), self.id.to_string());
        let message = header(answer, "x-error-message").filter(|text| !text.is_empty()).map(quoted);
        let message = message.map_or_else(String::new, |message| format!(", {message}"));
        let is_gated = header(answer, "x-error-code") == Some("GatedRepo");
        let page = format!("{}/{}", self.endpoint, self.repo.url());
        match answer.status().as_u16() {
            status @ (401 | 403) if self.requests.has_token() => {
                let check = match is_gated {
                    true => {
                        format!("check HF_TOKEN, and whether its owner has been granted access at {page}")
                    }
                    false => "check HF_TOKEN, and whether its owner may read it".to_owned(),
                };
                HubError::TokenRefused { endpoint, id, status, message, check }
            }
            status @ (401 | 403) => {
                let check = match is_gated {
                    true => format!("it is gated: ask for access at {page}, then set HF_TOKEN to your token"),
                    false => "it is gated, private or misspelt; set HF_TOKEN to a token that may read it, or check \
                              the name"
                        .to_owned(),
                };
                HubError::NoAccess { endpoint, id, status, message, check }
            }
            404 => self.not_found(file),
            status => {
                let when = match wait(answer) {
                    Some(wait) => format!("in {} s", wait.as_secs()),
                    None => "later".to_owned(),
                };
                HubError::Status { endpoint, id, file: file.to_owned(), status, when }
            }
        }
    }

    fn bad_answer(&self, file: &str, what: &str) -> HubError {
        let (endpoint, id) = (self.server(&self.endpoint), self.id.to_string());
        HubError::BadAnswer { endpoint, id, file: file.to_owned(), what: what.to_owned() }
    }

    fn page(&self, file: &str, url: &str) -> HubError {
        HubError::Page { endpoint: self.server(url), id: self.id.to_string(), file: file.to_owned() }
    }

    /// Lets nothing pass as a commit or an ETag that could name a place outside the cache.
    fn checked(
        &self,
        file: &str,
        headers: HubHeaders,
        size: Option<u64>,
        url: String,
    ) -> Result<Metadata, HubError> {
        // What a data set holds is checked after unpacking, so that a plain file server will do for it.
        let unversioned = || matches!(self.kind, RepoType::Dataset).then(|| "unversioned".to_owned());
        let commit = headers.commit.or_else(|| self.id.commit().map(str::to_owned)).or_else(unversioned);
        let commit = commit.ok_or_else(|| self.bad_answer(file, "no X-Repo-Commit header"))?;
        let etag = headers.linked_etag.or(headers.etag).or_else(unversioned);
        let etag = etag.ok_or_else(|| self.bad_answer(file, "no ETag header"))?;
        for (name, value) in [("X-Repo-Commit", &commit), ("ETag", &etag)] {
            if !is_safe_segment(value) {
                return Err(self.bad_answer(file, &format!("the {name} header {}", quoted(value))));
            }
        }
        Ok(Metadata { commit, etag, size, url })
    }
}

/// The hub's headers along a chain of redirects; a later one overrides an earlier.
#[derive(Default)]
struct HubHeaders {
    commit: Option<String>,
    linked_etag: Option<String>,
    etag: Option<String>,
    linked_size: Option<u64>,
}

impl HubHeaders {
    fn note(&mut self, answer: &Answer) {
        let text = |name| header(answer, name).map(str::to_owned);
        let etag =
            |name| header(answer, name).map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        self.commit = text("x-repo-commit").or(self.commit.take());
        self.linked_etag = etag("x-linked-etag").or(self.linked_etag.take());
        self.etag = etag("etag").or(self.etag.take());
        self.linked_size = header(answer, "x-linked-size").and_then(|n| n.parse().ok()).or(self.linked_size);
    }

    fn is_complete(&self) -> bool {
        self.commit.is_some() && (self.linked_etag.is_some() || self.etag.is_some())
    }
}

fn whole(start: u64, answer: Answer) -> Content {
    let total = total_length(&answer);
    Content::From { start, total, body: Box::new(answer.into_body()) }
}

/// Whether the answer declares itself a web page, which no file of a model is.
fn is_page(file: &str, answer: &Answer) -> bool {
    header(answer, "content-type").is_some_and(|kind| kind.starts_with("text/html"))
        && !file.ends_with(".html")
}

/// Whether the body begins as a web page does.
fn begins_as_page(answer: Answer) -> bool {
    let mut beginning = Vec::new();
    let _ = answer.into_body().into_reader().take(BEGINNING).read_to_end(&mut beginning);
    let text = String::from_utf8_lossy(&beginning).trim_start().to_ascii_lowercase();
    text.starts_with("<!doctype html") || text.starts_with("<html")
}

/// Whether a 404 means that the model exists and the file does not. A plain mirror leaves it open.
fn is_about_the_file(answer: &Answer, has_commit: bool) -> bool {
    match header(answer, "x-error-code") {
        Some("RepoNotFound" | "RevisionNotFound") => false,
        Some("EntryNotFound") => true,
        other => has_commit || other.is_none(),
    }
}

/// The length of the whole file, of which the answer may hold a part.
fn total_length(answer: &Answer) -> Option<u64> {
    match header(answer, "content-range") {
        Some(range) => range.rsplit('/').next()?.parse().ok(),
        None if answer.headers().contains_key("content-encoding") => None,
        None => header(answer, "content-length")?.parse().ok(),
    }
}

/// What will do where the hub does not.
fn instead(kind: RepoType) -> &'static str {
    match kind {
        RepoType::Dataset => "give a copy that is at hand with --from",
        _ => "give a folder as the model",
    }
}
