//! The environment variables that decide where models come from and where they are cached.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proxy::Proxies;
use super::trust::Trust;
use super::{HubError, address};

/// The settings that Python's `huggingface_hub` reads from the environment too.
#[derive(Clone, Debug)]
pub struct Environment {
    /// HF_ENDPOINT without a slash at its end; none means the client's default.
    pub endpoint: Option<String>,
    /// HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else `hub` in HF_HOME, else in `huggingface` of
    /// XDG_CACHE_HOME or `~/.cache`. Absolute.
    pub cache: PathBuf,
    /// HF_TOKEN, else the file HF_TOKEN_PATH, else `token` in HF_HOME; none with
    /// HF_HUB_DISABLE_IMPLICIT_TOKEN.
    pub token: Option<Token>,
    /// The variable that forbids the network, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE, if one does.
    pub offline: Option<&'static str>,
    /// How long a server may stay silent: HF_HUB_DOWNLOAD_TIMEOUT in seconds, 10 by default.
    pub timeout: Duration,
    /// The proxies of HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in capitals or small letters.
    pub proxies: Proxies,
    /// The certificates of SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.
    pub trust: Trust,
}

/// An access token. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A token is some forty characters; a file that is longer is something else.
const LONGEST_TOKEN_FILE: u64 = 4096;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Environment {
    /// The settings in the variables of this process.
    pub fn from_process() -> Result<Environment, HubError> {
        Environment::from_lookup(&|name| std::env::var_os(name))
    }

    /// The settings in variables that `lookup` knows. An empty variable counts as unset.
    pub fn from_lookup(lookup: Lookup) -> Result<Environment, HubError> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home = || home_folder(&get);
        let cache = match get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE")) {
            Some(folder) => expand(PathBuf::from(folder)),
            None => home()?.join("hub"),
        };
        let cache = std::path::absolute(&cache).map_err(|source| HubError::Cache { path: cache, source })?;
        Ok(Environment {
            endpoint: endpoint(&get)?,
            cache,
            token: token(&get, home().ok())?,
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_on(get(name))),
            timeout: timeout(&get)?,
            // An empty variable has a meaning here.
            proxies: Proxies::from_lookup(lookup),
            trust: Trust::from_lookup(&get),
        })
    }
}

fn home_folder(get: Lookup) -> Result<PathBuf, HubError> {
    if let Some(folder) = get("HF_HOME") {
        return Ok(expand(PathBuf::from(folder)));
    }
    let caches = match get("XDG_CACHE_HOME") {
        Some(folder) => expand(PathBuf::from(folder)),
        None => {
            get("HOME").map(PathBuf::from).or_else(std::env::home_dir).ok_or(HubError::NoHome)?.join(".cache")
        }
    };
    Ok(caches.join("huggingface"))
}

