//! Networks as companies have them: a certificate authority of their own, proxies, mirrors below a path.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};

use crate::case::{Case, outcome};
use crate::server::{Hub, ID, PREFIX, sha256};

/// The certificate of an authority, for these servers if it is one itself, and its key.
fn certificate(servers: &[&str]) -> (CertificateParams, KeyPair, Certificate) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = servers.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (params, key, certificate)
}

/// An authority's certificate as PEM, and a server that has one of it. All authorities here have the same name, as
/// have the old and the new one of a company.
fn authority() -> (String, Hub) {
    let (params, key, certificate) = certificate(&[]);
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    (certificate.pem(), hub(&server, &key))
}

/// A hub with this certificate.
fn hub(certificate: &Certificate, key: &KeyPair) -> Hub {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    Hub::start_tls(Arc::new(config))
}

#[test]
fn an_authority_of_ones_own_is_trusted_when_a_variable_names_it() {
    let (certificate, hub) = authority();
    let (other, _) = authority();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("other.pem"), &other).unwrap();
    std::fs::write(path("both.pem"), format!("# Ours\n{other}\n{certificate}")).unwrap();
    std::fs::create_dir(path("certs")).unwrap();
    std::fs::write(path("certs/ours.crt"), &certificate).unwrap();
    let lists = format!("{}:{}", path("none-such"), path("certs"));

    let untrusted = ["authority", "the system's store", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", &hub.address];
    Case::new(&hub.address).locate(ID).error(&untrusted);
    let other = Case::new(&hub.address).with("SSL_CERT_FILE", &path("other.pem")).locate(ID);
    other.error(&["authority", &path("other.pem"), "SSL_CERT_FILE"]);
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        for value in ["both.pem", "certs"] {
            let mut case = Case::new(&hub.address);
            // Machines come with some of these set.
            for others in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
                case = case.with(others, &path("other.pem"));
            }
            let case = case.with(variable, &path(value));
            let located = case.locate(ID);
            let weights = std::fs::read(located.folder().join("model.safetensors")).unwrap();
            assert_eq!(sha256(&weights), sha256(&hub.file("model.safetensors")), "{variable} {value}");
        }
    }
    let list = Case::new(&hub.address).with("SSL_CERT_DIR", &lists).locate(ID);
    list.error(&["SSL_CERT_DIR", &path("none-such"), "cannot be read"]);
    // Without https, nobody asks for them.
    let plain = Hub::start();
    Case::new(&plain.address).with("SSL_CERT_FILE", &path("none-such")).locate(ID).folder();
}

#[test]
fn a_certificate_that_will_not_do_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (names, parts) in [
        (&["localhost", "127.0.0.1"][..], &["that of an authority", "SSL_CERT_FILE"][..]),
        (&["hub.corp"], &["certificate"]),
    ] {
        let (_, key, certificate) = certificate(names);
        std::fs::write(&file, certificate.pem()).unwrap();
        let hub = hub(&certificate, &key);
        let case = Case::new(&hub.address).with("SSL_CERT_FILE", file.to_str().unwrap());
        case.locate(ID).error(parts);
    }
}

#[test]
fn the_systems_store_is_read() {
    const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let (certificate, hub) = authority();
    let case = Case::new(&hub.address);
    let Ok(store) = std::fs::read_to_string(STORE) else {
        eprintln!("skipped: no {STORE}");
        return;
    };
    let bundle = case.home.path().join("bundle.crt");
    std::fs::write(&bundle, store + &certificate).unwrap();
    let mount = format!("mount --bind {} {STORE}", bundle.display());
    if let Some(mut command) = case.among_mounts(&mount, &case.command(ID)) {
        outcome(command.output().unwrap()).folder();
    }
}

#[test]
fn data_sets_come_with_the_same_certificates() {
    let (certificate, hub) = authority();
    hub.change(|site| site.id = "datasets/princeton-nlp/datasets-for-simcse".to_owned());
    let case = Case::new(&hub.address);
    let file = case.home.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let case = case.with("SSL_CERT_FILE", file.to_str().unwrap());
    let mut fetch = case.clean(env!("CARGO_BIN_EXE_mirror"));
    let output = fetch.args(["data", "fetch", "--output", "sts"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("has no data set") && stderr.contains(&hub.address), "{stderr}");
}

/// A proxy that tunnels, or answers with a status; and the requests that it got, with their credentials.
fn proxy(refusal: Option<u16>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Arc::new(Mutex::new(Vec::new()));
    let requests = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            let log = log.clone();
            std::thread::spawn(move || drop(tunnel(stream.unwrap(), refusal, &log)));
        }
    });
    (port, requests)
}

fn tunnel(mut stream: TcpStream, refusal: Option<u16>, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?.take(4096)).lines();
    let mut head = Vec::new();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        head.push(line);
    }
    log.lock().unwrap().push(head.join("\n"));
    let target = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
    if let Some(status) = refusal {
        return stream.write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    let server = TcpStream::connect(target)?;
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut from_client, mut to_server) = (stream.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut &server, &mut stream).map(drop)
}

