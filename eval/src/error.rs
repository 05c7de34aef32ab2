//! What can go wrong, each as one sentence that names the thing and what to do.

use std::io;
use std::path::PathBuf;

use crate::not_text::NotText;

/// Any failure of reading, encoding, scoring or comparing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },

    #[error("{path} is larger than {limit} bytes; a set is held in memory, so split it into several sets")]
    TooLarge { path: PathBuf, limit: u64 },

    #[error(transparent)]
    NotText(#[from] NotText),

    #[error("{path}, line {line}: {found} column{} where {needed}", if *found == 1 { "" } else { "s" })]
    Columns { path: PathBuf, line: usize, found: usize, needed: &'static str },

    #[error("{path}, line 1: the header has no column {column}; the known columns are {known}")]
    Header { path: PathBuf, column: &'static str, known: &'static str },

    #[error("{path}, line {line}: the gold score {text:?} is not a finite number{advice}")]
    Gold { path: PathBuf, line: usize, text: String, advice: &'static str },

    #[error(
        "{input} has {input_lines} lines but {gold} has {gold_lines}; each pair needs one line in both (blank for no score)"
    )]
    LineCounts { input: PathBuf, input_lines: usize, gold: PathBuf, gold_lines: usize },

    #[error(
        "{path}, line {line}: not a JSON object with \"score\" (a number), \"sentence1\" and \"sentence2\" (strings): {reason}"
    )]
    JsonLine { path: PathBuf, line: usize, reason: String },

    #[error("{path}, line {line}: {source}")]
    Csv { path: PathBuf, line: usize, source: csv::Error },

    #[error("{path}, line {line}: a quoted field that starts in this record is never closed")]
    UnclosedQuote { path: PathBuf, line: usize },

    #[error("{path} holds no pair with a gold score")]
    NoPairs { path: PathBuf },

    #[error("the data folder {folder} does not exist; give the folder that SentEval calls downstream")]
    NoFolder { folder: PathBuf },

    #[error(
        "{folder} holds none of the seven STS data sets: looked for {looked_for} in it and in its folder downstream"
    )]
    NoData { folder: PathBuf, looked_for: String },

    #[error("{folder} is no folder; --words takes one with published sets of word pairs: {known}")]
    NoWordFolder { folder: PathBuf, known: &'static str },

    #[error("{folder} holds no set of word pairs that is known; these are {known}")]
    NoWordSets { folder: PathBuf, known: &'static str },

    #[error("{set} is there twice, as {first} and {second}; leave one of them in the folder")]
    WordSetTwice { set: &'static str, first: PathBuf, second: PathBuf },

    #[error("{path}, line {line}: a word is missing")]
    NoWord { path: PathBuf, line: usize },

    #[error("{path}, line {line}: the score is of pair {found}, where the words are of pair {pair}")]
    OtherPair { path: PathBuf, line: usize, found: u64, pair: u64 },

    #[error("{data_set} is incomplete: {path} is missing; get the data set again")]
    MissingFile { data_set: &'static str, path: PathBuf },

    #[error("unknown convention {given:?}; known are {known}")]
    UnknownConvention { given: String, known: String },

    #[error(
        "{given:?} does not name a set of pairs; write NAME=FILE, such as mine=pairs.tsv: a name of at most 200 bytes and a file ending in .tsv, .csv or .jsonl"
    )]
    SetArgument { given: String },

    #[error(
        "{path} does not end in .tsv, .csv or .jsonl, so its format is unknown; give a file whose name ends in one of them"
    )]
    SetFormat { path: PathBuf },

    #[error("two sets are called {name}; give each a name of its own")]
    DuplicateTask { name: String },

    #[error("the encoder failed on a block of {sentences} sentences: {source}")]
    Encode { sentences: usize, source: Box<dyn std::error::Error + Send + Sync> },

    #[error(
        "the encoder returned an array of shape [{rows}, {columns}] for {sentences} sentences; expected [{sentences}, {width}]"
    )]
    EmbeddingShape { rows: usize, columns: usize, sentences: usize, width: String },

    #[error(
        "the embedding of the sentence {sentence:?} holds a NaN or an infinity; the model's weights may be broken"
    )]
    NotFinite { sentence: String },

    #[error("the sentence {sentence:?} was not encoded; encode the task before scoring it")]
    NotEncoded { sentence: String },

    #[error("{name} was scored on different pairs; a paired comparison needs the same pairs in both")]
    DifferentPairs { name: String },

    #[error("{what} is {given}, which must be {needed}")]
    Setting { what: &'static str, given: String, needed: &'static str },
}

/// The start of a sentence, for naming it in an error: a sentence may be a megabyte long.
pub(crate) fn excerpt(sentence: &str) -> String {
    excerpt_of(sentence, 80)
}

/// The first `shown` characters, with an ellipsis where there are more.
pub(crate) fn excerpt_of(sentence: &str, shown: usize) -> String {
    match sentence.char_indices().nth(shown) {
        Some((end, _)) => format!("{}…", &sentence[..end]),
        None => sentence.to_owned(),
    }
}
