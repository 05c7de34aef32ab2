use std::io;
use std::path::PathBuf;

/// What can be wrong with a corpus, or with what is asked of it. Each is one sentence that names
/// the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    #[error("{} is a folder; give --corpus a text file with one sentence a line", path.display())]
    Folder { path: PathBuf },
    #[error("{} is a pipe or a device, and a corpus is read more than once; save it to a file first", path.display())]
    NotAFile { path: PathBuf },
    #[error("{name} has no sentences ({blank_lines} blank lines); write one sentence a line")]
    Empty { name: String, blank_lines: u64 },
    #[error("{name}, line {line}: byte {byte} of the line is not valid UTF-8; convert the file to UTF-8")]
    Utf8 { name: String, line: u64, byte: usize },
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
    #[error("--batch-size {batch_size} leaves a sentence nothing to be told apart from; use 2 or more")]
    BatchTooSmall { batch_size: usize },
    #[error(
        "--batch-size {batch_size} is more than the {distinct} different sentences of {name} \
         ({sentences} lines); use --batch-size {distinct} or less"
    )]
    BatchTooLarge { name: String, batch_size: usize, distinct: usize, sentences: u64 },
    #[error(
        "{name} has only one different sentence ({sentences} lines); contrastive training needs two or more"
    )]
    OneSentence { name: String, sentences: u64 },
    #[error("cannot hold out {count} of the {sentences} sentences of {name}: at least two must remain")]
    Holdout { name: String, count: u64, sentences: u64 },
    #[error("epoch {epoch} of {name} ends after step {steps}, so it cannot go on from step {step}")]
    StepBeyondEpoch { name: String, epoch: u64, step: u64, steps: u64 },
    #[error("cannot start the thread that prepares batches: {0}")]
    Thread(io::Error),
    #[error("preparing a batch failed: {message} (a bug in this program; please report it)")]
    Panicked { message: String },
}
