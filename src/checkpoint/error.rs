//! What can be wrong with a run's checkpoints.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::encoder::Precision;
use crate::model_folder::WeightsError;
use crate::output::OutputError;

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum CheckpointError {
    #[error("cannot write the checkpoint {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is damaged ({reason}); remove it to resume without its check of corpus and model")]
    Origin { path: PathBuf, reason: String },
    #[error("{folder} has no whole checkpoint: {reasons}; start again with --config and another --output")]
    AllBroken { folder: PathBuf, reasons: String },
    #[error(
        "the {what} is not the one that this run started with (its SHA-256 differs); bring that one back, \
         or start a new run with --config, {flag} and another --output"
    )]
    Changed { what: &'static str, flag: &'static str },
    #[error(
        "this run was started with --precision {then} and cannot be resumed with {now}; resume it without --precision, or \
         start a new run with --config and another --output"
    )]
    Precision { now: Precision, then: Precision },
    #[error(transparent)]
    Model(#[from] WeightsError),
    #[error(transparent)]
    Output(#[from] OutputError),
}
