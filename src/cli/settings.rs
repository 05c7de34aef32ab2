//! The settings of a run by where they come from: a flag wins over a --config file, that over a preset, and that over
//! the default.

use std::collections::BTreeMap;
use std::io::Write;

use clap::ArgMatches;
use toml::Table;

use super::configuration::{self, ConfigurationError, Settings};
use super::train::Train;
use super::{Done, Ending, resume};
use crate::trainer::TrainOptions;

/// Where settings come from that are no defaults, by their keys.
pub type Sources = BTreeMap<String, String>;

/// Adds the settings of a preset and of a TOML file, which flags override; of a run that is resumed they may not
/// differ.
pub fn gather(train: Train, matches: &ArgMatches) -> Result<(Train, Sources), Ending> {
    let Some(matches) = matches.subcommand_matches("train") else { return Ok((train, Sources::new())) };
    let given = configuration::given(matches);
    if let Some(folder) = &train.resume {
        let options = resume::with_saved_configuration(folder, train.options, given)?;
        return Ok((Train { options, ..train }, Sources::new()));
    }
    let file = train.config.as_deref().map(Settings::read).transpose().map_err(ConfigurationError::ending)?;
    let preset =
        train.preset.map(|preset| preset.settings()).transpose().map_err(ConfigurationError::ending)?;
    let (mut options, mut sources) = (train.options, Sources::new());
    // The file first, so that its mistakes are told whatever the preset says.
    for (settings, above) in [(&file, None), (&preset, file.as_ref())] {
        let Some(settings) = settings else { continue };
        let is_given = |key: &str| given(key) || above.is_some_and(|above| above.has(key));
        options = settings.apply(options, is_given).map_err(ConfigurationError::ending)?;
        let own = settings.keys().filter(|key| !is_given(key));
        sources.extend(own.map(|key| (key.to_owned(), settings.shown().to_owned())));
    }
    let on_command_line = configuration::keys().into_iter().filter(|key| given(key));
    sources.extend(on_command_line.map(|key| (key, "command line".to_owned())));
    Ok((Train { options, ..train }, sources))
}

/// Prints the settings that a run would have, as a file that --config takes. What depends on the model or the corpus
/// is not known yet.
pub fn show(options: TrainOptions, sources: &Sources) -> Done {
    print(&Table::try_from(options.settled()?)?, sources)
}

/// Prints settings a line each, with where those come from that are no defaults.
pub fn print(settings: &Table, sources: &Sources) -> Done {
    let mut out = std::io::stdout().lock();
    for (key, value) in settings {
        match sources.get(key) {
            Some(source) => writeln!(out, "{key} = {value} # {}", crate::quote::one_line(source))?,
            None => writeln!(out, "{key} = {value}")?,
        }
    }
    Ok(out.flush()?)
}
