//! What can be wrong with labelled text.

use std::path::PathBuf;

use super::Task;
use crate::corpus::{CorpusError, Place};
use crate::quote::{beginning, quoted};
use crate::suggest::meant;

/// Each is one sentence that names the file, the line where there is one, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum LabelledError {
    #[error("there is no task {}{}; the tasks are {}", quoted(name), likely.as_ref().map_or(String::new(), |task| format!(" (did you mean {task}?)")), task_names())]
    UnknownTask { name: String, likely: Option<&'static str> },
    #[error(
        "there is no {}; bring the task with mirror data fetch glue {task} --output {}, or name the folder that has it",
        path.display(), folder.display()
    )]
    NoFile { task: &'static str, path: PathBuf, folder: PathBuf },
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(
        "{name}, {place}: the label {} is none of the classes {classes}; correct it or leave the {} out",
        quoted(label), place.word
    )]
    UnknownLabel { name: String, place: Place, label: String, classes: String },
    #[error("{name}, {place}: the label {} is not a number; {advice}", quoted(label))]
    NotANumber { name: String, place: Place, label: String, advice: &'static str },
    #[error("{name}, {place}: there is nothing in {}; fill it in or leave the {} out", quoted(column), place.word)]
    Missing { name: String, place: Place, column: String },
    #[error(
        "{name}, {place}: there is a text in {}, and examples before it have none; fill in all of them or none",
        quoted(column)
    )]
    Mixed { name: String, place: Place, column: String },
    #[error("{name} has no examples; a file to learn from or to be scored on needs at least one")]
    Empty { name: String },
    #[error(
        "{name} has one class alone ({}), so there is nothing to tell apart; add examples of others",
        quoted(class)
    )]
    OneClass { name: String, class: String },
    #[error(
        "{name} has {}, and the training file {}; both need the same columns",
        pairs(*has_pairs), pairs(!*has_pairs)
    )]
    Pairs { name: String, has_pairs: bool },
}

impl LabelledError {
    pub(super) fn unknown_task(name: &str) -> Self {
        let likely = meant(name, Task::all().iter().map(|task| task.name));
        LabelledError::UnknownTask { name: beginning(name), likely }
    }

    /// Whether the command line itself asks for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            LabelledError::UnknownTask { .. } => true,
            LabelledError::Corpus(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn pairs(has_pairs: bool) -> &'static str {
    if has_pairs { "pairs of texts" } else { "single texts" }
}

fn task_names() -> String {
    Task::all().iter().map(|task| task.name).collect::<Vec<_>>().join(", ")
}
