//! What can be wrong with labelled text.

use super::Task;
use crate::corpus::CorpusError;
use crate::quote::{beginning, quoted};
use crate::suggest::meant;

/// Each is one sentence that names the file, the line where there is one, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum LabelledError {
    #[error("there is no task {}{}; the tasks are {}", quoted(name), likely.as_ref().map_or(String::new(), |task| format!(" (did you mean {task}?)")), task_names())]
    UnknownTask { name: String, likely: Option<&'static str> },
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(
        "{name}, line {line}: the label {} is none of the classes {classes}; correct it or leave the line out",
        quoted(label)
    )]
    UnknownLabel { name: String, line: u64, label: String, classes: String },
    #[error("{name}, line {line}: the label {} is not a number; {advice}", quoted(label))]
    NotANumber { name: String, line: u64, label: String, advice: &'static str },
    #[error("{name}, line {line}: the row has no {what}; fill it in or leave the line out")]
    Missing { name: String, line: u64, what: String },
    #[error("{name} has no examples; a file to learn from or to be scored on needs at least one")]
    Empty { name: String },
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

fn task_names() -> String {
    Task::all().iter().map(|task| task.name).collect::<Vec<_>>().join(", ")
}
