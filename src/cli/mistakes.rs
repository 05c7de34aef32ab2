//! What a command line that is refused probably meant.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use sts_eval::not_text::shell_word;

use super::{Done, usage};
use crate::quote::quoted;

/// A command line as it was typed: nothing of it is refused, and every value of a flag is there.
struct Typed<'a> {
    command: &'a Command,
    flags: Vec<Flag>,
    /// What belongs to no flag.
    loose: Vec<OsString>,
}

/// A flag, by its long name without the dashes.
struct Flag {
    name: String,
    takes_value: bool,
    /// May be given again.
    repeats: bool,
    /// Takes a path or a model.
    is_path: bool,
    times: usize,
    values: Vec<OsString>,
}

impl<'a> Typed<'a> {
    fn read(command: &'a Command, arguments: &[OsString]) -> Option<Self> {
        let mut command = command;
        let mut rest = arguments.get(1..)?;
        while let Some(below) = rest.first().and_then(|first| command.find_subcommand(first)) {
            (command, rest) = (below, &rest[1..]);
        }
        let named = || {
            command.get_arguments().filter_map(|argument| Some((argument, argument.get_long()?.to_owned())))
        };
        let lenient = Command::new("typed").no_binary_name(true).disable_help_flag(true).ignore_errors(true);
        let lenient =
            named().fold(lenient, |lenient, (argument, name)| lenient.arg(open_to_all(argument, name)));
        let any = ValueParser::os_string();
        let loose = Arg::new("").num_args(0..).action(ArgAction::Append).value_parser(any);
        let matches = lenient.arg(loose).try_get_matches_from(rest).ok()?;
        let values = |name: &str| -> Vec<OsString> {
            matches.get_many::<OsString>(name).map(|values| values.cloned().collect()).unwrap_or_default()
        };
        let flags = named().map(|(argument, name)| {
            let takes_value = argument.get_action().takes_values();
            let values = if takes_value { values(&name) } else { Vec::new() };
            Flag {
                takes_value,
                repeats: !matches!(argument.get_action(), ArgAction::Set | ArgAction::SetTrue),
                is_path: argument.get_value_names().is_some_and(|names| {
                    names.iter().any(|name| ["FILE", "DIR", "MODEL"].iter().any(|path| name.contains(path)))
                }),
                times: if takes_value { values.len() } else { matches.get_count(&name).into() },
                values,
                name,
            }
        });
        Some(Typed { command, flags: flags.collect(), loose: values("") })
    }

    fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }
}

/// A flag that takes whatever is there, as often as it is there.
fn open_to_all(argument: &Arg, name: String) -> Arg {
    let aliases: Vec<String> =
        argument.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned).collect();
    let copy = Arg::new(name.clone()).long(name).aliases(aliases);
    if argument.get_action().takes_values() {
        copy.action(ArgAction::Append).num_args(1).value_parser(ValueParser::os_string())
    } else {
        copy.action(ArgAction::Count)
    }
}

/// Why clap refuses a command line, in a sentence with what was probably meant.
pub fn explain(error: &clap::Error, command: &Command, arguments: &[OsString]) -> String {
    let typed = || Typed::read(command, arguments);
    let better = match error.kind() {
        ErrorKind::InvalidUtf8 => not_utf8(arguments),
        ErrorKind::ArgumentConflict => typed().and_then(|typed| repeated(&typed)),
        ErrorKind::UnknownArgument => typed().and_then(|typed| unknown(&typed, arguments)),
        ErrorKind::InvalidSubcommand if !error.to_string().contains("similar") => {
            Some(format!("{}; {}", one_sentence(error), commands(command)))
        }
        ErrorKind::MissingRequiredArgument => typed().and_then(|typed| missing(&typed)),
        _ => None,
    };
    better.unwrap_or_else(|| one_sentence(error))
}

fn commands(command: &Command) -> String {
    let names: Vec<&str> =
        command.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect();
    format!("the commands are {}", names.join(", "))
}

/// clap's message, which takes several lines, in one: what is wrong, what is known, what was perhaps meant.
pub fn one_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    parts
        .join(" ")
        .trim_start_matches("error: ")
        .replace(" tip: ", "; ")
        .replace("invalid digit found in string", "not a whole number")
        .replace("invalid float literal", "not a number")
}

fn not_utf8(arguments: &[OsString]) -> Option<String> {
    let wrong = arguments.iter().find(|argument| argument.to_str().is_none())?;
    Some(format!(
        "the argument {} is not UTF-8, which this flag needs; rename what it names",
        Path::new(wrong).display()
    ))
}

/// A flag that is given more often than once.
fn repeated(typed: &Typed) -> Option<String> {
    let flag = typed.flags.iter().find(|flag| !flag.repeats && flag.times > 1)?;
    let times = if flag.times == 2 { "twice".to_owned() } else { format!("{} times", flag.times) };
    let values: Vec<String> = flag.values.iter().map(|value| shown(value)).collect();
    let values = match values.split_last() {
        Some((last, before)) => format!(", as {} and {last}", before.join(", ")),
        None => String::new(),
    };
    Some(format!("--{} is given {times}{values}; give it once", flag.name))
}

