//! Addresses as text: their parts, where a redirect leads, and how they are shown.

/// Scheme, user, host and port: all that comes before the path.
pub(super) fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |path| &url[..host + path])
}

/// The address without a user and a password, which are nobody's to read in a message.
pub(super) fn shown(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |path| host + path);
    match url[host..end].rfind('@') {
        Some(at) => format!("{}{}", &url[..host], &url[host + at + 1..]),
        None => url.to_owned(),
    }
}

/// Where a `Location` that stands in the answer from `base` leads: an http or https address, or none.
pub(super) fn follow(base: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.split("://").next()?;
    let target = match location {
        "" => return None,
        whole if whole.contains("://") && !whole.starts_with(['/', '?', '.']) => whole.to_owned(),
        host if host.starts_with("//") => format!("{scheme}:{host}"),
        path if path.starts_with('/') => format!("{}{path}", origin(base)),
        beside => {
            let path = base.split(['?', '#']).next()?;
            let folder = &path[origin(path).len()..path.rfind('/').filter(|at| *at >= origin(path).len())?];
            format!("{}{}", origin(base), without_dots(&format!("{folder}/{beside}")))
        }
    };
    let has_scheme = target.starts_with("http://") || target.starts_with("https://");
    let is_address =
        target.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|h| !h.is_empty()));
    (has_scheme && is_address).then_some(target)
}

/// A path with its `.` and `..` resolved, as a browser does.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.trim_start_matches('/').split('/') {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Whether a token for the server of `from` may be sent to that of `to`: the same one, or the same host after
/// http has become https.
pub(super) fn may_share_token(from: &str, to: &str) -> bool {
    let (from, to) = (origin(from).to_ascii_lowercase(), origin(to).to_ascii_lowercase());
    let host = |origin: &str| {
        let host = origin.split("://").nth(1).unwrap_or_default();
        host.rsplit('@').next().unwrap_or_default().to_owned()
    };
    let upgraded = from.starts_with("http://")
        && to.starts_with("https://")
        && host(&from).trim_end_matches(":80") == host(&to).trim_end_matches(":443");
    from == to || upgraded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        const BASE: &str = "https://u:p@hub.corp:8443/api/hf/owner/tiny/resolve/main/a.json?x=1";
        const HUB: &str = "https://u:p@hub.corp:8443";
        for (location, target) in [
            ("http://cdn/x?sig=/a", Some("http://cdn/x?sig=/a".to_owned())),
            ("//cdn/x", Some("https://cdn/x".to_owned())),
            ("/x/y?z", Some(format!("{HUB}/x/y?z"))),
            ("b.json", Some(format!("{HUB}/api/hf/owner/tiny/resolve/main/b.json"))),
            ("../../b.json?q=../1", Some(format!("{HUB}/api/hf/owner/tiny/b.json?q=../1"))),
            ("./b.json#there", Some(format!("{HUB}/api/hf/owner/tiny/resolve/main/b.json"))),
            ("../../../../../../../../b", Some(format!("{HUB}/b"))),
            ("", None),
            ("#x", None),
            ("http://", None),
            ("ftp://cdn/x", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(follow(BASE, location), target, "{location}");
        }
        assert_eq!(follow("http://hub", "x"), None);
    }

    #[test]
    fn a_token_goes_to_its_own_server_only() {
        const HUB: &str = "https://hub.corp/x";
        for (from, to, may) in [
            (HUB, "https://hub.corp/y?z", true),
            (HUB, "https://HUB.corp", true),
            (HUB, "https://hub.corp:8443/y", false),
            (HUB, "http://hub.corp/y", false),
            (HUB, "https://cdn.hub.corp/y", false),
            (HUB, "https://hub.corp@evil/y", false),
            (HUB, "https://hub.corp.evil/y", false),
            ("http://hub.corp:80/x", "https://hub.corp/y", true),
            ("http://hub.corp:8080/x", "https://hub.corp/y", false),
        ] {
            assert_eq!(may_share_token(from, to), may, "{from} to {to}");
        }
    }

    #[test]
    fn a_shown_address_has_no_password() {
        for (url, expected) in [
            ("https://u:p@ss@hub/x", "https://hub/x"),
            ("https://hub/x@y", "https://hub/x@y"),
            ("hub:80", "hub:80"),
            ("u:p@hub:80", "hub:80"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
