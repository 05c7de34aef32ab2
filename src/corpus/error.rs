use std::io;
use std::path::PathBuf;

use sts_eval::not_text::NotText;

use super::ReadingError;
use crate::quote::counted;

/// What can be wrong with a corpus, or with what is asked of it. Each is one sentence that names
/// the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum CorpusError {
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    #[error(
        "{flag} {}: what this names changes from process to process, so that the run could not be resumed; give the file's \
         own name, or {flag} - and the text on standard input", path.display()
    )]
    Passing { flag: &'static str, path: PathBuf },
    #[error("{} is a folder where a file was; start again", path.display())]
    Folder { path: PathBuf },
    #[error("{} is a device, which may have no end; save what is read of it to a file first", path.display())]
    Device { path: PathBuf },
    #[error(transparent)]
    Reading(#[from] ReadingError),
    #[error("{name} has no sentences{}; write one sentence a line", all_blank(*blank_lines))]
    Empty { name: String, blank_lines: u64 },
    #[error(transparent)]
    NotText(#[from] NotText),
    #[error("{name} {what}; {advice}")]
    Markup { name: String, what: String, advice: String },
    #[error("{name}, line {line}: the line is longer than 16 MiB; write one sentence a line")]
    LineTooLong { name: String, line: u64 },
    #[error("{name} is larger than 1 TiB, the most that a corpus may have; split the file")]
    TooLarge { name: String },
    #[error(
        "{name}, line {line}: found {found} where a pair has two columns, separated by one tab or one ||"
    )]
    Columns { name: String, line: u64, found: &'static str },
    #[error("{name} changed while it was being read; start again with a file that nothing writes to")]
    Changed { name: String },
    #[error("--batch-size {batch_size} leaves a sentence no other to be compared with; use 2 or more")]
    BatchTooSmall { batch_size: usize },
    #[error(
        "--batch-size {batch_size} is more than the {distinct} different sentences of {name} \
         ({}); use --batch-size {distinct} or less", counted(*sentences, "line")
    )]
    BatchTooLarge { name: String, batch_size: usize, distinct: usize, sentences: u64 },
    #[error(
        "{name} has only one different sentence ({}); contrastive training needs two or more", counted(*sentences, "line")
    )]
    OneSentence { name: String, sentences: u64 },
    #[error("cannot hold out {count} of the {} of {name}: at least two must remain", counted(*sentences, "sentence"))]
    Holdout { name: String, count: u64, sentences: u64 },
    #[error("epoch {epoch} of {name} ends after step {steps}, so it cannot be resumed at step {step}")]
    StepBeyondEpoch { name: String, epoch: u64, step: u64, steps: u64 },
    #[error("cannot start the thread that prepares batches: {0}")]
    Thread(io::Error),
    #[error("preparing a batch failed: {message} (a bug in this program; please report it)")]
    Panicked { message: String },
}

impl CorpusError {
    /// Whether the command line itself asks for what cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            CorpusError::Passing { .. } => true,
            CorpusError::Reading(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn all_blank(lines: u64) -> String {
    match lines {
        0 => String::new(),
        1 => "; its only line is blank".to_owned(),
        _ => format!("; all {lines} lines are blank"),
    }
}
