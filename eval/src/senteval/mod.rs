//! The folder layout that SentEval made common: `downstream/STS/STS12-en-test`, …, `downstream/SICK`.

mod benchmark_csv;
mod sick;
mod years;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{Benchmark, Convention, Error, SEVEN, Task};

/// A folder that holds at least one of the seven data sets.
#[derive(Debug, Clone, PartialEq)]
pub struct SentEval {
    downstream: PathBuf,
}

impl SentEval {
    /// Takes the folder `downstream` or the one above it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(Error::NoFolder { folder: folder.to_owned() });
        }
        [folder.to_owned(), folder.join("downstream")]
            .into_iter()
            .map(|downstream| Self { downstream })
            .find(|data| !data.present().is_empty())
            .ok_or_else(|| Error::NoData {
                folder: folder.to_owned(),
                looked_for: SEVEN.map(Benchmark::folder).join(", "),
            })
    }

    /// The data sets whose folder is there, in the order of [`SEVEN`].
    pub fn present(&self) -> Vec<Benchmark> {
        SEVEN.into_iter().filter(|&benchmark| self.has(benchmark)).collect()
    }

    /// The data sets whose folder is not there.
    pub fn missing(&self) -> Vec<Benchmark> {
        SEVEN.into_iter().filter(|&benchmark| !self.has(benchmark)).collect()
    }

    fn has(&self, benchmark: Benchmark) -> bool {
        self.folder(benchmark).is_dir()
    }

    fn folder(&self, benchmark: Benchmark) -> PathBuf {
        self.downstream.join(benchmark.folder())
    }

    /// Reads the data sets that are present. A data set whose folder is there but lacks a file is an error, not
    /// missing: scored over fewer subsets it would get a number that compares with nothing.
    pub fn tasks(&self, convention: Convention) -> Result<Vec<Task>, Error> {
        self.present().into_par_iter().map(|benchmark| self.task(benchmark, convention)).collect()
    }

    /// Reads one data set.
    pub fn task(&self, benchmark: Benchmark, convention: Convention) -> Result<Task, Error> {
        let folder = self.folder(benchmark);
        let task = match benchmark {
            Benchmark::StsB => benchmark_csv::read(benchmark.key(), &folder.join("sts-test.csv")),
            Benchmark::SickR => sick::read(&folder, convention),
            year => years::read(year, &folder),
        }?;
        with_pairs(task, &folder)
    }

    /// The development split of STS-B (1,500 pairs), by which a model is chosen during training; task `STSB-dev`.
    pub fn sts_b_dev(&self) -> Result<Task, Error> {
        let path = self.folder(Benchmark::StsB).join("sts-dev.csv");
        with_pairs(benchmark_csv::read("STSB-dev", &path)?, &path)
    }
}

fn with_pairs(task: Task, path: &Path) -> Result<Task, Error> {
    if task.pair_count() == 0 {
        return Err(Error::NoPairs { path: path.to_owned() });
    }
    Ok(task)
}

/// Reads a file that belongs to a data set, with an error of its own if it is not there.
fn read_member(data_set: &'static str, path: &Path) -> Result<String, Error> {
    if !path.exists() {
        return Err(Error::MissingFile { data_set, path: path.to_owned() });
    }
    crate::text::read(path)
}
