//! A configuration worked out: every cell with all its settings. Written into the sweep's folder, from where cells can be
//! run one by one, on any machine that sees the folder and the inputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sts_eval::{Convention, SEVEN, SentEval, Task};

use super::cell::Contents;
use super::config::Row;
use super::sets::check_apart;
use super::{Cell, Config, SetName, Setting, SweepError};
use crate::hub;
use crate::output::write_json;
use crate::trainer::TrainOptions;

/// The plan's file in a sweep's folder.
pub const PLAN: &str = "sweep.json";

const FORMAT: u32 = 1;

/// Lines held out where values are chosen by them and the settings name no number.
const HELD_OUT: u64 = 500;

/// A sweep, every cell with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    format: u32,
    /// The seeds that every row is run with.
    pub seeds: Vec<u64>,
    /// The seeds by which values are chosen.
    pub tuning_seeds: Vec<u64>,
    /// What values are chosen by.
    pub dev: SetName,
    /// What chosen values are scored on.
    pub test: Vec<SetName>,
    /// Which pairs of SICK-R count.
    pub convention: Convention,
    /// STS data.
    pub data: Option<PathBuf>,
    /// The table's rows, in their order.
    pub rows: Vec<PlannedRow>,
    /// By name. Rows may share some.
    pub cells: BTreeMap<String, Cell>,
}

/// A row, and what may be chosen for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRow {
    /// As tables call it.
    pub name: String,
    /// The row that it is measured against.
    pub against: Option<String>,
    /// At least one.
    pub candidates: Vec<Candidate>,
}

/// Values of a row's grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// By flag; none where there is nothing to choose.
    pub values: Map<String, Value>,
    /// Names of cells, by seed: all seeds that there are, those of tuning included.
    pub cells: BTreeMap<u64, String>,
}

impl Candidate {
    /// Its values in a few words: `rho 0.05, beta 3`.
    pub fn shown(&self) -> String {
        let values = self.values.iter().map(|(key, value)| match value {
            Value::String(text) => format!("{key} {text}"),
            other => format!("{key} {other}"),
        });
        values.collect::<Vec<_>>().join(", ")
    }
}

impl Plan {
    /// Works out a configuration. `options_of` turns settings, of which later ones win, into those of a run.
    ///
    /// # Errors
    /// Settings that no run can have, data or inputs that are not there, a dev set that is also a test set.
    pub fn new<E: From<SweepError>>(
        config: &Config,
        mut options_of: impl FnMut(&[Setting]) -> Result<TrainOptions, E>,
    ) -> Result<Self, E> {
        let shared = options_of(&config.settings)?.settled().map_err(SweepError::from)?;
        let sets = Sets::of(config, &shared)?;
        let mut contents = Contents::default();
        let mut cells = BTreeMap::new();
        let mut rows = Vec::new();
        for row in &config.rows {
            let mut candidates = Vec::new();
            for values in row.combinations() {
                let settings: Vec<Setting> =
                    config.settings.iter().chain(&row.settings).chain(&values).cloned().collect();
                let options = sets.of_run(options_of(&settings)?);
                let candidate = candidate(config, &options, &values, &mut contents, &mut cells)?;
                candidates.push(candidate);
            }
            let Row { name, against, .. } = row.clone();
            rows.push(PlannedRow { name, against, candidates });
        }
        let Sets { dev, test, data } = sets;
        let plan = Plan {
            format: FORMAT,
            seeds: config.seeds.clone(),
            tuning_seeds: config.tuning_seeds.clone(),
            dev,
            test,
            convention: config.convention,
            data,
            rows,
            cells,
        };
        let dev_task = plan.dev_task()?;
        check_apart(&plan.dev, &plan.test, &plan.test_tasks()?, dev_task.as_ref())?;
        Ok(plan)
    }

