//! What cells are scored on: a dev set, by which values are chosen, and test sets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sts_eval::{Benchmark, Convention, SEVEN, SentEval, Task, UserSet};

use super::SweepError;
use crate::builtin;
use crate::quote::quoted;

const STS_B_DEV: &str = "STSB-dev";
const HELD_OUT: &str = "holdout";

/// A set by the name that a configuration has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SetName {
    /// The development split of STS-B.
    StsBDev,
    /// Lines that are held out of training, without labels.
    HeldOut,
    /// One of the seven.
    Benchmark(Benchmark),
    /// The pairs within the program.
    BuiltIn,
    /// Pairs of one's own, `NAME=FILE`.
    Pairs(UserSet),
}

impl SetName {
    /// What tables call it.
    pub fn name(&self) -> String {
        match self {
            SetName::StsBDev => STS_B_DEV.to_owned(),
            SetName::HeldOut => HELD_OUT.to_owned(),
            SetName::Benchmark(benchmark) => benchmark.key().to_owned(),
            SetName::BuiltIn => builtin::PAIRS_NAME.to_owned(),
            SetName::Pairs(set) => set.name.clone(),
        }
    }

    /// The same with a path that means the same from any folder.
    pub fn settled(self) -> std::io::Result<Self> {
        match self {
            SetName::Pairs(UserSet { name, path }) => {
                Ok(SetName::Pairs(UserSet { name, path: std::path::absolute(path)? }))
            }
            other => Ok(other),
        }
    }

    /// Its pairs. `data` is the folder of STS data.
    ///
    /// # Errors
    /// Data that is not there or cannot be read; held-out lines, which are no pairs.
    pub fn task(&self, data: Option<&Path>, convention: Convention) -> Result<Task, SweepError> {
        let sts = || match data {
            Some(folder) => Ok(SentEval::open(folder)?),
            None => Err(SweepError::Refused(format!(
                "{} needs STS data: set data in [settings], or fetch it with mirror data fetch",
                self.name()
            ))),
        };
        Ok(match self {
            SetName::StsBDev => sts()?.sts_b_dev()?,
            SetName::Benchmark(benchmark) => sts()?.task(*benchmark, convention)?,
            SetName::BuiltIn => builtin::pairs()?,
            SetName::Pairs(set) => set.read()?,
            SetName::HeldOut => {
                return Err(SweepError::Refused("held-out lines have no labels to score by".to_owned()));
            }
        })
    }
}

impl FromStr for SetName {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        match given {
            STS_B_DEV => Ok(SetName::StsBDev),
            HELD_OUT => Ok(SetName::HeldOut),
            builtin::PAIRS_NAME => Ok(SetName::BuiltIn),
            name => match Benchmark::from_key(name) {
                Some(benchmark) => Ok(SetName::Benchmark(benchmark)),
                None if name.contains('=') => {
                    name.parse().map(SetName::Pairs).map_err(|error: sts_eval::Error| error.to_string())
                }
                None => Err(format!(
                    "there is no set {}; the sets are {}, {STS_B_DEV}, {}, {HELD_OUT} (for dev), and NAME=FILE for your own pairs",
                    quoted(name),
                    SEVEN.map(Benchmark::key).join(", "),
                    builtin::PAIRS_NAME
                )),
            },
        }
    }
}

impl TryFrom<String> for SetName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<SetName> for String {
    fn from(set: SetName) -> String {
        set.to_string()
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetName::Pairs(UserSet { name, path }) => write!(f, "{name}={}", path.display()),
            other => f.write_str(&other.name()),
        }
    }
}

/// Refuses to choose by what is scored: the same set, the same file, or the same pairs by another name.
pub(super) fn check_apart(
    dev: &SetName,
    test: &[SetName],
    tasks: &[Task],
    dev_task: Option<&Task>,
) -> Result<(), SweepError> {
    let file = |set: &SetName| match set {
        SetName::Pairs(set) => set.path.canonicalize().ok(),
        _ => None,
    };
    let sentences = |task: &Task| -> Vec<(String, String)> {
        task.pairs().map(|pair| (pair.first.clone(), pair.second.clone())).collect()
    };
    let own_file: Option<PathBuf> = file(dev);
    let own_pairs = dev_task.map(sentences);
    for (set, task) in test.iter().zip(tasks) {
        let same = set == dev
            || (own_file.is_some() && file(set) == own_file)
            || own_pairs.as_ref().is_some_and(|own| *own == sentences(task));
        if same {
            return Err(SweepError::Refused(format!(
                "{} would choose values and be scored with them too: what is chosen by a test set says nothing about it; \
                 set dev to another set, or to \"{HELD_OUT}\"",
                quoted(&set.name())
            )));
        }
    }
    Ok(())
}
