//! One request to the hub: `hf-hub`'s client and addresses, and answers that are checked before
//! anything of them is used.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use ureq::Body;
use ureq::http::{HeaderMap, Response};

use super::id::is_safe_segment;
use super::{Environment, HubError, HubId};
use crate::quote::quoted;

pub(super) struct Client {
    api: ApiRepo,
    kind: RepoType,
    id: HubId,
    endpoint: String,
    has_token: bool,
    timeout: Duration,
}

/// What the hub says of a file before it is downloaded.
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

/// A renamed model is one redirect away.
const MOST_REDIRECTS: usize = 5;
/// Pauses before a request that met a passing fault is sent again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

impl Client {
    pub(super) fn new(environment: &Environment, kind: RepoType, id: &HubId) -> Result<Client, HubError> {
        let token = environment.token.as_ref().map(|token| token.secret().to_owned());
        let has_token = token.is_some();
        // The client's own cache is never used; ours knows more variables and checks names.
        let mut builder =
            ApiBuilder::from_cache(Cache::new(PathBuf::new())).with_token(token).with_progress(false);
        if let Some(endpoint) = &environment.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let repo = Repo::with_revision(id.id().to_owned(), kind, id.revision().to_owned());
        let api = builder.build().map_err(|error| HubError::Unreachable {
            endpoint: environment.endpoint.clone().unwrap_or_default(),
            reason: error.to_string(),
            instead: instead(kind),
        })?;
        let api = api.repo(repo);
        let address = api.url("");
        let endpoint = address.split(&format!("/{}/resolve/", id.id())).next().unwrap_or_default();
        let endpoint = endpoint.trim_end_matches("/datasets").to_owned();
        Ok(Client { api, kind, id: id.clone(), endpoint, has_token, timeout: environment.timeout })
    }

    /// Asks for a file's commit, ETag and size; none if there is no such file.
    ///
    /// Redirects to another host (to the storage behind the hub) are not followed: what is asked
    /// for stands in the hub's own answer.
    pub(super) fn metadata(&self, file: &str) -> Result<Option<Metadata>, HubError> {
        let mut url = self.api.url(file);
        let mut said = Said::default();
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(&url, file, Some("bytes=0-0"), 0)?;
            said.note(response.headers());
            match response.status().as_u16() {
                200 | 206 | 416 => {
                    let size = said.linked_size.or_else(|| total_length(&response));
                    return self.checked(file, said, size, url).map(Some);
                }
                301 | 302 | 303 | 307 | 308 => match header(response.headers(), "location") {
                    Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                        url = format!("{}{path}", origin(&url));
                    }
                    Some(address) if address.contains("://") => {
                        let size = said.linked_size;
                        return self.checked(file, said, size, url).map(Some);
                    }
                    _ => return Err(self.bad_answer(file, "a redirect to nowhere")),
                },
                404 if is_about_the_file(&response, said.commit.is_some()) => return Ok(None),
                _ => return Err(self.refusal(file, &response)),
            }
        }
        Err(self.bad_answer(file, "too many redirects"))
    }

    /// Asks for the bytes of a file from `start` on.
    pub(super) fn content(&self, file: &str, url: &str, start: u64) -> Result<Content, HubError> {
        let range = (start > 0).then(|| format!("bytes={start}-"));
        let response = self.send(url, file, range.as_deref(), MOST_REDIRECTS as u32)?;
        match response.status().as_u16() {
            200 => {
                let total = total_length(&response);
                Ok(Content::From { start: 0, total, body: Box::new(response.into_body()) })
            }
            206 => {
                let range = header(response.headers(), "content-range").unwrap_or_default();
                let first = range.trim_start_matches("bytes").trim_start().split('-').next();
                if first.and_then(|first| first.parse().ok()) != Some(start) {
                    return Err(self.bad_answer(file, "another part of the file than was asked for"));
                }
                let total = total_length(&response);
                Ok(Content::From { start, total, body: Box::new(response.into_body()) })
            }
            416 if start > 0 => Ok(Content::OutOfRange),
            // The hub has just named this place, so it is not the model that is missing.
            404 => Err(self.bad_answer(file, "a redirect to a file that is not there")),
            _ => Err(self.refusal(file, &response)),
        }
    }

    pub(super) fn not_found(&self, file: &str) -> HubError {
        let (endpoint, id) = (self.endpoint.clone(), self.id.to_string());
        match self.kind {
            RepoType::Dataset => HubError::NoDataset { endpoint, id, file: file.to_owned() },
            _ => HubError::NotFound { endpoint, id },
        }
    }

    /// Sends one request, again after a passing fault. Any status is an answer.
    fn send(
        &self,
        url: &str,
        file: &str,
        range: Option<&str>,
        redirects: u32,
    ) -> Result<Response<Body>, HubError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            // The only request of the client whose parts are open: address, headers and limits are ours.
            let mut request = self.api.info_request().uri(url).header("accept-encoding", "identity");
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let answer = request
                .config()
                .http_status_as_error(false)
                .max_redirects(redirects)
                .timeout_connect(Some(self.timeout))
                .timeout_recv_response(Some(self.timeout))
                .timeout_per_read(Some(self.timeout))
                .build()
                .call();
            match (answer, pauses.next()) {
                (Ok(response), Some(pause)) if is_passing(response.status().as_u16()) => {
                    std::thread::sleep(pause)
                }
                (Ok(response), _) => return Ok(response),
                (Err(ureq::Error::Io(error)), Some(pause)) if is_broken(&error) => std::thread::sleep(pause),
                (Err(error), _) => return Err(self.failure(file, error)),
            }
        }
    }

    fn failure(&self, file: &str, error: ureq::Error) -> HubError {
        let reason = match &error {
            ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            ureq::Error::Io(io) => io.to_string(),
            ureq::Error::Timeout(_) => format!("no answer within {} s", self.timeout.as_secs()),
            ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::Protocol(_) => {
                return self.bad_answer(file, &error.to_string());
            }
            ureq::Error::LargeResponseHeader(..) | ureq::Error::TooManyRedirects => {
                return self.bad_answer(file, &error.to_string());
            }
            other => other.to_string(),
        };
        HubError::Unreachable { endpoint: self.endpoint.clone(), reason, instead: instead(self.kind) }
    }

    fn refusal(&self, file: &str, response: &Response<Body>) -> HubError {
        let (endpoint, id) = (self.endpoint.clone(), self.id.to_string());
        match response.status().as_u16() {
            status @ (401 | 403) if self.has_token => HubError::TokenRefused { endpoint, id, status },
            status @ (401 | 403) => HubError::NoAccess { endpoint, id, status },
            404 => self.not_found(file),
            status => HubError::Status { endpoint, id, file: file.to_owned(), status },
        }
    }

    fn bad_answer(&self, file: &str, what: &str) -> HubError {
        let (endpoint, id) = (self.endpoint.clone(), self.id.to_string());
        HubError::BadAnswer { endpoint, id, file: file.to_owned(), what: what.to_owned() }
    }

    /// Lets nothing pass as a commit or an ETag that could name a place outside the cache.
    fn checked(&self, file: &str, said: Said, size: Option<u64>, url: String) -> Result<Metadata, HubError> {
        // What a data set holds is checked after unpacking, so that a plain file server will do for it.
        let unversioned = || matches!(self.kind, RepoType::Dataset).then(|| "unversioned".to_owned());
        let commit = said.commit.or_else(|| self.id.commit().map(str::to_owned)).or_else(unversioned);
        let commit = commit.ok_or_else(|| self.bad_answer(file, "no X-Repo-Commit header"))?;
        let etag = said.linked_etag.or(said.etag).or_else(unversioned);
        let etag = etag.ok_or_else(|| self.bad_answer(file, "no ETag header"))?;
        for (name, value) in [("X-Repo-Commit", &commit), ("ETag", &etag)] {
            if !is_safe_segment(value) {
                return Err(self.bad_answer(file, &format!("the {name} header {}", quoted(value))));
            }
        }
        Ok(Metadata { commit, etag, size, url })
    }
}

