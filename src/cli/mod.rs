//! What a person types: `mirror train`, `mirror pretrain`, `mirror finetune`, `mirror predict`, `mirror eval`, `mirror encode`, `mirror search`, `mirror export`,
//! `mirror data`, `mirror sharpness`, `mirror sweep`.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::backend::{Precision, instructions as backend_instructions};
use crate::corpus::CorpusError;
use crate::interrupt::Signal;
use crate::output::OutputError;
use crate::sweep::SweepError;
use crate::trainer::labels::FinetuneError;
use crate::trainer::plan::PlanError;
use crate::trainer::pretrain::PretrainError;

mod backend;
pub mod configuration;
mod data;
mod embeddings;
mod encode;
mod eval;
mod export;
mod export_place;
mod files;
mod finetune;
mod forms;
mod install;
mod machine;
mod mistakes;
mod model;
mod new_graphs;
mod predict;
mod presets;
mod pretrain;
mod progress;
mod prompt;
mod resume;
mod search;
mod settings;
mod sharpness;
mod shipped;
mod sweep;
mod task_presets;
mod text;
mod train;
mod unlabeled;
mod vectors;

/// Turn a pretrained masked language model into a sentence encoder, without labels.
#[derive(Parser)]
#[command(name = "mirror", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Train>),
    Pretrain(Box<pretrain::Pretrain>),
    Finetune(Box<finetune::Finetune>),
    Predict(predict::Predict),
    Eval(eval::Eval),
    Encode(encode::Encode),
    Search(search::Search),
    Data(data::Data),
    Export(export::Export),
    Sharpness(sharpness::Sharpness),
    Sweep(sweep::Sweep),
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
        if is_usage(&error) { Ending::Usage(error.to_string()) } else { Ending::Failure(error) }
    }
}

/// Whether an error of the library is about what was asked for.
fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(OutputError::is_usage)
        || error.downcast_ref().is_some_and(CorpusError::is_usage)
        || error.downcast_ref().is_some_and(PlanError::is_usage)
        || error.downcast_ref().is_some_and(SweepError::is_usage)
        || error.downcast_ref().is_some_and(FinetuneError::is_usage)
        || error.downcast_ref().is_some_and(PretrainError::is_usage)
}

/// A usage error of a displayable kind.
fn usage(error: impl std::fmt::Display) -> Ending {
    Ending::Usage(error.to_string())
}

/// A failure of a displayable kind.
fn failure(error: impl std::fmt::Display) -> Ending {
    Ending::Failure(anyhow::anyhow!(error.to_string()))
}

type Done = Result<(), Ending>;

/// Runs the program with the given arguments, the program's name first.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut command = command().long_version(version());
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) if is_refusal(&error) => {
            return end(usage(mistakes::explain(&error, &command, &arguments)));
        }
        // Help, on standard output or, where a command is missing, on stderr.
        Err(error) => error.exit(),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return end(usage(mistakes::one_sentence(&error.format(&mut command)))),
    };
    let done = mistakes::check_homes(&command, &arguments).and_then(|()| cli.command.run(&matches));
    done.map_or_else(end, |()| ExitCode::SUCCESS)
}

impl Command {
    fn run(self, matches: &ArgMatches) -> Done {
        match self {
            Command::Train(train) => match settings::gather(*train, matches)? {
                (train, sources) if train.show => settings::show(train.options, &sources),
                (train, _) => train.run(),
            },
            Command::Pretrain(pretrain) => pretrain.run(matches),
            Command::Finetune(finetune) => finetune.run(matches),
            Command::Predict(predict) => predict.run(),
            Command::Eval(eval) => eval.run(),
            Command::Encode(encode) => encode.run(),
            Command::Search(search) => search.run(),
            Command::Data(data) => data.run(),
            Command::Export(export) => export.run(),
            Command::Sharpness(sharpness) => sharpness.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(pages) => pages.run(),
        }
    }
}

/// The command line. Every switch of `mirror train` has an opposite, so that what a --config file switches on can be
/// switched off.
fn command() -> clap::Command {
    let command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    // clap moves a command that it changes to the end of its list: all are moved, so that their order stays.
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| match command.get_name() {
            "train" => with_opposites(command),
            _ => command,
        })
    })
}

fn with_opposites(command: clap::Command) -> clap::Command {
    let switches =
        command.get_arguments().filter(|argument| matches!(argument.get_action(), ArgAction::SetTrue));
    let opposites: Vec<Arg> = switches
        .filter_map(|switch| {
            let name = opposite(switch.get_long()?);
            let id = name.replace('-', "_");
            Some(
                Arg::new(id).long(name).action(ArgAction::SetTrue).conflicts_with(switch.get_id()).hide(true),
            )
        })
        .collect();
    command.args(opposites)
}

/// The flag that takes a switch back: no-keep-best for keep-best, eval for no-eval.
fn opposite(switch: &str) -> String {
    switch.strip_prefix("no-").map_or_else(|| format!("no-{switch}"), str::to_owned)
}

/// The version, and what multiplies on this machine.
fn version() -> String {
    let [f32, bf16, int8] = Precision::ALL.map(backend_instructions);
    format!("{}\nf32: {f32}\nbf16: {bf16}\nint8: {int8}", env!("CARGO_PKG_VERSION"))
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
            let message = error.downcast_ref().map_or_else(|| error.to_string(), crate::device::sentence);
            progress::say(&format!("error: {message}"));
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

/// Whoever reads our output has read enough: no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
