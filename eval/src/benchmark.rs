//! The seven data sets and the conventions by which papers score them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// One of the seven data sets that sentence-encoder papers report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Benchmark {
    /// Five sets of headlines, captions, machine translation and glosses (2012).
    Sts12,
    /// Three sets: headlines, FrameNet and OntoNotes glosses (2013).
    Sts13,
    /// Six sets, forums and tweets among them (2014).
    Sts14,
    /// Five sets, answers of students and forums among them (2015).
    Sts15,
    /// Five sets, questions, answers and post-edited translation among them (2016).
    Sts16,
    /// The STS Benchmark (2017), a selection from the years before; its test split is scored.
    StsB,
    /// SICK's relatedness scores.
    SickR,
}

/// The seven, in the order of every paper's table.
pub const SEVEN: [Benchmark; 7] = [
    Benchmark::Sts12,
    Benchmark::Sts13,
    Benchmark::Sts14,
    Benchmark::Sts15,
    Benchmark::Sts16,
    Benchmark::StsB,
    Benchmark::SickR,
];

impl Benchmark {
    /// The key in JSON and the name of the task.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sts12 => "STS12",
            Self::Sts13 => "STS13",
            Self::Sts14 => "STS14",
            Self::Sts15 => "STS15",
            Self::Sts16 => "STS16",
            Self::StsB => "STSB",
            Self::SickR => "SICKR",
        }
    }

    /// The heading in tables, as papers print it.
    pub fn label(self) -> &'static str {
        match self {
            Self::StsB => "STS-B",
            Self::SickR => "SICK-R",
            year => year.key(),
        }
    }

    /// The folder of the data set below `downstream`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Sts12 => "STS/STS12-en-test",
            Self::Sts13 => "STS/STS13-en-test",
            Self::Sts14 => "STS/STS14-en-test",
            Self::Sts15 => "STS/STS15-en-test",
            Self::Sts16 => "STS/STS16-en-test",
            Self::StsB => "STS/STSBenchmark",
            Self::SickR => "SICK",
        }
    }

    /// The set of a key such as `STS12`; `None` for the name of a user's set.
    pub fn from_key(key: &str) -> Option<Self> {
        SEVEN.into_iter().find(|benchmark| benchmark.key() == key)
    }
}

/// Which pairs of SICK-R count. The years and STS-B are the same in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Convention {
    /// The test split, 4,927 pairs, as Mirror-BERT's evaluation does.
    #[default]
    #[serde(rename = "mirror-bert")]
    MirrorBert,
    /// All 9,927 pairs (train, trial and test), as SimCSE's fork of SentEval does.
    #[serde(rename = "simcse")]
    SimCse,
}

impl Convention {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::MirrorBert, Self::SimCse];

    /// As it is written on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::MirrorBert => "mirror-bert",
            Self::SimCse => "simcse",
        }
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Convention {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|convention| convention.name() == given).ok_or_else(|| {
            Error::UnknownConvention { given: given.to_owned(), known: Self::ALL.map(Self::name).join(", ") }
        })
    }
}