    /// The plan of a sweep's folder.
    ///
    /// # Errors
    /// A folder without a plan, or with one that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, SweepError> {
        let path = folder.join(PLAN);
        if !path.is_file() {
            return Err(SweepError::Refused(format!(
                "{} has no {PLAN}, so no mirror sweep began there",
                folder.display()
            )));
        }
        let bytes = fs::read(&path).map_err(|source| SweepError::Read { path: path.clone(), source })?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| SweepError::Damaged { path: path.clone(), what: crate::quote::reason(error) })?;
        if value["format"] != FORMAT {
            return Err(SweepError::OtherVersion(path));
        }
        serde_json::from_value(value).map_err(|_| SweepError::OtherVersion(path))
    }

    /// Writes it into a sweep's folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), SweepError> {
        Ok(write_json(&folder.join(PLAN), self)?)
    }

    /// The pairs of the dev set; none where lines are held out.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn dev_task(&self) -> Result<Option<Task>, SweepError> {
        match &self.dev {
            SetName::HeldOut => Ok(None),
            set => set.task(self.data.as_deref(), self.convention).map(Some),
        }
    }

    /// The pairs of the test sets.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn test_tasks(&self) -> Result<Vec<Task>, SweepError> {
        self.test.iter().map(|set| set.task(self.data.as_deref(), self.convention)).collect()
    }
}

fn candidate(
    config: &Config,
    options: &TrainOptions,
    values: &[Setting],
    contents: &mut Contents,
    cells: &mut BTreeMap<String, Cell>,
) -> Result<Candidate, SweepError> {
    let mut named = BTreeMap::new();
    // Of one candidate only the seeds of the table are run: there is nothing to choose.
    for &seed in config.seeds.iter().chain(&config.tuning_seeds) {
        let options = TrainOptions { seed, ..options.clone() }.settled()?;
        let (name, cell) = Cell::new(options, contents)?;
        cells.insert(name.clone(), cell);
        named.insert(seed, name);
    }
    let json = |setting: &Setting| {
        (setting.key.clone(), serde_json::to_value(&setting.value).unwrap_or(Value::Null))
    };
    Ok(Candidate { values: values.iter().map(json).collect(), cells: named })
}

/// What cells are scored on.
struct Sets {
    dev: SetName,
    test: Vec<SetName>,
    data: Option<PathBuf>,
}

impl Sets {
    /// As the file says, else what there is data for.
    fn of(config: &Config, shared: &TrainOptions) -> Result<Self, SweepError> {
        let data = shared.data.clone();
        let settled = |set: SetName| {
            let name = set.name();
            set.settled().map_err(|source| SweepError::Read { path: name.into(), source })
        };
        let dev = match (config.dev.clone(), &data) {
            (Some(dev), _) => settled(dev)?,
            (None, Some(_)) => SetName::StsBDev,
            (None, None) => SetName::HeldOut,
        };
        let test = match (config.test.clone(), &data) {
            (Some(test), _) => test.into_iter().map(settled).collect::<Result<_, _>>()?,
            (None, Some(folder)) => {
                let present = SentEval::open(folder)?.present();
                SEVEN.into_iter().filter(|set| present.contains(set)).map(SetName::Benchmark).collect()
            }
            (None, None) if shared.model == hub::BUILTIN => vec![SetName::BuiltIn],
            (None, None) => {
                return Err(SweepError::Refused(format!(
                    "{}: there is nothing to score on; set data in [settings], or test = [\"NAME=FILE\"] with pairs of your own",
                    config.shown
                )));
            }
        };
        Ok(Sets { dev, test, data })
    }

    /// A run scores nothing itself, unless it chooses weights by that; lines are held out where values are chosen by
    /// them.
    fn of_run(&self, mut options: TrainOptions) -> TrainOptions {
        if self.dev == SetName::HeldOut {
            options.no_eval = false;
            options.holdout.get_or_insert(HELD_OUT);
        } else {
            let held_out = *options.holdout.get_or_insert(0);
            options.no_eval = options.eval_every == 0 && !options.keep_best && held_out == 0;
        }
        options
    }
}
