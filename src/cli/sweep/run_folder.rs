//! A cell's run: made or gone on with as `mirror train` would, and reduced to what says how it was made once its model is
//! no longer needed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::train::Train;
use super::super::{Done, Ending, failure, resume};
use crate::checkpoint::configuration::CONFIGURATION;
use crate::checkpoint::run_checkpoints::CHECKPOINTS;
use crate::output::{FolderLock, OutputError};
use crate::sweep::{CELLS, Cell, RUN, State};
use crate::trainer::TrainOptions;
use crate::trainer::metrics::METRICS;

/// What stays of a run.
const KEPT: [&str; 2] = [CONFIGURATION, METRICS];

/// Where a cell's files are.
pub fn of_cell(sweep: &Path, name: &str) -> PathBuf {
    sweep.join(CELLS).join(name)
}

/// Makes a cell's run, from its newest checkpoint where it has begun.
pub fn make(cell: &Cell, folder: &Path, threads: Option<usize>) -> Done {
    let train = |options, resume| Train { options, config: None, preset: None, show: false, resume };
    if folder.join(CHECKPOINTS).is_dir() && folder.join(CONFIGURATION).is_file() {
        let saved = resume::with_saved_configuration(folder, crate::cli_defaults(), |_| false)?;
        return train(saved, Some(folder.to_owned())).run();
    }
    if folder.exists() {
        // Of a run whose model was dropped, or that had not begun.
        fs::remove_dir_all(folder)
            .map_err(|source| OutputError::Write { path: folder.to_owned(), source })?;
    }
    let options = TrainOptions {
        output: Some(folder.to_owned()),
        threads: cell.options.threads.or(threads),
        ..cell.options.clone()
    };
    train(options, None).run()
}

/// What a run's log says.
pub struct Log {
    /// Steps that were made.
    pub steps: u64,
    /// The last measurement on held-out lines: mean reciprocal rank × 100.
    pub held_out: Option<f64>,
}

impl Log {
    /// Reads a run's log.
    pub fn read(folder: &Path) -> Result<Self, Ending> {
        let path = folder.join(METRICS);
        let text = fs::read_to_string(&path)
            .map_err(|error| failure(format!("cannot read {}: {error}", path.display())))?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut log = Log { steps: 0, held_out: None };
        for line in lines {
            if let (Some(step), Some(_)) = (line["step"].as_u64(), line.get("loss")) {
                log.steps = log.steps.max(step);
            }
            if let Some(mrr) = line["mrr"].as_f64() {
                log.held_out = Some(mrr * 100.0);
            }
        }
        Ok(log)
    }
}

/// Drops the models that nothing is to be scored with any more.
pub fn tidy(sweep: &Path, state: &State, keep_models: bool) -> Result<(), OutputError> {
    if keep_models {
        return Ok(());
    }
    let finished = state.results.keys().filter(|name| state.is_done(name) && !state.wanted(name).later);
    for name in finished {
        let cell = of_cell(sweep, name);
        let run = cell.join(RUN);
        if !run.is_dir() || !has_more(&run) {
            continue;
        }
        // Another process may be at it.
        if let Ok(_lock) = FolderLock::take(&cell) {
            reduce(&run).map_err(|source| OutputError::Write { path: run, source })?;
        }
    }
    Ok(())
}

fn has_more(run: &Path) -> bool {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| !KEPT.iter().any(|kept| entry.file_name() == *kept))
}

/// Removes all but what says how a run was made and how it went.
pub fn reduce(run: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(run)? {
        let entry = entry?;
        if KEPT.iter().any(|kept| entry.file_name() == *kept) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        }?;
    }
    Ok(())
}
