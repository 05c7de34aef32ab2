//! A task: scored sentence pairs, grouped in the subsets that the data set has.

use crate::Error;

/// Two sentences, verbatim as in the file (not trimmed, not tokenised), and how similar people found them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// One sentence, verbatim.
    pub first: String,
    /// The other, verbatim.
    pub second: String,
    /// The gold score, in the data set's own units (0–5 in STS, 1–5 in SICK): only its order matters.
    pub gold: f64,
}

/// A named part of a task, such as `MSRvid` of STS12.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// As the data set calls it; empty if the task has one part only.
    pub name: String,
    /// In the order of the file.
    pub pairs: Vec<Pair>,
}

/// A data set to be scored by one rank correlation over all its pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The key in reports: `STS12`, …, `STSB`, `SICKR`, or the name that the user gave.
    pub name: String,
    /// One or several, scored together.
    pub subsets: Vec<Subset>,
    /// How many pairs were left out because they have no gold score.
    pub without_gold: usize,
}

impl Task {
    /// All pairs: the subsets one after another, which is the order of every array of scores.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.subsets.iter().flat_map(|subset| &subset.pairs)
    }

    /// How many scored pairs all subsets have.
    pub fn pair_count(&self) -> usize {
        self.subsets.iter().map(|subset| subset.pairs.len()).sum()
    }
}

/// Pairs as they come out of a file: those with a gold score, and a count of the rest.
#[derive(Debug, Default)]
pub(crate) struct ReadPairs {
    pub pairs: Vec<Pair>,
    pub without_gold: usize,
}

impl ReadPairs {
    pub fn push(&mut self, gold: Option<f64>, first: &str, second: &str) {
        match gold {
            Some(gold) => self.pairs.push(Pair { first: first.to_owned(), second: second.to_owned(), gold }),
            None => self.without_gold += 1,
        }
    }
}

/// Refuses two tasks of one name: reports are keyed by it.
pub fn check_names(tasks: &[Task]) -> Result<(), Error> {
    for (index, task) in tasks.iter().enumerate() {
        if tasks[..index].iter().any(|earlier| earlier.name == task.name) {
            return Err(Error::DuplicateTask { name: task.name.clone() });
        }
    }
    Ok(())
}
