//! `--config FILE`: a TOML file whose keys are the flags of `mirror train`.

use std::path::Path;

use clap::CommandFactory;
use thiserror::Error;
use toml::Value;

use super::{Cli, Ending};
use crate::quote::{quoted, reason};

/// A configuration is a page of settings; a larger file is something else.
const LARGEST_FILE: u64 = 1 << 20;

#[derive(Debug, Error)]
pub enum ConfigurationError {
    #[error("cannot read the configuration {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

impl ConfigurationError {
    /// What it means for the program: what a file asks for is a matter of usage, as on the command line.
    pub(super) fn ending(self) -> Ending {
        match self {
            ConfigurationError::Refused(message) => Ending::Usage(message),
            error => Ending::Failure(error.into()),
        }
    }
}

fn refused(message: String) -> ConfigurationError {
    ConfigurationError::Refused(message)
}

/// The file's keys as command-line flags.
///
/// # Errors
/// A file that cannot be read or is not TOML, a key that is no flag, a value that is a list or a table.
pub fn flags(path: &Path) -> Result<Vec<String>, ConfigurationError> {
    let shown = path.display();
    let read = |source| ConfigurationError::Read { path: shown.to_string(), source };
    if std::fs::metadata(path).map_err(read)?.len() > LARGEST_FILE {
        return Err(refused(format!("{shown} is too large for a configuration")));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| {
        let before = &text.as_bytes()[..e.span().map_or(0, |span| span.start.min(text.len()))];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        refused(format!("{shown}, line {line}: this is not TOML: {}", reason(e.message())))
    })?;
    let command = Cli::command();
    let known: Vec<String> = command
        .find_subcommand("train")
        .into_iter()
        .flat_map(|train| train.get_arguments())
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .filter(|name| !matches!(name.as_str(), "config" | "resume" | "help" | "version" | "overwrite"))
        .collect();
    let mut flags = Vec::new();
    for (key, value) in table {
        if !known.contains(&key) {
            let key = quoted(&key);
            return Err(refused(format!(
                "{shown}: {key} is not a setting; the settings are {}",
                known.join(", ")
            )));
        }
        match value {
            Value::Boolean(true) => flags.push(format!("--{key}")),
            Value::Boolean(false) => {}
            Value::String(text) => flags.push(format!("--{key}={text}")),
            Value::Integer(number) => flags.push(format!("--{key}={number}")),
            Value::Float(number) => flags.push(format!("--{key}={number}")),
            other => {
                let kind = other.type_str();
                return Err(refused(format!(
                    "{shown}: {key} has a value of type {kind}; it takes text, a number or true"
                )));
            }
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, ConfigurationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.toml");
        std::fs::write(&path, bytes).unwrap();
        flags(&path)
    }

    fn is_one_sentence(error: ConfigurationError) -> bool {
        let text = error.to_string();
        !text.is_empty() && text.lines().count() == 1
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        assert!(read(&vec![b'#'; LARGEST_FILE as usize + 1]).is_err());
    }

    proptest! {
        /// A damaged or hostile file is an error of one sentence, or flags; never a panic.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).map_or_else(is_one_sentence, |_| true));
        }

        #[test]
        fn any_toml(key in "[a-z-]{0,12}|seed|reg|no-eval|corpus", value in "[ -~]{0,30}|[0-9]{1,40}|true|\\[+|\\{+") {
            let done = read(format!("{key} = {value}\nseed = 1\n").as_bytes());
            prop_assert!(done.map_or_else(is_one_sentence, |flags| flags.iter().all(|f| f.starts_with("--"))));
        }
    }
}
