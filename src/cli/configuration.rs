//! `--config FILE`: a TOML file whose keys are the flags of `mirror train`.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{CommandFactory, parser::ValueSource};
use serde::Deserialize;
use sts_eval::not_text::{NotText, decode};
use thiserror::Error;
use toml::{Spanned, Table, Value};

use super::{Cli, Ending, opposite};
use crate::quote::{line_of, quoted, reason};
use crate::suggest::meant;
use crate::trainer::TrainOptions;

/// A configuration is a page of settings; a larger file is something else.
const LARGEST_FILE: u64 = 1 << 20;

/// Flags that are no settings: they say where settings come from, or apply to one run.
const NO_SETTINGS: [&str; 7] = ["config", "preset", "show", "resume", "help", "version", "overwrite"];

const PATHS: [&str; 5] = ["model", "corpus", "output", "data", "log-dir"];

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ConfigurationError {
    #[error("cannot read the configuration {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    NotText(#[from] NotText),
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

/// The settings of a file, in its order.
pub struct Settings {
    shown: String,
    settings: Vec<Setting>,
}

struct Setting {
    line: usize,
    key: String,
    value: Value,
}

/// Which settings flags of the command line give.
pub(super) fn given(matches: &clap::ArgMatches) -> impl Fn(&str) -> bool {
    let on_command_line = |flag: &str| {
        let id = flag.replace('-', "_");
        matches.ids().any(|known| known.as_str() == id)
            && matches.value_source(&id) == Some(ValueSource::CommandLine)
    };
    move |key| on_command_line(key) || on_command_line(&opposite(key))
}

/// The options of a run that a file alone describes.
///
/// # Errors
/// As [`Settings::read`] and [`Settings::apply`].
pub fn options(path: &Path) -> Result<TrainOptions, ConfigurationError> {
    Settings::read(path)?.apply(crate::cli_defaults(), |_| false)
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML, and a key that is no flag.
    pub fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let shown = path.display().to_string();
        let read = |source| ConfigurationError::Read { path: shown.clone(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        if metadata.is_dir() {
            let file = path.join("train.toml");
            return Err(ConfigurationError::Refused(format!(
                "{shown} is a folder; --config takes a file, such as {}",
                file.display()
            )));
        }
        if metadata.len() > LARGEST_FILE {
            return Err(ConfigurationError::Refused(format!("{shown} is too large for a configuration")));
        }
        Settings::parse(&decode(std::fs::read(path).map_err(read)?, &shown)?, shown)
    }

    /// Reads a text, which messages call `shown`.
    ///
    /// # Errors
    /// A text that is not TOML, and a key that is no flag.
    pub(super) fn parse(text: &str, shown: String) -> Result<Self, ConfigurationError> {
        let line_of = |start| line_of(text.as_bytes(), start);
        let entries: BTreeMap<Spanned<String>, Value> = toml::from_str(text).map_err(|error| {
            let line = line_of(error.span().map_or(0, |span| span.start));
            let advice = text.lines().nth(line - 1).map_or("", about_backslashes);
            let reason = reason(error.message());
            ConfigurationError::Refused(format!("{shown}, line {line}: this is not TOML: {reason}{advice}"))
        })?;
        let mut settings: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| (line_of(key.span().start), key.into_inner(), value))
            .collect();
        settings.sort_by_key(|(line, ..)| *line);
        Settings::of(shown, settings)
    }

    /// Settings of a file that messages call `shown`, each with its line, of which later ones win.
    ///
    /// # Errors
    /// A key that is no flag.
    pub(super) fn of(
        shown: String,
        settings: impl IntoIterator<Item = (usize, String, Value)>,
    ) -> Result<Self, ConfigurationError> {
        let known = known();
        let check =
            |(line, key, value): (usize, String, Value)| match known.iter().any(|(name, _)| *name == key) {
                true => Ok(Setting { line, key, value }),
                false => Err(ConfigurationError::Refused(unknown(&shown, line, &key, &known))),
            };
        let settings = settings.into_iter().map(check).collect::<Result<_, _>>()?;
        Ok(Settings { shown, settings })
    }

    /// What messages call it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The settings that it has.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|setting| setting.key.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys().any(|own| own == key)
    }

    /// `options` with the file's settings, but for those that `given` names.
    ///
    /// # Errors
    /// A value of another type than its setting has.
    pub(super) fn apply(
        &self,
        options: TrainOptions,
        given: impl Fn(&str) -> bool,
    ) -> Result<TrainOptions, ConfigurationError> {
        let refused = |setting: &Setting, what: &str| {
            let Setting { line, key, .. } = setting;
            ConfigurationError::Refused(format!("{}, line {line}: {key}: {what}", self.shown))
        };
        let overwrite = options.overwrite;
        let mut table = Table::try_from(&options).map_err(|error| {
            ConfigurationError::Refused(format!("the flags cannot be read as settings: {error}"))
        })?;
        let mut options = options;
        for setting in self.settings.iter().filter(|setting| !given(&setting.key)) {
            check_path(setting).map_err(|what| refused(setting, what))?;
            table.insert(setting.key.clone(), setting.value.clone());
            options = TrainOptions::deserialize(table.clone())
                .map_err(|error| refused(setting, &plain(&reason(error.message()))))?;
        }
        Ok(TrainOptions { overwrite, ..options })
    }
}

