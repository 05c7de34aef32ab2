//! How far a folder is from holding the data sets.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::Serialize;
use sts_eval::{Benchmark, Convention, SentEval};

use super::manifest::FileState;
use super::{DatasetsError, Manifest};

/// A folder, compared with the manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Where the files are: the folder, or `downstream` in it.
    pub folder: PathBuf,
    /// Whether every file of the manifest is there and as it lists it.
    pub complete: bool,
    /// By the set's name, in the manifest's order.
    pub sets: IndexMap<String, SetState>,
}

/// The files of one data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SetState {
    /// Files that the manifest lists.
    pub files: usize,
    /// Files that are there as the manifest lists them.
    pub complete: usize,
    /// Paths of files that are there and other than they should be.
    pub altered: Vec<String>,
    /// Paths of files that are not there.
    pub missing: Vec<String>,
    /// Pairs with a gold score, of all splits that are read; counted where all files are complete.
    pub pairs: Option<usize>,
}

impl SetState {
    /// Whether all files are there as the manifest lists them.
    pub fn is_complete(&self) -> bool {
        self.complete == self.files
    }
}

impl Checked {
    /// Paths of files that are altered or missing.
    pub fn lacking(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().flat_map(|(_, set)| set.altered.iter().chain(&set.missing)).map(String::as_str)
    }

    /// Whether no file is there at all.
    pub fn is_empty(&self) -> bool {
        self.sets.iter().all(|(_, set)| set.missing.len() == set.files)
    }
}

/// Compares each file below `folder`, or below `downstream` in it, with the manifest.
pub fn check(folder: &Path, manifest: &Manifest) -> Result<Checked, DatasetsError> {
    if !folder.is_dir() {
        return Err(DatasetsError::NoFolder(folder.to_owned()));
    }
    let below = folder.join("downstream");
    let checked = check_exactly(folder, manifest)?;
    if checked.is_empty() && below.is_dir() {
        let downstream = check_exactly(&below, manifest)?;
        if !downstream.is_empty() {
            return Ok(downstream);
        }
    }
    Ok(checked)
}

fn check_exactly(folder: &Path, manifest: &Manifest) -> Result<Checked, DatasetsError> {
    let states = manifest.files.par_iter().map(|file| {
        let state = file.state(folder);
        state.map_err(|source| DatasetsError::Read { path: folder.join(&file.path), source })
    });
    let states: Vec<FileState> = states.collect::<Result<_, _>>()?;
    let of_set = |name: &&str| {
        let mut set = SetState::default();
        for (file, state) in manifest.files.iter().zip(&states).filter(|(file, _)| file.set == *name) {
            set.files += 1;
            match state {
                FileState::Complete => set.complete += 1,
                FileState::Altered => set.altered.push(file.path.clone()),
                FileState::Missing => set.missing.push(file.path.clone()),
            }
        }
        if set.is_complete() {
            set.pairs = pairs(folder, name);
        }
        ((*name).to_owned(), set)
    };
    let sets: IndexMap<String, SetState> = manifest.sets().iter().map(of_set).collect();
    let complete = sets.iter().all(|(_, set)| set.is_complete());
    Ok(Checked { folder: folder.to_owned(), complete, sets })
}

/// As the evaluator counts them: STS-B's development and test splits, and all of SICK-R.
fn pairs(folder: &Path, set: &str) -> Option<usize> {
    let benchmark = Benchmark::from_key(set)?;
    let data = SentEval::open(folder).ok()?;
    let test = data.task(benchmark, Convention::SimCse).ok()?.pair_count();
    match benchmark {
        Benchmark::StsB => Some(test + data.sts_b_dev().ok()?.pair_count()),
        _ => Some(test),
    }
}
