//! From hidden states to one embedding a sequence.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// How a sequence's hidden states become its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over the sequence's tokens.
    Mean,
    /// The first token's hidden state.
    Cls,
    /// Mean over `--max-length` rows, padding included: the quirk of the original Mirror-BERT,
    /// which pads every sentence and averages what comes out at the padding too.
    MeanPadded,
    /// Mean over tokens of the average of the first layer's and the last layer's output.
    FirstLastAvg,
}

impl Pooling {
    /// All, the default of sentence-transformers first.
    pub const ALL: [Pooling; 4] = [Pooling::Mean, Pooling::Cls, Pooling::MeanPadded, Pooling::FirstLastAvg];

    /// As it is written on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::MeanPadded => "mean-padded",
            Pooling::FirstLastAvg => "first-last-avg",
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Pooling {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Pooling::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            format!("pooling {} is not known; mean, cls, mean-padded and first-last-avg are", quoted(name))
        })
    }
}

/// `--pooling`: one of the known ones, or what the folder says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolingChoice(pub Option<Pooling>);

impl FromStr for PoolingChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "auto" { Ok(PoolingChoice(None)) } else { name.parse().map(|p| PoolingChoice(Some(p))) }
    }
}

impl fmt::Display for PoolingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("auto", Pooling::name))
    }
}

impl TryFrom<String> for PoolingChoice {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<PoolingChoice> for String {
    fn from(choice: PoolingChoice) -> String {
        choice.to_string()
    }
}
