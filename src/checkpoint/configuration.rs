//! train.toml: the settings of a run, which `--config` and `--resume` read.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::output::{OutputError, write_whole};

/// The file's name in an output folder.
pub const CONFIGURATION: &str = "train.toml";

/// Writes a run's resolved settings.
///
/// # Errors
/// The file cannot be written.
pub fn write_configuration(options: &impl Serialize, folder: &Path) -> Result<(), OutputError> {
    let path = folder.join(CONFIGURATION);
    match toml::to_string(options) {
        Ok(text) => write_whole(&path, text.as_bytes()),
        Err(error) => Err(OutputError::Write { path, source: io::Error::other(error) }),
    }
}
