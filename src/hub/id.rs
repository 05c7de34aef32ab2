//! Ids of models, and the names that come from a server: what may become a path is decided here.

use std::fmt;
use std::str::FromStr;

use super::HubError;

/// A model on the hub: `name` or `owner/name`, at a revision (branch, tag or commit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    id: String,
    revision: String,
}

/// The branch that an id without a revision means.
const DEFAULT_REVISION: &str = "main";
/// The longest owner or name that the hub gives out.
const LONGEST_NAME: usize = 96;
const LONGEST_PATH: usize = 255;

impl HubId {
    /// `owner/name` or a bare `name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A branch, a tag or a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The same model at another revision.
    pub fn at(&self, revision: &str) -> Result<HubId, HubError> {
        if !is_safe_path(revision) {
            return Err(HubError::BadRevision { id: self.id.clone(), revision: revision.to_owned() });
        }
        Ok(HubId { id: self.id.clone(), revision: revision.to_owned() })
    }

    /// The revision, if it is a whole commit hash and therefore can never mean anything else.
    pub(super) fn commit(&self) -> Option<&str> {
        let is_hash = self.revision.len() == 40 && self.revision.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then_some(self.revision.as_str())
    }
}

/// Reads `name`, `owner/name`, each with an optional `@revision`.
impl FromStr for HubId {
    type Err = HubError;

    fn from_str(text: &str) -> Result<HubId, HubError> {
        let (id, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let (owner, name) = match id.split_once('/') {
            Some((owner, name)) => (Some(owner), name),
            None => (None, id),
        };
        if !owner.is_none_or(is_name) || !is_name(name) || name.ends_with(".git") {
            return Err(HubError::NotAModel { given: text.to_owned() });
        }
        HubId { id: id.to_owned(), revision: String::new() }.at(revision)
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.id)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

/// The hub's own rule for an owner or a name; `--` stands for the slash in the cache.
fn is_name(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    name.len() <= LONGEST_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && edge(name.chars().next())
        && edge(name.chars().last())
        && !name.contains("--")
        && !name.contains("..")
}

/// Whether a name may be joined to a folder without leaving it: segments of letters, digits and
/// `_ - . +`, none of them empty or hidden (which also rules out `..`).
pub(super) fn is_safe_path(path: &str) -> bool {
    path.len() <= LONGEST_PATH && path.split('/').all(is_safe_segment)
}

/// Whether a commit hash or an ETag may become the name of a folder or a file.
pub(super) fn is_safe_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= LONGEST_PATH / 2
        && !segment.starts_with('.')
        && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn reads_the_forms_of_an_id() {
        for (text, id, revision) in [
            ("bert-base-uncased", "bert-base-uncased", "main"),
            ("owner/name_1.5", "owner/name_1.5", "main"),
            ("owner/name@v1.0", "owner/name", "v1.0"),
            ("name@refs/pr/1", "name", "refs/pr/1"),
        ] {
            let parsed: HubId = text.parse().unwrap();
            assert_eq!((parsed.id(), parsed.revision()), (id, revision));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_id() {
        let long = "a".repeat(97);
        for text in [
            "", "/", "a/", "/a", "a/b/c", "./a", "../a", "a/..", "..", ".", "a..b", "a--b", "~/a", "a b",
            "-a", "a-", "a.", ".a", "a.git", "C:\\a", "a\\b", "http://a", "a\0", "ä", "a@", "a@..", "a@/b",
            "a@b//c", "a@b/../c", "a@.b", "a@b@c", "a%2fb", "a?b", "a#b", &long,
        ] {
            assert!(text.parse::<HubId>().is_err(), "{text:?} was taken for an id");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_id_stays_inside_its_folder(text in r"[a-c./@\\ -]{0,12}|\PC{0,40}") {
            if let Ok(id) = text.parse::<HubId>() {
                prop_assert!(id.id().matches('/').count() <= 1);
                for part in [id.id(), id.revision()] {
                    prop_assert!(!part.contains('\\') && !part.contains(char::is_whitespace));
                    prop_assert!(Path::new(part).components().all(|c| matches!(c, Component::Normal(_))));
                    prop_assert_eq!(Path::new(part).components().count(), part.split('/').count());
                }
                prop_assert_eq!(id.to_string().parse::<HubId>().unwrap(), id);
            }
        }

        #[test]
        fn a_safe_path_is_made_of_plain_names(path in r"[ab./+-]{0,10}|\PC{0,20}") {
            if is_safe_path(&path) {
                let parts: Vec<_> = Path::new(&path).components().collect();
                prop_assert!(parts.iter().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(parts.len(), path.split('/').count());
            }
        }
    }
}
