//! What a server answers. The bytes are its answers, one after another, parted by the byte 0x1e; after the last
//! it says nothing more.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mirror::hub::{Environment, HubId, Progress, locate_in};

use super::is_a_sentence;

const PARTED: u8 = 0x1e;
/// No client needs more answers.
const MOST_CONNECTIONS: usize = 64;

pub fn read(bytes: &[u8]) {
    let answers: Vec<Vec<u8>> = bytes.split(|&byte| byte == PARTED).map(<[u8]>::to_vec).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(MOST_CONNECTIONS).flatten() {
                let i = next.fetch_add(1, Ordering::SeqCst);
                if i >= MOST_CONNECTIONS {
                    break;
                }
                // A client that hangs up is as good as any.
                let _ = answer(stream, answers.get(i).map_or(&[], Vec::as_slice));
            }
        });
        locate(&format!("http://{address}"), cache.path().as_os_str().to_owned());
        // The server's last guest ends it.
        next.store(MOST_CONNECTIONS, Ordering::SeqCst);
        let _ = TcpStream::connect(address);
    });
    nothing_outside(cache.path());
}

fn locate(endpoint: &str, cache: OsString) {
    let variables = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.into()),
        "HF_HOME" => Some(cache.clone()),
        "HF_HUB_DOWNLOAD_TIMEOUT" => Some("1".into()),
        _ => None,
    };
    let environment = Environment::from_lookup(&variables).unwrap();
    let id: HubId = "owner/tiny".parse().unwrap();
    match locate_in(&environment, &id, &(), &mut Silent) {
        Ok(snapshot) => assert!(snapshot.folder.starts_with(&environment.cache)),
        Err(error) => is_a_sentence(error),
    }
}

/// Names from headers do not leave the model's own folder.
fn nothing_outside(cache: &std::path::Path) {
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    assert!(names(cache).iter().all(|name| name == "hub"), "{:?}", names(cache));
    let known = ["models--owner--tiny", ".locks", "CACHEDIR.TAG", "version.txt"];
    let hub = names(&cache.join("hub"));
    assert!(hub.iter().all(|name| known.contains(&name.as_str())), "{hub:?}");
}

fn answer(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = [0; 4096];
    let _ = stream.read(&mut request)?;
    stream.write_all(answer)
}

struct Silent;

impl Progress for Silent {
    fn start(&mut self, _file: &str, _total: Option<u64>, _present: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

pub fn seeds() -> Vec<Vec<u8>> {
    let commit = "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nConnection: close\r\n";
    let file = |body: &str| {
        let sha = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\n{commit}ETag: \"{sha}\"\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let absent =
        format!("HTTP/1.1 404 Not Found\r\n{commit}X-Error-Code: EntryNotFound\r\nContent-Length: 0\r\n\r\n");
    let large = format!(
        "HTTP/1.1 302 Found\r\n{commit}Location: /cdn/x\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: 4\r\n\
         Content-Length: 0\r\n\r\n",
        "5".repeat(64)
    );
    let config = file("{\"model_type\": \"bert\"}");
    let all = [config.as_str(), &config, &absent, &file("[]"), &large, &file("abcd"), &absent];
    vec![all.join("\u{1e}").into_bytes(), [config.as_str(), &large, &large].join("\u{1e}").into_bytes()]
}
