//! A hub on the loopback interface: the file routes with their headers, the storage that large files
//! are redirected to, and the faults that a network has.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const ID: &str = "owner/tiny";
/// A path that may stand before a model's, as in a company's mirror.
pub const PREFIX: &str = "/artifactory/api/huggingfaceml/models";
pub const MODULES: &str = r#"[
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
]"#;

/// A request that reached the server.
#[derive(Clone, Debug)]
pub struct Request {
    pub is_head: bool,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

/// What the hub has, and how it misbehaves. Everything can be changed between requests.
#[derive(Clone)]
pub struct Site {
    /// The name of the model, or of the data set with `datasets/` before it.
    pub id: String,
    /// It is a plain file server: its answers have no headers of a hub.
    pub is_plain: bool,
    pub files: BTreeMap<String, Vec<u8>>,
    /// What each revision means.
    pub revisions: BTreeMap<String, String>,
    pub token: Option<String>,
    /// Sent as X-Repo-Commit instead of the true one.
    pub commit_header: Option<String>,
    /// Sent as the ETag of large files instead of their SHA-256.
    pub etag: Option<String>,
    /// Added to the size that the hub states for large files.
    pub size_error: i64,
    /// So many answers of the storage end after this many bytes, whatever their Content-Length.
    pub cut: Option<(usize, u32)>,
    pub ignores_range: bool,
    pub damages: bool,
    /// The storage never finishes an answer.
    pub stalls: bool,
    /// An old name of the model, redirected to the new one.
    pub old_name: Option<String>,
    /// Sent as the Location of large files instead of the true one.
    pub location: Option<String>,
    pub hides_size: bool,
    /// So many answers are this status.
    pub outage: Option<(u16, u32)>,
    /// After so many answers, main means this commit.
    pub moves: Option<(u32, String)>,
    pub delay: Duration,
    /// Sent as Retry-After in an outage.
    pub retry_after: Option<u64>,
    /// A web page that answers everything.
    pub page: bool,
}

pub struct Hub {
    pub address: String,
    pub site: Arc<Mutex<Site>>,
    log: Arc<Mutex<Vec<Request>>>,
}

/// No test needs more; a client that loops is stopped here.
const MOST_REQUESTS: usize = 2000;

impl Hub {
    /// A hub with one model of the usual files.
    pub fn start() -> Hub {
        Hub::with(None)
    }

    /// The same over TLS.
    pub fn start_tls(tls: Arc<rustls::ServerConfig>) -> Hub {
        Hub::with(Some(tls))
    }

    fn with(tls: Option<Arc<rustls::ServerConfig>>) -> Hub {
        let weights: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let files = [
            ("config.json", b"{\"model_type\": \"bert\"}".to_vec()),
            ("tokenizer.json", b"{\"version\": \"1.0\"}".to_vec()),
            ("1_Pooling/config.json", b"{\"pooling_mode_mean_tokens\": true}".to_vec()),
            ("modules.json", MODULES.as_bytes().to_vec()),
            ("model.safetensors", weights),
            ("pytorch_model.bin", vec![1; 1000]),
            ("README.md", b"not wanted".to_vec()),
        ];
        let site = Site {
            id: ID.to_owned(),
            is_plain: false,
            files: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
            revisions: BTreeMap::from([("main".to_owned(), COMMIT.to_owned())]),
            token: None,
            commit_header: None,
            etag: None,
            size_error: 0,
            cut: None,
            ignores_range: false,
            damages: false,
            stalls: false,
            old_name: None,
            location: None,
            hides_size: false,
            outage: None,
            moves: None,
            delay: Duration::ZERO,
            retry_after: None,
            page: false,
        };
        Hub::serve(site, tls)
    }

    fn serve(site: Site, tls: Option<Arc<rustls::ServerConfig>>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        // The same server by another name, so that large files come from a host that is not the hub.
        let storage = format!("{scheme}://localhost:{port}");
        let address = format!("{scheme}://127.0.0.1:{port}");
        let hub = Hub { address, site: Arc::new(Mutex::new(site)), log: Arc::default() };
        let (site, log) = (hub.site.clone(), hub.log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(MOST_REQUESTS) {
                let (storage, site, log, tls) = (storage.clone(), site.clone(), log.clone(), tls.clone());
                // A client that hangs up is part of the tests.
                std::thread::spawn(move || match tls {
                    None => drop(answer(&mut stream.unwrap(), &storage, &site, &log)),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).unwrap();
                        let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                        drop(answer(&mut stream, &storage, &site, &log));
                        stream.conn.send_close_notify();
                        drop(stream.flush());
                    }
                });
            }
        });
        hub
    }

    /// Has the files of this folder and its subfolders, and no others.
    pub fn serve_folder(&self, folder: &std::path::Path) {
        fn visit(folder: &std::path::Path, before: &str, files: &mut BTreeMap<String, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = format!("{before}{}", path.file_name().unwrap().to_str().unwrap());
                match path.is_dir() {
                    true => visit(&path, &format!("{name}/"), files),
                    false => drop(files.insert(name, std::fs::read(&path).unwrap())),
                }
            }
        }
        let mut files = BTreeMap::new();
        visit(folder, "", &mut files);
        self.change(|site| site.files = files);
    }

    pub fn change(&self, edit: impl FnOnce(&mut Site)) {
        edit(&mut self.site.lock().unwrap());
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        self.site.lock().unwrap().files[name].clone()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What git, and so the hub, names a file after.
fn git_sum(bytes: &[u8]) -> String {
    let sum = Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(file: &str) -> bool {
    [".safetensors", ".bin", ".tar", ".parquet"].iter().any(|end| file.ends_with(end))
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent before the connection is closed.
    sent: usize,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Answer {
        let sent = body.len();
        Answer { status, headers, body, sent }
    }

    fn error(status: u16, code: &str) -> Answer {
        Answer::new(status, vec![("X-Error-Code", code.to_owned())], b"no".to_vec())
    }
}

fn answer(
    stream: &mut (impl Read + Write),
    storage: &str,
    site: &Mutex<Site>,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let request = read_request(stream)?;
    log.lock().unwrap().push(request.clone());
    let Site { delay, stalls, .. } = site.lock().unwrap().clone();
    std::thread::sleep(delay);
    let answer = decide(&request, storage, &mut site.lock().unwrap());
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", answer.status);
    head += &format!("Content-Length: {}\r\n", answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if !request.is_head {
        stream.write_all(&answer.body[..answer.sent])?;
    }
    if stalls && request.path.starts_with("/cdn/") {
        std::thread::sleep(Duration::from_secs(8));
    }
    Ok(())
}

fn read_request(stream: &mut impl Read) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream.take(16 << 10)).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { is_head: first.starts_with("HEAD "), path, range: None, token: None };
    for line in lines {
        let line = line?;
        match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())) {
            Some((name, value)) if name == "range" => request.range = Some(value),
            Some((name, value)) if name == "authorization" => request.token = Some(value),
            Some(_) => {}
            None => break,
        }
    }
    Ok(request)
}