/// A word without a flag, or a flag that another command has.
fn unknown(typed: &Typed, arguments: &[OsString]) -> Option<String> {
    if typed.command.has_subcommands() {
        let flag = arguments.get(1).filter(|first| first.as_encoded_bytes().starts_with(b"-"))?;
        return Some(format!("{} stands before a command; {}", shown(flag), commands(typed.command)));
    }
    if let Some(wrong) = arguments.iter().filter_map(|a| a.to_str()).find(|a| misnamed(typed, a)) {
        let (wrong, flag) = (wrong.split('=').next().unwrap_or(wrong), text_flag(typed.command)?);
        return Some(format!("unexpected argument '{wrong}'; did you mean --{flag}?"));
    }
    let first = typed.loose.first()?;
    let meant: Vec<(&str, &OsString)> =
        typed.loose.iter().map(|word| Some((flag_for(typed.command, word)?, word))).collect::<Option<_>>()?;
    for name in meant.iter().map(|(name, _)| *name) {
        let Some(flag) = typed.flag(name).filter(|flag| !flag.repeats) else { continue };
        let all =
            flag.values.iter().chain(meant.iter().filter(|(other, _)| *other == name).map(|(_, word)| *word));
        let all: Vec<String> = all.map(|word| shown(word)).collect();
        if all.len() > 1 {
            return Some(format!(
                "unexpected argument {}: --{name} takes one, {}, here",
                shown(first),
                all[0]
            ));
        }
    }
    let meant: Vec<String> = meant.iter().map(|(name, word)| as_flag(name, word)).collect();
    Some(format!("unexpected argument '{}'; did you mean {}?", Path::new(first).display(), listed(&meant)))
}

/// The first few of a list that a glob may have made long.
fn listed(words: &[String]) -> String {
    const MOST: usize = 5;
    let rest = if words.len() > MOST { " …" } else { "" };
    format!("{}{rest}", words[..words.len().min(MOST)].join(" "))
}

/// Whether this names the text to read by another command's flag.
fn misnamed(typed: &Typed, argument: &str) -> bool {
    let name = argument.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
    let others = ["corpus", "input", "file", "text", "sentences", "train-file"];
    name.is_some_and(|name| others.contains(&name) && typed.flag(name).is_none())
}

fn missing(typed: &Typed) -> Option<String> {
    let (command, needed) = (typed.command.get_name(), text_flag(typed.command)?);
    if command != "search" || typed.flag(needed).is_some_and(|flag| flag.times > 0) {
        return None;
    }
    let file = typed.loose.iter().find(|word| Path::new(word).is_file());
    Some(match file {
        Some(file) => {
            format!("--{needed} FILE is needed, the text to search; did you mean {}?", as_flag(needed, file))
        }
        None => format!("--{needed} FILE is needed: the text to search, one sentence a line"),
    })
}

/// The flag that names the text that a command reads.
fn text_flag(command: &Command) -> Option<&'static str> {
    match command.get_name() {
        "train" | "eval" | "sharpness" => Some("corpus"),
        "encode" | "search" => Some("input"),
        _ => None,
    }
}

/// The flag that a word without one was probably meant for.
fn flag_for(command: &Command, word: &OsStr) -> Option<&'static str> {
    let path = Path::new(word);
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    match (command.get_name(), ending) {
        ("train" | "eval" | "encode" | "export" | "sharpness", _)
            if path.is_dir() || word == crate::hub::BUILTIN =>
        {
            Some("model")
        }
        ("export", _) => Some("model"),
        ("train", "toml") => Some("config"),
        ("eval", "tsv" | "csv" | "jsonl") => Some("set"),
        ("encode", "npy") => Some("output"),
        _ => text_flag(command),
    }
}

fn as_flag(name: &str, word: &OsStr) -> String {
    let prefix = if name == "set" { "mine=" } else { "" };
    format!("--{name} {prefix}{}", shown(word))
}

fn shown(word: &OsStr) -> String {
    shell_word(&word.to_string_lossy())
}

/// Refuses a path that begins with ~, which the shell replaces only at the start of a word.
pub fn check_homes(command: &Command, arguments: &[OsString]) -> Done {
    let Some(typed) = Typed::read(command, arguments) else { return Ok(()) };
    for flag in typed.flags.iter().filter(|flag| flag.takes_value && flag.is_path) {
        for value in flag.values.iter().filter_map(|value| value.to_str()) {
            let path = if flag.name == "set" {
                value.split_once('=').map_or(value, |(_, path)| path)
            } else {
                value
            };
            if let Some(below) = path.strip_prefix("~/").filter(|_| !Path::new("~").exists()) {
                return Err(usage(format!(
                    "--{} {value}: the shell leaves ~ as it is inside a word or quotes; write $HOME/{below}",
                    flag.name
                )));
            }
        }
    }
    Ok(())
}

/// Refuses models of which two are the same: their findings would have one name.
pub fn check_models(models: &[String]) -> Done {
    for (place, model) in models.iter().enumerate() {
        if models[..place].iter().any(|other| Path::new(other) == Path::new(model)) {
            return Err(usage(format!("--model names {} twice; name each model once", quoted(model))));
        }
    }
    Ok(())
}
