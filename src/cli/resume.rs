//! `mirror train --resume DIR`

use std::io::Write;
use std::path::Path;

use toml::{Table, Value};

use super::configuration::{ConfigurationError, Settings};
use super::progress::say;
use super::{Done, Ending, usage};
use crate::checkpoint::configuration::CONFIGURATION;
use crate::checkpoint::run_checkpoints::CHECKPOINTS;
use crate::corpus;
use crate::interrupt::Signal;
use crate::model_folder::WEIGHTS;
use crate::output::{OutputFolder, run_folder};
use crate::quote::counted;
use crate::trainer::{TrainError, TrainOptions};

/// The run's own configuration. Flags on the command line (those that `given` names) may repeat it and not
/// contradict it.
pub fn with_saved_configuration(
    folder: &Path,
    options: TrainOptions,
    given: impl Fn(&str) -> bool,
) -> Result<TrainOptions, Ending> {
    let path = run_folder(folder).join(CONFIGURATION);
    let shown = folder.display();
    if !folder.is_dir() {
        return Err(usage(format!("--resume {shown}: there is no such folder")));
    }
    if !path.is_file() {
        return Err(usage(format!(
            "--resume {shown}: it has no {CONFIGURATION}, so no run of mirror train began there"
        )));
    }
    let settings = Settings::read(&path).map_err(ConfigurationError::ending)?;
    let saved = settings.apply(crate::cli_defaults(), |_| false).map_err(ConfigurationError::ending)?;
    let asked = settings.apply(options, given).map_err(ConfigurationError::ending)?;
    if let Some((key, saved, asked)) = contradiction(folder, &saved, &asked)? {
        return Err(usage(format!(
            "--{key} {asked} contradicts the run in {shown}, which has {saved}; leave the flag out, or \
             start a new run with --config {} and another --output",
            path.display()
        )));
    }
    Ok(saved)
}

/// The first setting that differs, as it was saved and as it is asked for.
fn contradiction(
    folder: &Path,
    saved: &TrainOptions,
    asked: &TrainOptions,
) -> Result<Option<(String, String, String)>, Ending> {
    let mut saved = saved.clone();
    let mut asked = asked.clone();
    for path in &mut asked.corpus {
        *path = corpus::settled(path)?;
    }
    for path in [&mut asked.data, &mut asked.log_dir].into_iter().flatten() {
        *path = std::path::absolute(&path)?;
    }
    // A model folder is saved as an absolute path; an id is no path, and the same is then the same.
    if asked.model != saved.model && std::path::absolute(&asked.model)?.as_os_str() == saved.model.as_str() {
        asked.model = saved.model.clone();
    }
    // The folder may have been moved since: it is the one that --resume names.
    let names_folder =
        |path: &Path| matches!((path.canonicalize(), folder.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if asked.output == saved.output || asked.output.as_deref().is_some_and(names_folder) {
        (saved.output, asked.output) = (None, None);
    }
    let (saved, asked) = (Table::try_from(saved)?, Table::try_from(asked)?);
    let shown = |value: Option<&Value>| value.map_or("no such setting".to_owned(), Value::to_string);
    let mut keys = asked.keys().chain(saved.keys().filter(|key| !asked.contains_key(*key)));
    Ok(keys
        .find(|key| saved.get(*key) != asked.get(*key))
        .map(|key| (key.clone(), shown(saved.get(key)), shown(asked.get(key)))))
}

/// Whether the run in a folder has written its result. The weights are the last file of it.
pub fn is_finished(folder: &Path) -> bool {
    run_folder(folder) == folder && folder.join(WEIGHTS).is_file()
}

pub fn say_finished(folder: &Path) -> Done {
    let mut out = std::io::stdout().lock();
    writeln!(out, "the run in {} is finished; there is nothing left to do", folder.display())?;
    Ok(())
}

/// How a run is resumed that stopped because it could not write, or lost its GPU.
pub fn hint(error: &TrainError, output: &OutputFolder, command: &str) {
    let once = match error {
        TrainError::Metrics(_) | TrainError::Save(_) => "once it can be written to",
        TrainError::DeviceLost { saved: Some(_), .. } => "once the GPU works again",
        _ => return,
    };
    if output.work().join(CONFIGURATION).is_file() {
        say(&format!(
            "{once}, resume the run from its newest checkpoint with: mirror {command} --resume {}",
            output.path().display()
        ));
    }
}

/// How a run ends that a signal stopped.
pub fn stopped(signal: Signal, step: u64, output: &OutputFolder, command: &str) -> Ending {
    let shown = output.path().display();
    let kept = if step == 0 {
        "no step was made yet".to_owned()
    } else {
        format!("{} kept in {}", counted(step, "step"), output.work().join(CHECKPOINTS).display())
    };
    Ending::Stopped {
        message: format!("stopped by {signal}; {kept}; resume it with: mirror {command} --resume {shown}"),
        signal,
    }
}
