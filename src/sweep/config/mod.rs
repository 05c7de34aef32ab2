//! The file that describes a sweep: TOML, of which every key is known and every mistake is named with its line.

use std::path::Path;

use sts_eval::Convention;
use sts_eval::not_text::decode;
use toml::Value;
use toml::de::DeTable;

use self::file::File;
use super::{SetName, SweepError};
use crate::quote::reason;

mod file;

/// A configuration is a page or two; a larger file is something else.
const LARGEST_FILE: u64 = 1 << 20;

/// A sweep as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What messages call the file.
    pub shown: String,
    /// The seeds that every row is run with.
    pub seeds: Vec<u64>,
    /// The seeds by which values of grids are chosen.
    pub tuning_seeds: Vec<u64>,
    /// What values are chosen by, if the file says so.
    pub dev: Option<SetName>,
    /// What chosen values are scored on, if the file says so.
    pub test: Option<Vec<SetName>>,
    /// Which pairs of SICK-R count.
    pub convention: Convention,
    /// Settings of all rows.
    pub settings: Vec<Setting>,
    /// In the order of the file.
    pub rows: Vec<Row>,
}

/// A flag of `mirror train` and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Where the file has it, from 1.
    pub line: usize,
    /// The flag without its dashes.
    pub key: String,
    /// Its value, of whatever type.
    pub value: Value,
}

/// A way of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// As tables call it.
    pub name: String,
    /// The row that it is measured against: the first one, unless the file says otherwise.
    pub against: Option<String>,
    /// Its own settings, which win over those of all rows.
    pub settings: Vec<Setting>,
    /// Settings to choose: a list of values for each.
    pub grid: Vec<Grid>,
}

/// A setting to choose.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Where the file has it, from 1.
    pub line: usize,
    /// The flag without its dashes.
    pub key: String,
    /// At least one.
    pub values: Vec<Value>,
}

impl Row {
    /// Every combination of the grid's values, the last setting's changing fastest. One, empty, without a grid.
    pub fn combinations(&self) -> Vec<Vec<Setting>> {
        self.grid.iter().fold(vec![Vec::new()], |combinations, grid| {
            let with = |combination: &Vec<Setting>, value: &Value| {
                let own = Setting { line: grid.line, key: grid.key.clone(), value: value.clone() };
                combination.iter().cloned().chain([own]).collect()
            };
            combinations
                .iter()
                .flat_map(|combination| grid.values.iter().map(move |value| with(combination, value)))
                .collect()
        })
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or describes no sweep.
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let read = |source| SweepError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        let shown = path.display().to_string();
        if metadata.is_dir() {
            return Err(SweepError::Refused(format!(
                "{shown} is a folder; mirror sweep takes a TOML file, or --collect {shown} for the tables of a sweep"
            )));
        }
        if metadata.len() > LARGEST_FILE {
            return Err(SweepError::Refused(format!("{shown} is too large for a configuration")));
        }
        let text = decode(std::fs::read(path).map_err(read)?, &shown)
            .map_err(|error| SweepError::Refused(error.to_string()))?;
        Config::parse(&text, shown)
    }

    /// Reads a text, which messages call `shown`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, shown: String) -> Result<Self, SweepError> {
        let file = File { text, shown };
        let table = DeTable::parse(text).map_err(|error| {
            let what = format!("this is not TOML: {}", reason(error.message()));
            file.refuse(&error.span().unwrap_or(0..0), &what)
        })?;
        file.config(table.get_ref())
    }
}
