//! Ways of training compared: rows of settings, each with values to choose from, each run with several seeds.
//!
//! 1. [`Config`] is the file that describes them.
//! 2. [`Plan`] is what it comes to: cells, each a run with all its settings. What a cell is called follows from these
//!    settings and from what its inputs hold, so that a changed file changes the cells that it changes and no others.
//! 3. [`CellResult`] is what a finished cell leaves: scores, and the ranks of its similarities (`ranks`).
//! 4. [`State`] is the plan with the results that there are: which values are chosen, which cells are left.
//! 5. [`rows`] makes the table's rows of them.
//!
//! Values are chosen by the dev set alone. The test sets are scored for the chosen ones, once they are chosen.

mod cell;
mod config;
mod cost;
mod plan;
mod ranks;
mod result;
mod sets;
mod state;
mod tables;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use cell::Cell;
pub use config::{Config, Setting};
pub use cost::Clock;
pub use plan::{Candidate, PLAN, Plan, PlannedRow};
pub use ranks::RANKS;
pub use result::{CellResult, Machine, RESULT, Seconds};
pub use sets::SetName;
pub use state::{Choice, State, Wanted};
pub use tables::rows;

use crate::checkpoint::CheckpointError;
use crate::corpus::CorpusError;
use crate::hub::HubError;
use crate::output::OutputError;
use crate::trainer::plan::PlanError;

/// Where a sweep's cells are, in its folder.
pub const CELLS: &str = "cells";

/// Where a cell's run is, in the cell's folder.
pub const RUN: &str = "run";

/// Why a sweep cannot be, or cannot go on.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum SweepError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is damaged: {what}; move it away, and what it describes is made again")]
    Damaged { path: PathBuf, what: String },
    #[error("{0} was written by another version of mirror; run the sweep again with its configuration")]
    OtherVersion(PathBuf),
    #[error(transparent)]
    Scores(#[from] sts_eval::Error),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Run(#[from] PlanError),
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Model(#[from] HubError),
    #[error(transparent)]
    Inputs(#[from] CheckpointError),
}

impl SweepError {
    /// Whether the configuration or the command line asks for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            SweepError::Refused(_) => true,
            SweepError::Output(error) => error.is_usage(),
            SweepError::Run(error) => error.is_usage(),
            SweepError::Corpus(error) => error.is_usage(),
            SweepError::Model(HubError::NotAModel { .. }) => true,
            _ => false,
        }
    }
}
