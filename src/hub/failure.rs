//! Why a request got no answer.

use std::io;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsError};

use super::HubError;
use super::proxy::Chosen;
use super::trust::{Trust, VARIABLES};

/// A request without an answer; whom it went to is added by who knows it.
pub(super) enum Failure {
    /// The server was not reached; `check` is what may be wrong.
    Unreached { reason: String, check: String },
    /// It was reached, and makes no sense.
    BadAnswer(String),
    /// It has nothing to do with the server.
    Other(HubError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        Failure::Other(error)
    }
}

pub(super) fn unreached(
    error: ureq::Error,
    trust: &Trust,
    proxy: Option<&Chosen>,
    timeout: Duration,
) -> Failure {
    let check = match proxy {
        None => "the network and HF_ENDPOINT".to_owned(),
        Some(Chosen { variable, .. }) => format!("the network, the proxy in {variable} and HF_ENDPOINT"),
    };
    if let Some(error) = tls_error(&error) {
        return untrusted(error, trust, check);
    }
    let reason = match error {
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ureq::Error::Io(io) => io.to_string(),
        ureq::Error::Timeout(_) => format!("no answer within {} s", timeout.as_secs()),
        // These may quote an address that a server gave for one user only.
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            return Failure::BadAnswer("a redirect to nowhere".to_owned());
        }
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            return Failure::BadAnswer(error.to_string());
        }
        ureq::Error::ConnectProxyFailed(reason) => return refused_by_proxy(&reason, proxy, check),
        other => other.to_string(),
    };
    Failure::Unreached { reason, check }
}

/// `reason` is the client's: "proxy server responded 407/407".
fn refused_by_proxy(reason: &str, proxy: Option<&Chosen>, check: String) -> Failure {
    let status = reason.rsplit(['/', ' ']).next().and_then(|status| status.parse::<u16>().ok());
    let variable = proxy.map_or("HTTPS_PROXY", |chosen| chosen.variable);
    match status {
        Some(407) => Failure::Unreached {
            reason: "the proxy answers HTTP 407: it wants a user and a password".to_owned(),
            check: format!("{variable}, which may hold them as http://user:password@host:port"),
        },
        Some(status) => Failure::Unreached {
            reason: format!("the proxy answers HTTP {status}"),
            check: format!("{check}, or list the host in NO_PROXY"),
        },
        None => Failure::Unreached { reason: reason.to_owned(), check },
    }
}

fn tls_error(error: &ureq::Error) -> Option<&TlsError> {
    match error {
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref(),
        ureq::Error::Rustls(error) => Some(error),
        _ => None,
    }
}

fn untrusted(error: &TlsError, trust: &Trust, check: String) -> Failure {
    let store = trust.shown();
    match error {
        // An authority that was renewed has an old name and a new key.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Failure::Unreached {
                reason: format!("its certificate comes from an authority that is unknown to {store}"),
                check: format!(
                    "whether your company or its proxy has an authority of its own, and name the file of its \
                 certificate in {VARIABLES}"
                ),
            }
        }
        TlsError::InvalidCertificate(CertificateError::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            Failure::Unreached {
                reason: "its certificate is that of an authority, not of a server".to_owned(),
                check: format!(
                    "the server's certificate, which an authority named in {VARIABLES} has to sign"
                ),
            }
        }
        TlsError::InvalidCertificate(reason) => Failure::Unreached {
            reason: format!("its certificate is not valid: {reason}"),
            check: format!("{check}, and this machine's clock"),
        },
        other => Failure::Unreached { reason: format!("TLS: {other}"), check },
    }
}
