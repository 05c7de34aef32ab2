//! Whose certificates are trusted: those that variables name, else the system's store, else (where the system has
//! none) the roots that are compiled in.
//!
//! | variable | read by | names |
//! |---|---|---|
//! | SSL_CERT_FILE | OpenSSL, Python's httpx | a file |
//! | SSL_CERT_DIR | OpenSSL, Python's httpx | folders, separated as in PATH |
//! | REQUESTS_CA_BUNDLE | Python's requests | a file or a folder |
//! | CURL_CA_BUNDLE | curl, requests | a file or a folder |
//!
//! Where several are set, all that they name is trusted: machines come with some of them set to the system's own
//! certificates, and the one that a user adds has to count whichever it is. Together they replace the system's store,
//! as each does for those tools. Every form is taken from every variable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts};

use super::HubError;

/// What the variables name; nothing means the system's store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    named: Vec<(&'static str, PathBuf)>,
}

/// The variables that name certificates, as a message lists them.
pub(super) const VARIABLES: &str = "SSL_CERT_FILE or REQUESTS_CA_BUNDLE";

impl Trust {
    pub(super) fn from_lookup(get: &dyn Fn(&str) -> Option<OsString>) -> Trust {
        let mut named: Vec<(&'static str, PathBuf)> = Vec::new();
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
            let Some(value) = get(variable).filter(|value| !value.is_empty()) else { continue };
            // A file's name may hold a colon; that of several folders has to.
            let paths: Vec<PathBuf> = match Path::new(&value).exists() {
                true => vec![value.into()],
                false => std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect(),
            };
            for path in paths {
                if named.iter().all(|(_, known)| *known != path) {
                    named.push((variable, path));
                }
            }
        }
        Trust { named }
    }

    /// Where the certificates come from, for a message.
    pub(super) fn shown(&self) -> String {
        let named: Vec<_> =
            self.named.iter().map(|(variable, path)| format!("{} ({variable})", path.display())).collect();
        if named.is_empty() { "the system's store".to_owned() } else { named.join(" and ") }
    }

    /// Reads them.
    ///
    /// # Errors
    /// A place that a variable names cannot be read, or holds no certificate that can be used.
    pub(super) fn roots(&self) -> Result<RootCerts, HubError> {
        let mut found = Vec::new();
        for (variable, path) in &self.named {
            let bad = |reason: String| HubError::Certificates { variable, path: path.clone(), reason };
            found.extend(read(path).map_err(bad)?);
        }
        if self.named.is_empty() {
            found = rustls_native_certs::load_native_certs().certs;
        }
        found.sort_unstable_by(|a, b| a.cmp(b));
        found.dedup();
        if found.is_empty() {
            return Ok(RootCerts::WebPki);
        }
        Ok(found
            .into_iter()
            .map(|certificate| Certificate::from_der(&certificate).to_owned())
            .collect::<Vec<_>>()
            .into())
    }
}

/// The certificates of a file, or of the files of a folder.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let (file, folder) = if path.is_dir() { (None, Some(path)) } else { (Some(path), None) };
    // A pipe would block for ever.
    if file.is_some_and(|file| file.metadata().is_ok_and(|metadata| !metadata.is_file())) {
        return Err("it is neither a file nor a folder".to_owned());
    }
    let loaded = rustls_native_certs::load_certs_from_paths(file, folder);
    // Folders hold other things, too (a README, a key); a file that was named for its certificates should be sound.
    if let Some(error) = loaded.errors.first().filter(|_| file.is_some() || loaded.certs.is_empty()) {
        return Err(match &error.kind {
            rustls_native_certs::ErrorKind::Io { inner, .. } => format!("it cannot be read: {inner}"),
            rustls_native_certs::ErrorKind::Pem(error) => {
                format!("it is damaged: {}", crate::quote::reason(error))
            }
            other => format!("{other:?}"),
        });
    }
    if loaded.certs.is_empty() {
        return Err("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(loaded.certs.iter().cloned());
    if usable == 0 {
        return Err("it holds no certificate that can be used".to_owned());
    }
    Ok(loaded.certs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(variables: &[(&str, &str)]) -> Trust {
        Trust::from_lookup(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn all_variables_count() {
        let named = |variables: &[(&str, &str)]| {
            let named = trust(variables).named.into_iter();
            named.map(|(variable, path)| format!("{variable} {}", path.display())).collect::<Vec<_>>()
        };
        assert_eq!(named(&[("SSL_CERT_FILE", "")]), [""; 0]);
        let all = [
            ("CURL_CA_BUNDLE", "/f"),
            ("REQUESTS_CA_BUNDLE", "/r"),
            ("SSL_CERT_FILE", "/f"),
            ("SSL_CERT_DIR", "/d::/e"),
        ];
        let expected = ["SSL_CERT_FILE /f", "SSL_CERT_DIR /d", "SSL_CERT_DIR /e", "REQUESTS_CA_BUNDLE /r"];
        assert_eq!(named(&all), expected);
    }

    #[test]
    fn what_holds_no_certificate_is_named_with_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        for (path, reason) in [
            (folder.path().join("absent.pem"), "cannot be read"),
            (write("empty.pem", ""), "no certificate in PEM form"),
            (write("text.pem", "not a certificate"), "no certificate in PEM form"),
            (write("odd.pem", &block("@@@@")), "damaged"),
            (write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"), "damaged"),
            (write("other.pem", &block("MIIB")), "no certificate that can be used"),
            (empty, "no certificate in PEM form"),
        ] {
            let error = trust(&[("SSL_CERT_FILE", path.to_str().unwrap())]).roots().unwrap_err().to_string();
            let parts = ["SSL_CERT_FILE", path.to_str().unwrap(), reason];
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
        }
    }
}
