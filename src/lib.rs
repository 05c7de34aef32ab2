//! mirror turns a pretrained masked language model into a sentence encoder.

pub mod checkpoint;
pub mod encoder;
pub mod objective;
pub mod optim;
pub mod perturb;
pub mod random;

/// What clap gives a group of flags when none of them is on the command line, so that a default
/// is written once.
pub(crate) fn cli_defaults<A: clap::Args>() -> A {
    let command = A::augment_args(clap::Command::new("defaults"));
    let matches = command.get_matches_from(["defaults"]);
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