fn decide(request: &Request, storage: &str, site: &mut Site) -> Answer {
    if site.page {
        let kind = ("Content-Type", "text/html; charset=utf-8".to_owned());
        return Answer::new(200, vec![kind], b"<html>Log in</html>".to_vec());
    }
    if let Some((status, times @ 1..)) = &mut site.outage {
        *times -= 1;
        let mut answer = Answer::error(*status, "Outage");
        answer.headers.extend(site.retry_after.map(|seconds| ("Retry-After", seconds.to_string())));
        return answer;
    }
    match &mut site.moves {
        Some((0, commit)) => drop(site.revisions.insert("main".to_owned(), commit.clone())),
        Some((answers, _)) => *answers -= 1,
        None => {}
    }
    if let Some(file) = request.path.strip_prefix("/cdn/") {
        return stored(file, request, site);
    }
    let path = request.path.strip_prefix(PREFIX).unwrap_or(&request.path);
    let Some((id, rest)) = path[1..].split_once("/resolve/") else {
        return Answer::error(404, "NoSuchRoute");
    };
    if site.old_name.as_deref() == Some(id) {
        return Answer::new(307, vec![("Location", format!("/{ID}/resolve/{rest}"))], vec![]);
    }
    if site.token.is_some() && request.token != site.token.as_ref().map(|token| format!("Bearer {token}")) {
        let mut answer = Answer::error(401, "GatedRepo");
        answer.headers.push(("X-Error-Message", "Access to model owner/tiny is restricted.".to_owned()));
        return answer;
    }
    if id != site.id {
        return Answer::error(404, "RepoNotFound");
    }
    let (revision, file) = rest.split_once('/').unwrap_or_default();
    let Some(commit) = site.revisions.get(&revision.replace("%2F", "/")) else {
        return Answer::error(404, "RevisionNotFound");
    };
    let commit = ("X-Repo-Commit", site.commit_header.clone().unwrap_or_else(|| commit.clone()));
    let Some(bytes) = site.files.get(file) else {
        return Answer::new(404, vec![commit, ("X-Error-Code", "EntryNotFound".to_owned())], vec![]);
    };
    if site.is_plain {
        return ranged(bytes, request.range.as_deref());
    }
    if is_large(file) {
        let etag = site.etag.clone().unwrap_or_else(|| sha256(bytes));
        let size = bytes.len() as i64 + site.size_error;
        let location = site.location.clone().unwrap_or_else(|| format!("{storage}/cdn/{file}"));
        let mut headers = vec![commit, ("Location", location), ("X-Linked-Etag", format!("\"{etag}\""))];
        if !site.hides_size {
            headers.push(("X-Linked-Size", size.to_string()));
        }
        return Answer::new(302, headers, b"Found".to_vec());
    }
    let etag = ("ETag", format!("W/\"{}\"", git_sum(bytes)));
    let mut answer = ranged(bytes, request.range.as_deref());
    answer.headers.extend([commit, etag]);
    answer
}

fn stored(file: &str, request: &Request, site: &mut Site) -> Answer {
    let mut bytes = site.files[file].clone();
    if site.damages {
        bytes[7] ^= 1;
    }
    let range = request.range.as_deref().filter(|_| !site.ignores_range);
    let mut answer = ranged(&bytes, range);
    if let Some((length, times @ 1..)) = &mut site.cut {
        answer.sent = answer.sent.min(*length);
        *times -= 1;
    }
    if site.stalls {
        answer.sent = 10;
    }
    answer
}

fn ranged(bytes: &[u8], range: Option<&str>) -> Answer {
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Answer::new(200, vec![], bytes.to_vec());
    };
    let first: usize = first.parse().unwrap();
    if first >= bytes.len() {
        return Answer::new(416, vec![("Content-Range", format!("bytes */{}", bytes.len()))], vec![]);
    }
    let last = last.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
    let range = format!("bytes {first}-{last}/{}", bytes.len());
    Answer::new(206, vec![("Content-Range", range)], bytes[first..=last].to_vec())
}