/// `~/…` as a shell would read it, since the variable may come from a file that no shell has read.
fn expand(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn endpoint(get: Lookup) -> Result<Option<String>, HubError> {
    const NAME: &str = "HF_ENDPOINT";
    let Some(value) = get(NAME) else { return Ok(None) };
    let text = value.to_string_lossy().trim().trim_end_matches('/').to_owned();
    let is_address = text.parse::<ureq::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if is_address && address::shown(&text) != text {
        let expected = "an address without a user and a password (a token goes into HF_TOKEN)";
        return Err(HubError::BadVariable { name: NAME, value: address::shown(&text), expected });
    }
    if !is_address {
        let expected = "an address that begins with http:// or https://";
        return Err(HubError::BadVariable { name: NAME, value: text, expected });
    }
    Ok(Some(text))
}

fn token(get: Lookup, home: Option<PathBuf>) -> Result<Option<Token>, HubError> {
    if is_on(get("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
        return Ok(None);
    }
    let in_file = || {
        let path =
            get("HF_TOKEN_PATH").map(|path| expand(path.into())).or(home.map(|home| home.join("token")))?;
        read_token(&path)
    };
    let given = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN"));
    let Some(text) = given.map(|value| value.to_string_lossy().into_owned()).or_else(in_file) else {
        return Ok(None);
    };
    // Python drops line breaks inside a token too: they come from pasting.
    let text: String = text.split_whitespace().collect();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let (value, expected) =
            ("…".to_owned(), "a token of plain letters and digits, as does the token file");
        return Err(HubError::BadVariable { name: "HF_TOKEN", value, expected });
    }
    Ok(Some(Token(text)))
}

fn read_token(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LONGEST_TOKEN_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

fn timeout(get: Lookup) -> Result<Duration, HubError> {
    const NAME: &str = "HF_HUB_DOWNLOAD_TIMEOUT";
    let Some(value) = get(NAME) else { return Ok(DEFAULT_TIMEOUT) };
    let value = value.to_string_lossy().trim().to_owned();
    match value.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => {
            Err(HubError::BadVariable { name: NAME, value, expected: "a whole number of seconds above zero" })
        }
    }
}

fn is_on(value: Option<OsString>) -> bool {
    let value = value.map(|value| value.to_string_lossy().trim().to_ascii_uppercase());
    matches!(value.as_deref(), Some("1" | "ON" | "YES" | "TRUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, HubError> {
        Environment::from_lookup(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_cache_is_where_python_keeps_it() {
        for (variables, cache) in [
            (&[("HOME", "/h")][..], "/h/.cache/huggingface/hub"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f")], "/f/hub"),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "")], "/f/hub"),
        ] {
            assert_eq!(read(variables).unwrap().cache, Path::new(cache), "{variables:?}");
        }
    }

    #[test]
    fn a_token_comes_from_the_variable_or_the_file_and_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from-home\n").unwrap();
        std::fs::write(home.path().join("other"), "from-path").unwrap();
        let (folder, other) = (home.path().to_str().unwrap(), home.path().join("other"));
        let secret = |more: &[(&str, &str)]| {
            let variables = [&[("HF_HOME", folder)], more].concat();
            read(&variables).unwrap().token.map(|token| token.secret().to_owned())
        };
        assert_eq!(secret(&[]).as_deref(), Some("from-home"));
        assert_eq!(secret(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("from-path"));
        assert_eq!(secret(&[("HF_TOKEN", " given\n")]).as_deref(), Some("given"));
        assert_eq!(secret(&[("HF_TOKEN", "given"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);

        let shown = format!("{:?}", read(&[("HF_HOME", folder), ("HF_TOKEN", "given")]).unwrap());
        assert!(!shown.contains("given"), "{shown}");
        let error = read(&[("HF_HOME", folder), ("HF_TOKEN", "gïven")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("gïven"), "{error}");
    }

    #[test]
    fn odd_values_are_refused_by_name() {
        for (name, value) in [
            ("HF_ENDPOINT", "ftp://hub"),
            ("HF_ENDPOINT", "hub.local"),
            ("HF_ENDPOINT", "http://"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ] {
            let error = read(&[("HF_HOME", "/f"), (name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let fine = read(&[("HF_HOME", "/f"), ("HF_ENDPOINT", " http://127.0.0.1:1/hub// ")]).unwrap();
        assert_eq!(fine.endpoint.as_deref(), Some("http://127.0.0.1:1/hub"));
        let error =
            read(&[("HF_HOME", "/f"), ("HF_ENDPOINT", "https://me:secret@hub")]).unwrap_err().to_string();
        assert!(
            error.contains("HF_ENDPOINT") && error.contains("HF_TOKEN") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn offline_names_the_variable_that_says_so() {
        let offline =
            |variables: &[(&str, &str)]| read(&[&[("HF_HOME", "/f")], variables].concat()).unwrap().offline;
        assert_eq!(offline(&[]), None);
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "0")]), None);
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "true")]), Some("HF_HUB_OFFLINE"));
        assert_eq!(offline(&[("TRANSFORMERS_OFFLINE", "1")]), Some("TRANSFORMERS_OFFLINE"));
    }
}
