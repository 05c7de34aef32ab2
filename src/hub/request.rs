//! One request: through the proxy that the environment names, trusting whom it names, with the token where it may
//! go, and again after a passing fault.

use std::cell::OnceCell;
use std::io;
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, http::Response};

use super::failure::{Failure, unreached};
use super::proxy::{Chosen, Proxies};
use super::trust::Trust;
use super::{Environment, HubError, Token, address};

pub(super) type Answer = Response<Body>;

/// Pauses before a request that met a passing fault is sent again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// A server that asks for a longer pause is reported, not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Requests {
    agent: Agent,
    /// The address that the token is for.
    home: String,
    token: Option<Token>,
    proxies: Proxies,
    trust: Trust,
    /// Read with the first https address, since many a run needs none.
    roots: OnceCell<RootCerts>,
    timeout: Duration,
}

impl Requests {
    pub(super) fn new(environment: &Environment, home: &str) -> Requests {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("mirror/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(environment.timeout))
            .timeout_recv_response(Some(environment.timeout))
            .timeout_per_read(Some(environment.timeout));
        Requests {
            agent: config.build().into(),
            home: home.to_owned(),
            token: environment.token.clone(),
            proxies: environment.proxies.clone(),
            trust: environment.trust.clone(),
            roots: OnceCell::new(),
            timeout: environment.timeout,
        }
    }

    /// Any status is an answer, also that of a redirect.
    pub(super) fn send(&self, url: &str, range: Option<&str>) -> Result<Answer, Failure> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let chosen = self.proxies.choose(url)?;
            let (answer, pause) = (self.send_once(url, range, chosen.as_ref())?, pauses.next());
            match (answer, pause) {
                (Ok(answer), Some(pause)) if is_passing(answer.status().as_u16()) => match wait(&answer) {
                    Some(asked) if asked > LONGEST_PAUSE => return Ok(answer),
                    asked => std::thread::sleep(asked.unwrap_or(pause)),
                },
                (Ok(answer), _) => return Ok(answer),
                (Err(ureq::Error::Io(error)), Some(pause)) if is_broken(&error) => std::thread::sleep(pause),
                (Err(error), _) => return Err(unreached(error, &self.trust, chosen.as_ref(), self.timeout)),
            }
        }
    }

    /// " through the proxy http://…", where requests to this address go through one.
    pub(super) fn by_proxy(&self, url: &str) -> String {
        match self.proxies.choose(url) {
            Ok(Some(chosen)) => format!(" through the proxy {}", chosen.shown),
            _ => String::new(),
        }
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn send_once(
        &self,
        url: &str,
        range: Option<&str>,
        proxy: Option<&Chosen>,
    ) -> Result<Result<Answer, ureq::Error>, HubError> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| address::may_share_token(&self.home, url)) {
            request = request.header("authorization", format!("Bearer {}", token.secret()));
        }
        let mut request = request.config().proxy(proxy.map(|chosen| chosen.proxy.clone()));
        let proxy_is_https = proxy.is_some_and(|chosen| chosen.shown.starts_with("https:"));
        if url.starts_with("https:") || proxy_is_https {
            request = request.tls_config(TlsConfig::builder().root_certs(self.roots()?).build());
        }
        Ok(request.build().call())
    }

    fn roots(&self) -> Result<RootCerts, HubError> {
        if self.roots.get().is_none() {
            let _ = self.roots.set(self.trust.roots()?);
        }
        Ok(self.roots.get().cloned().unwrap_or(RootCerts::WebPki))
    }
}

/// The seconds that a server asks to wait before the next request.
pub(super) fn wait(answer: &Answer) -> Option<Duration> {
    header(answer, "retry-after")?.parse().ok().map(Duration::from_secs)
}

pub(super) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok().map(str::trim)
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Whether a connection broke, as opposed to never having been made.
fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
