//! What a person types: `mirror train`, `mirror eval`, `mirror encode`, `mirror search`, `mirror export`,
//! `mirror data`, `mirror sharpness`.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::interrupt::Signal;
use crate::output::OutputError;

mod backend;
pub mod configuration;
mod data;
mod encode;
mod eval;
mod export;
mod export_place;
mod files;
mod forms;
mod install;
mod machine;
mod model;
mod new_graphs;
mod progress;
mod prompt;
mod resume;
mod search;
mod sharpness;
mod text;
mod train;
mod unlabeled;

/// Turn a pretrained masked language model into a sentence encoder, without labels.
#[derive(Parser)]
#[command(name = "mirror", version, max_term_width = 100, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Train>),
    Eval(eval::Eval),
    Encode(encode::Encode),
    Search(search::Search),
    Data(data::Data),
    Export(export::Export),
    Sharpness(sharpness::Sharpness),
    Completions(install::Completions),
    Man(install::ManualPages),
}

/// Why a command ended without success.
enum Ending {
    /// The command line asks for what cannot be: exit code 2.
    Usage(String),
    /// Something went wrong: exit code 1.
    Failure(anyhow::Error),
    /// A signal stopped it, and what it had is safe.
    Stopped { message: String, signal: Signal },
}

impl<E: Into<anyhow::Error>> From<E> for Ending {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref::<OutputError>() {
            Some(refusal) if refusal.is_usage() => Ending::Usage(refusal.to_string()),
            _ => Ending::Failure(error),
        }
    }
}

/// A usage error of a displayable kind.
fn usage(error: impl std::fmt::Display) -> Ending {
    Ending::Usage(error.to_string())
}

type Done = Result<(), Ending>;

/// Runs the program with the given arguments, the program's name first.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if is_refusal(&error) => return end(usage(one_sentence(&error))),
        // Help, on standard output or, where a command is missing, on stderr.
        Err(error) => error.exit(),
    };
    let done = match cli.command {
        Command::Train(train) => with_configuration(*train, &arguments).and_then(train::Train::run),
        Command::Eval(eval) => eval.run(),
        Command::Encode(encode) => encode.run(),
        Command::Search(search) => search.run(),
        Command::Data(data) => data.run(),
        Command::Export(export) => export.run(),
        Command::Sharpness(sharpness) => sharpness.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(pages) => pages.run(),
    };
    done.map_or_else(end, |()| ExitCode::SUCCESS)
}

fn end(ending: Ending) -> ExitCode {
    match ending {
        Ending::Usage(message) => {
            progress::say(&format!("error: {message}"));
            ExitCode::from(2)
        }
        Ending::Stopped { message, signal } => {
            progress::say(&message);
            ExitCode::from(signal.exit_code())
        }
        Ending::Failure(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ending::Failure(error) => {
            // The typed errors of the library name their cause themselves: no chain after them.
            progress::say(&format!("error: {error}"));
            ExitCode::from(1)
        }
    }
}

/// Whether clap refuses the command line, rather than being asked for help.
fn is_refusal(error: &clap::Error) -> bool {
    let help = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    !help.contains(&error.kind())
}

/// clap's message, which takes several lines, in one: what is wrong, what is known, what was perhaps meant.
fn one_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let told = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts: Vec<&str> = told.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    parts.join(" ").trim_start_matches("error: ").replace(" tip: ", "; ")
}

/// Parses again with a TOML file's keys as flags before those of the command line, which win. For a run
/// that is resumed they may not differ.
fn with_configuration(train: train::Train, arguments: &[OsString]) -> Result<train::Train, Ending> {
    if let Some(folder) = &train.resume {
        return resume::with_saved_configuration(folder, arguments);
    }
    match &train.config {
        Some(path) => parse_with(
            path,
            configuration::flags(path).map_err(configuration::ConfigurationError::ending)?,
            arguments,
        ),
        None => Ok(train),
    }
}

/// Parses `mirror train` with the flags that a file gives before those of the command line.
fn parse_with(path: &Path, flags: Vec<String>, arguments: &[OsString]) -> Result<train::Train, Ending> {
    let place = arguments.iter().position(|a| a == "train").map_or(arguments.len(), |i| i + 1);
    let (before, after) = arguments.split_at(place);
    let merged =
        before.iter().cloned().chain(flags.into_iter().map(OsString::from)).chain(after.iter().cloned());
    match Cli::try_parse_from(merged) {
        Ok(Cli { command: Command::Train(train) }) => Ok(*train),
        Ok(_) => Err(usage("--config and --resume are for mirror train")),
        Err(error) => Err(usage(format!("{}: {}", path.display(), one_sentence(&error)))),
    }
}

/// Whoever reads our output has read enough: no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
