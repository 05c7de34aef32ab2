//! Which proxy a request goes through, as curl and Python read it from the environment: HTTPS_PROXY for https
//! addresses, HTTP_PROXY for http ones, else ALL_PROXY, but for the hosts that NO_PROXY lists. The names may be in
//! small letters, which then count; an empty one stands for no proxy.

use std::ffi::OsString;
use std::net::IpAddr;

use ureq::http::Uri;

use super::{HubError, address};

/// What the variables configure.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    no_proxy: String,
}

/// A variable's value, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
struct Named {
    variable: &'static str,
    value: String,
}

/// The proxy of one request.
pub(super) struct Chosen {
    pub proxy: ureq::Proxy,
    /// The variable that names it.
    pub variable: &'static str,
    /// Its address without a user and a password.
    pub shown: String,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Proxies(…)")
    }
}

impl Proxies {
    pub(super) fn from_lookup(get: &dyn Fn(&str) -> Option<OsString>) -> Proxies {
        let named = |small: &'static str, capital: &'static str| {
            let found = [small, capital].into_iter().find_map(|name| get(name).map(|value| (name, value)));
            let (variable, value) = found?;
            let value = value.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(Named { variable, value })
        };
        Proxies {
            http: named("http_proxy", "HTTP_PROXY"),
            https: named("https_proxy", "HTTPS_PROXY"),
            all: named("all_proxy", "ALL_PROXY"),
            no_proxy: named("no_proxy", "NO_PROXY").map_or_else(String::new, |named| named.value),
        }
    }

    /// The proxy for an address, if it is to go through one.
    pub(super) fn choose(&self, url: &str) -> Result<Option<Chosen>, HubError> {
        let Ok(uri) = url.parse::<Uri>() else { return Ok(None) };
        let of_scheme = if uri.scheme_str() == Some("http") { &self.http } else { &self.https };
        let Some(Named { variable, value }) = of_scheme.as_ref().or(self.all.as_ref()) else {
            return Ok(None);
        };
        if is_exempt(&self.no_proxy, &uri) {
            return Ok(None);
        }
        let proxy = ureq::Proxy::new(value).map_err(|_| HubError::BadVariable {
            name: variable,
            value: "…".to_owned(),
            expected: "a proxy's address such as http://proxy.example.org:3128",
        })?;
        let shown = address::origin(&address::shown(value)).to_owned();
        Ok(Some(Chosen { proxy, variable, shown }))
    }
}

/// Whether NO_PROXY lists the host: `*`, a host with all below it (`corp.example`, also with `.` or `*.` before it),
/// an IP address or a range of them (`10.0.0.0/8`), each with a port if need be; separated by commas or blanks.
fn is_exempt(no_proxy: &str, uri: &Uri) -> bool {
    let host =
        uri.host().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    no_proxy
        .split([',', ' ', '\t', '\n'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches(entry, &host, port))
}

fn matches(entry: &str, host: &str, port: u16) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let (Some((network, bits)), Ok(ip)) = (entry.split_once('/'), host.parse()) {
        return is_in_network(ip, network.trim_matches(['[', ']']), bits);
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        // A bare IPv6 address is all colons.
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => match digits.parse::<u16>() {
            Ok(wanted) => (name, Some(wanted)),
            Err(_) => return false,
        },
        _ => (entry.as_str(), None),
    };
    let name = name.trim_matches(['[', ']']);
    let name = name.strip_prefix('*').unwrap_or(name).trim_matches('.');
    let below = || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    wanted.is_none_or(|wanted| wanted == port) && !name.is_empty() && (host == name || below())
}

fn is_in_network(ip: IpAddr, network: &str, bits: &str) -> bool {
    let shift = |width: u32| bits.parse::<u32>().ok().and_then(|bits| width.checked_sub(bits));
    match (ip, network.parse()) {
        (IpAddr::V4(ip), Ok(IpAddr::V4(network))) => shift(32).is_some_and(|shift| {
            let top = |ip: std::net::Ipv4Addr| ip.to_bits().checked_shr(shift);
            top(ip) == top(network)
        }),
        (IpAddr::V6(ip), Ok(IpAddr::V6(network))) => shift(128).is_some_and(|shift| {
            let top = |ip: std::net::Ipv6Addr| ip.to_bits().checked_shr(shift);
            top(ip) == top(network)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(variables: &[(&str, &str)], url: &str) -> Option<(&'static str, String)> {
        let get = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let chosen = Proxies::from_lookup(&get).choose(url).unwrap();
        chosen.map(|chosen| (chosen.variable, chosen.shown))
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let all = [
            ("HTTP_PROXY", "http://plain:1"),
            ("HTTPS_PROXY", "u:p@secure:2"),
            ("ALL_PROXY", "socks5://all:3"),
        ];
        let expect = |variable, shown: &str| Some((variable, shown.to_owned()));
        assert_eq!(choose(&all, "http://hub/x"), expect("HTTP_PROXY", "http://plain:1"));
        assert_eq!(choose(&all, "https://hub/x"), expect("HTTPS_PROXY", "secure:2"));
        assert_eq!(choose(&all[2..], "https://hub/x"), expect("ALL_PROXY", "socks5://all:3"));
        assert_eq!(choose(&all[..1], "https://hub/x"), None);
        let small = [("https_proxy", ""), ("HTTPS_PROXY", "http://secure:2")];
        assert_eq!(choose(&small, "https://hub/x"), None, "an empty one stands for none");
        let small = [("https_proxy", "http://u:p@small:2/"), ("HTTPS_PROXY", "http://secure:2")];
        assert_eq!(choose(&small, "https://hub/x"), expect("https_proxy", "http://small:2"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_its_password() {
        let get = |name: &str| (name == "HTTPS_PROXY").then(|| OsString::from("gopher://u:secret@proxy"));
        let error = Proxies::from_lookup(&get).choose("https://hub/x").err().unwrap().to_string();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn no_proxy_lists_hosts_as_curl_and_python_read_them() {
        for (list, url, exempt) in [
            ("*", "https://hub.corp/x", true),
            ("hub.corp", "https://hub.corp/x", true),
            ("corp", "https://hub.corp/x", true),
            (".corp", "https://hub.corp/x", true),
            ("*.corp", "https://HUB.corp/x", true),
            ("orp", "https://hub.corp/x", false),
            ("other, hub.corp", "https://hub.corp/x", true),
            ("other hub.corp", "https://hub.corp/x", true),
            ("hub.corp:443", "https://hub.corp/x", true),
            ("hub.corp:8443", "https://hub.corp/x", false),
            ("hub.corp:8443", "https://hub.corp:8443/x", true),
            ("hub.corp:x", "https://hub.corp/x", false),
            ("127.0.0.1", "http://127.0.0.1:8080/x", true),
            ("10.0.0.0/8", "http://10.1.2.3/x", true),
            ("10.0.0.0/8", "http://11.1.2.3/x", false),
            ("0.0.0.0/0", "http://11.1.2.3/x", true),
            ("10.0.0.0/33", "http://10.1.2.3/x", false),
            ("::1", "http://[::1]:80/x", true),
            ("[::1]:80", "http://[::1]/x", true),
            ("fd00::/8", "http://[fd12::1]/x", true),
            ("", "https://hub.corp/x", false),
            (".", "https://hub.corp/x", false),
        ] {
            assert_eq!(is_exempt(list, &url.parse().unwrap()), exempt, "{list} for {url}");
        }
    }
}
