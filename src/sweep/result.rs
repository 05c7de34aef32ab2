//! What a finished cell leaves: enough for the tables, whatever becomes of its model.

use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sts_eval::ScoredTask;

use super::{CELLS, Cell, RANKS, SweepError, ranks};
use crate::output::write_json;

/// The result's file in a cell's folder.
pub const RESULT: &str = "result.json";

const FORMAT: u32 = 1;

/// What came of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// Of this file.
    pub format: u32,
    /// Settings and inputs that decide the result.
    pub settings: Map<String, Value>,
    /// Steps that were made.
    pub steps: u64,
    /// By set: Spearman's ρ × 100, or of held-out lines the mean reciprocal rank × 100; null where it is undefined.
    pub dev: IndexMap<String, Option<f64>>,
    /// By set, Spearman's ρ × 100; none until the cell's values are chosen.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub test: IndexMap<String, Option<f64>>,
    /// Pairs of each test set, in the order of `ranks.npy`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub pairs: IndexMap<String, usize>,
    /// How long it took.
    pub seconds: Seconds,
    /// The most memory that it took, in bytes, where the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Where it was made.
    pub machine: Machine,
}

/// Times of a cell. A run that was stopped counts from its last start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Of the run.
    pub training: f64,
    /// Of scores.
    pub scoring: f64,
}

/// What last bits depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The program's version.
    pub version: String,
    /// What the CPU's operations are compiled for.
    pub instruction_set: String,
    /// Threads that computed.
    pub threads: usize,
    /// cpu or gpu.
    pub device: String,
}

impl CellResult {
    /// Of a run that was just made, not scored yet.
    pub fn new(cell: &Cell, steps: u64, machine: Machine) -> Self {
        CellResult {
            format: FORMAT,
            settings: cell.identity.clone(),
            steps,
            dev: IndexMap::new(),
            test: IndexMap::new(),
            pairs: IndexMap::new(),
            seconds: Seconds::default(),
            peak_memory: None,
            machine,
        }
    }

    /// The result of a cell in a sweep's folder; `None` where there is none, or one of other settings.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(sweep: &Path, name: &str, cell: &Cell) -> Result<Option<Self>, SweepError> {
        let path = folder(sweep, name).join(RESULT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SweepError::Read { path, source }),
        };
        let result: CellResult = serde_json::from_slice(&bytes)
            .map_err(|error| SweepError::Damaged { path: path.clone(), what: crate::quote::reason(error) })?;
        if result.format != FORMAT {
            return Err(SweepError::OtherVersion(path));
        }
        Ok(cell.is_of(&result.settings).then_some(result))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, sweep: &Path, name: &str) -> Result<(), SweepError> {
        Ok(write_json(&folder(sweep, name).join(RESULT), self)?)
    }

    /// Takes in the scores of the test sets, and writes their ranks.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn scored(&mut self, sweep: &Path, name: &str, scored: &[ScoredTask]) -> Result<(), SweepError> {
        ranks::write(&folder(sweep, name).join(RANKS), scored)?;
        self.test = scored.iter().map(|task| (task.name.clone(), task.score().spearman)).collect();
        self.pairs = scored.iter().map(|task| (task.name.clone(), task.gold.len())).collect();
        Ok(())
    }

    /// The ranks of its test sets' pairs.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn ranks(&self, sweep: &Path, name: &str) -> Result<Vec<ScoredTask>, SweepError> {
        ranks::read(&folder(sweep, name).join(RANKS), &self.pairs)
    }
}

/// A cell's folder.
pub(super) fn folder(sweep: &Path, name: &str) -> PathBuf {
    sweep.join(CELLS).join(name)
}