/// What the answers along a chain of redirects said; a later one overrides an earlier.
#[derive(Default)]
struct Said {
    commit: Option<String>,
    linked_etag: Option<String>,
    etag: Option<String>,
    linked_size: Option<u64>,
}

impl Said {
    fn note(&mut self, headers: &HeaderMap) {
        let text = |name| header(headers, name).map(str::to_owned);
        let etag =
            |name| header(headers, name).map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        self.commit = text("x-repo-commit").or(self.commit.take());
        self.linked_etag = etag("x-linked-etag").or(self.linked_etag.take());
        self.etag = etag("etag").or(self.etag.take());
        self.linked_size = header(headers, "x-linked-size").and_then(|n| n.parse().ok()).or(self.linked_size);
    }
}

/// Whether a 404 says that the model is there and the file is not. A plain mirror says nothing.
fn is_about_the_file(response: &Response<Body>, has_commit: bool) -> bool {
    match header(response.headers(), "x-error-code") {
        Some("RepoNotFound" | "RevisionNotFound") => false,
        Some("EntryNotFound") => true,
        _ => has_commit || !response.headers().contains_key("x-error-code"),
    }
}

/// The length of the whole file, of which the answer may hold a part.
fn total_length(response: &Response<Body>) -> Option<u64> {
    let headers = response.headers();
    match header(headers, "content-range") {
        Some(range) => range.rsplit('/').next()?.parse().ok(),
        None if headers.contains_key("content-encoding") => None,
        None => header(headers, "content-length")?.parse().ok(),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |path| &url[..host + path])
}

/// What will do where the hub does not.
fn instead(kind: RepoType) -> &'static str {
    match kind {
        RepoType::Dataset => "give an archive that is at hand with --from FILE",
        _ => "give a folder as the model",
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Whether a connection broke, as opposed to never having been made.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