/// The keys of all settings.
pub(super) fn keys() -> Vec<String> {
    known().into_iter().map(|(name, _)| name).collect()
}

/// The settings, and the other names that their flags have.
fn known() -> Vec<(String, Vec<String>)> {
    let command = Cli::command();
    let train = command.find_subcommand("train").into_iter();
    let named = train.flat_map(|train| train.get_arguments()).filter_map(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        Some((argument.get_long()?.to_owned(), aliases.into_iter().map(str::to_owned).collect()))
    });
    named.filter(|(name, _)| !NO_SETTINGS.contains(&name.as_str())).collect()
}

fn unknown(shown: &str, line: usize, key: &str, known: &[(String, Vec<String>)]) -> String {
    if NO_SETTINGS.contains(&key) {
        return format!(
            "{shown}, line {line}: {key} is not a setting of a run; give --{key} on the command line"
        );
    }
    let alias = known.iter().find(|(_, aliases)| aliases.iter().any(|alias| alias == key));
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let likely = alias.map(|(name, _)| name.as_str()).or_else(|| meant(key, names.iter().copied()));
    let likely = likely.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
    format!(
        "{shown}, line {line}: {} is not a setting{likely}; the settings are {}",
        quoted(key),
        names.join(", ")
    )
}

const BACKSLASHES: &str =
    r"; write a path with backslashes in single quotes ('C:\data'), or with forward slashes";

/// What to do about a backslash in a line that is refused.
fn about_backslashes(line: &str) -> &'static str {
    if line.contains('\\') && line.contains('"') { BACKSLASHES } else { "" }
}

/// Refuses a path that escapes have changed, or that only a shell would understand.
fn check_path(setting: &Setting) -> Result<(), &'static str> {
    if !PATHS.contains(&setting.key.as_str()) {
        return Ok(());
    }
    match &setting.value {
        Value::String(path) => check_one_path(path),
        Value::Array(paths) => paths.iter().filter_map(Value::as_str).try_for_each(check_one_path),
        _ => Ok(()),
    }
}

fn check_one_path(path: &str) -> Result<(), &'static str> {
    if path.chars().any(char::is_control) {
        return Err(
            r"a \ in double quotes began an escape; write the path in single quotes ('C:\data'), or with forward slashes",
        );
    }
    if path.starts_with("~/") && !Path::new("~").exists() {
        return Err("~ means a home folder to a shell only; write the whole path");
    }
    Ok(())
}

/// serde's words for a type, in plain ones.
fn plain(message: &str) -> String {
    [
        ("expected usize", "expected a whole number, 0 or above"),
        ("expected u64", "expected a whole number, 0 or above"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a string", "expected text in quotation marks"),
        ("expected path string", "expected a path in quotation marks"),
    ]
    .iter()
    .fold(message.to_owned(), |message, (from, to)| message.replace(from, to))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<TrainOptions, ConfigurationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.toml");
        std::fs::write(&path, bytes).unwrap();
        options(&path)
    }

    fn is_one_sentence(error: ConfigurationError) -> bool {
        let text = error.to_string();
        !text.is_empty() && text.lines().count() == 1
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        assert!(read(&vec![b'#'; LARGEST_FILE as usize + 1]).is_err());
    }

    /// What a run saves is what it is read back as, whatever the settings.
    #[test]
    fn saved_options_come_back() {
        let mut options: TrainOptions = crate::cli_defaults();
        options.corpus = vec!["a b/c.txt".into(), "d/*.csv".into()];
        options.reading.column = vec!["text".into()];
        options.reading.dedup = Some(crate::corpus::Dedup::Near);
        options.regularization.reg = "delta-sam,r3f".into();
        options.regularization.perturbation.rho = Some(1.0);
        (options.pairs, options.keep_best, options.clip_norm) = (true, true, Some(2.0));
        options.save_every = crate::checkpoint::SaveEvery::Steps(7);
        assert_eq!(read(toml::to_string(&options).unwrap().as_bytes()).unwrap(), options);
    }

    proptest! {
        /// A damaged or hostile file is an error of one sentence, or options; never a panic.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).map_or_else(is_one_sentence, |_| true));
        }

        #[test]
        fn any_toml(key in "[a-z-]{0,12}|seed|reg|no-eval|corpus", value in "[ -~]{0,30}|[0-9]{1,40}|true|\\[+|\\{+") {
            let done = read(format!("{key} = {value}\nseed = 1\n").as_bytes());
            prop_assert!(done.map_or_else(is_one_sentence, |options| options.seed == 1));
        }
    }
}