#[test]
fn requests_go_through_the_proxy_of_their_scheme() {
    let hub = Hub::start();
    let (port, log) = proxy(None);
    let address = format!("http://me:s%40fe@127.0.0.1:{port}");
    Case::new(&hub.address).with("http_proxy", &address).locate(ID).folder();
    let requests = std::mem::take(&mut *log.lock().unwrap());
    assert!(!requests.is_empty() && requests.iter().all(|head| head.starts_with("CONNECT ")), "{requests:?}");
    // base64 of me:s@fe
    assert!(requests.iter().all(|head| head.contains("Proxy-Authorization: Basic bWU6c0BmZQ==")));

    let exempt = Case::new(&hub.address).with("HTTP_PROXY", &address).with("NO_PROXY", "127.0.0.1");
    exempt.locate(ID).folder();
    let requests = std::mem::take(&mut *log.lock().unwrap());
    // The storage goes by another name.
    assert!(!requests.is_empty() && requests.iter().all(|head| head.starts_with("CONNECT localhost:")));

    let of_https = Case::new(&hub.address).with("HTTPS_PROXY", &address).with("ALL_PROXY", &address);
    of_https.with("NO_PROXY", "localhost, 127.0.0.0/8").locate(ID).folder();
    Case::new(&hub.address).with("HTTPS_PROXY", &address).locate(ID).folder();
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_proxy_that_fails_is_named_without_its_password() {
    let hub = Hub::start();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, parts) in [
        (dead, &["connection refused", "HTTP_PROXY"][..]),
        (proxy(Some(407)).0, &["407", "a user and a password", "HTTP_PROXY"]),
        (proxy(Some(403)).0, &["403", "NO_PROXY"]),
    ] {
        let case = Case::new(&hub.address).with("HTTP_PROXY", &format!("http://me:secret@127.0.0.1:{port}"));
        let located = case.locate(ID);
        located.error(parts);
        located.error(&[&hub.address, &format!("through the proxy http://127.0.0.1:{port}")]);
        assert!(!located.error.unwrap().contains("secret"));
    }
    // The hub reports what is wrong with the model, and how it was reached is worth knowing.
    let (port, _) = proxy(None);
    let case = Case::new(&hub.address).with("ALL_PROXY", &format!("http://127.0.0.1:{port}"));
    case.locate("owner/other").error(&["through the proxy", "owner/other", "check the name"]);
    assert!(hub.requests().iter().all(|request| request.path.contains("/owner/other/")));
}

#[test]
fn a_mirror_may_lie_below_a_path() {
    let hub = Hub::start();
    let case = Case::new(&format!("{}{PREFIX}//", hub.address));
    case.locate(ID).folder();
    let requests = hub.requests();
    let (storage, mirror): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.path.starts_with("/cdn/"));
    assert!(
        !storage.is_empty() && mirror.iter().all(|request| request.path.starts_with(PREFIX)),
        "{mirror:?}"
    );
    case.locate("owner/other").error(&[PREFIX, "owner/other"]);
}

#[test]
fn a_token_goes_to_no_other_port() {
    let (hub, storage) = (Hub::start(), Hub::start());
    let weights = format!("{}/cdn/model.safetensors?signature=x", storage.address);
    storage.change(|site| {
        let bytes = site.files["model.safetensors"].clone();
        site.files.insert("model.safetensors?signature=x".to_owned(), bytes);
    });
    hub.change(|site| (site.token, site.location) = (Some("secret".to_owned()), Some(weights)));
    Case::new(&hub.address).with("HF_TOKEN", "secret").locate(ID).folder();
    let asked = storage.requests();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.token.is_none()), "{asked:?}");
    // A storage of the hub's own.
    hub.change(|site| site.location = Some("../../../../cdn/model.safetensors".to_owned()));
    Case::new(&hub.address).with("HF_TOKEN", "secret").locate(ID).folder();
}

#[test]
fn a_gated_model_is_told_with_where_to_ask() {
    let hub = Hub::start();
    hub.change(|site| site.token = Some("secret".to_owned()));
    let page = format!("{}/{ID}", hub.address);
    Case::new(&hub.address).locate(ID).error(&["401", "is restricted", "gated", &page, "HF_TOKEN"]);
    Case::new(&hub.address).with("HF_TOKEN", "wrong").locate(ID).error(&["is restricted", &page]);
}

#[test]
fn a_network_that_wants_a_log_in_is_told() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    let folder = case.locate(ID).folder().to_owned();
    hub.change(|site| site.page = true);
    Case::new(&hub.address).locate(ID).error(&["web page", "config.json", "log-in"]);
    let located = case.locate(ID);
    assert_eq!(located.folder(), folder);
    assert!(located.note.unwrap().contains("web page"));
}

#[test]
fn a_busy_hub_is_waited_for_as_long_as_it_asks() {
    let hub = Hub::start();
    hub.change(|site| (site.outage, site.retry_after) = (Some((429, 1)), Some(2)));
    let start = Instant::now();
    Case::new(&hub.address).locate(ID).folder();
    assert!(start.elapsed() >= Duration::from_secs(2));
    hub.change(|site| (site.outage, site.retry_after) = (Some((429, u32::MAX)), Some(3600)));
    let start = Instant::now();
    Case::new(&hub.address).locate(ID).error(&["429", "try again in 3600 s"]);
    assert!(start.elapsed() < Duration::from_secs(2));
}

impl Case {
    /// The command in a mount namespace of its own, after `mounts`; none, said aloud, where that is not allowed.
    pub fn among_mounts(&self, mounts: &str, command: &Command) -> Option<Command> {
        let allowed = Command::new("unshare").args(["-m", "true"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: unshare -m takes the rights of root");
            return None;
        }
        let mut wrapped = self.clean("unshare");
        wrapped.args(["-m", "sh", "-c", &format!("{mounts} && exec \"$@\""), "sh"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        Some(wrapped)
    }
}
