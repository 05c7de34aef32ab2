//! `--matryoshka`: prefixes of embeddings that are trained to do by themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::quote::quoted;

/// Widths of prefixes, in ascending order, each once and above 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "String")]
pub struct Prefixes(Vec<usize>);

/// A list of widths that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum InvalidPrefixes {
    #[error("it is empty; list widths such as 64,128,256")]
    Empty,
    #[error("{} is not a width; list whole numbers above 0, such as 64,128,256", quoted(found))]
    NotAWidth { found: String },
    #[error("{second} comes after {first}; list widths in ascending order, each once")]
    Order { first: usize, second: usize },
}

/// As a configuration may have it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected widths, as \"64,128\" or [64, 128]")]
enum Listed {
    Text(String),
    Widths(Vec<usize>),
}

impl Prefixes {
    /// Ascending.
    pub fn widths(&self) -> &[usize] {
        &self.0
    }

    /// The widest of them.
    pub fn widest(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }
}

impl TryFrom<Vec<usize>> for Prefixes {
    type Error = InvalidPrefixes;

    fn try_from(widths: Vec<usize>) -> Result<Self, InvalidPrefixes> {
        if widths.is_empty() {
            return Err(InvalidPrefixes::Empty);
        }
        if widths.contains(&0) {
            return Err(InvalidPrefixes::NotAWidth { found: "0".to_owned() });
        }
        match widths.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(InvalidPrefixes::Order { first: pair[0], second: pair[1] }),
            None => Ok(Prefixes(widths)),
        }
    }
}

impl FromStr for Prefixes {
    type Err = InvalidPrefixes;

    fn from_str(list: &str) -> Result<Self, InvalidPrefixes> {
        if list.trim().is_empty() {
            return Err(InvalidPrefixes::Empty);
        }
        let width = |part: &str| {
            part.trim().parse().map_err(|_| InvalidPrefixes::NotAWidth { found: part.trim().to_owned() })
        };
        list.split(',').map(width).collect::<Result<Vec<usize>, _>>()?.try_into()
    }
}

impl fmt::Display for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&widths.join(","))
    }
}

impl TryFrom<Listed> for Prefixes {
    type Error = InvalidPrefixes;

    fn try_from(listed: Listed) -> Result<Self, InvalidPrefixes> {
        match listed {
            Listed::Text(list) => list.parse(),
            Listed::Widths(widths) => widths.try_into(),
        }
    }
}

impl From<Prefixes> for String {
    fn from(prefixes: Prefixes) -> String {
        prefixes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_or_refused_in_a_sentence() {
        assert_eq!("64, 128".parse::<Prefixes>().unwrap().widths(), [64, 128]);
        for (list, said) in [
            ("", "it is empty"),
            (" ", "it is empty"),
            ("64,,128", "\"\" is not a width"),
            ("0", "\"0\" is not a width"),
            ("-1", "\"-1\" is not a width"),
            ("6.5", "\"6.5\" is not a width"),
            ("64;128", "\"64;128\" is not a width"),
            ("99999999999999999999999", "is not a width"),
            ("64,64", "64 comes after 64; list widths in ascending order"),
            ("128,64", "64 comes after 128"),
        ] {
            let message = list.parse::<Prefixes>().unwrap_err().to_string();
            assert!(message.contains(said), "{list:?}: {message}");
        }
    }
}
