//! What can be wrong with a file of some form, or with what is asked of it.

use std::io;
use std::path::PathBuf;

use sts_eval::not_text::{beside, shell_word};

use super::form::{Form, KNOWN};
use crate::quote::{counted, quoted};

/// Each is one sentence that names the file, the line where there is one, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ReadingError {
    #[error("{flag} {pattern}: no file matches; the pattern is as a shell's, with **/ for any folders")]
    NoMatch { flag: &'static str, pattern: String },
    #[error("{} is a folder without text files ({KNOWN}){}; name a folder or file that has text", path.display(), passed_by(passed))]
    NoText { path: PathBuf, passed: Vec<PathBuf> },
    #[error("{} is a model's folder, not a corpus; {flag} takes files of text, or folders of them", path.display())]
    Model { flag: &'static str, path: PathBuf },
    #[error("{flag} - is given twice, and standard input can be read once; give it once")]
    StdinTwice { flag: &'static str },
    #[error("--column fits .csv, .tsv and .parquet files, and {name} is {}; {}", form.name(), instead_of_column(*form))]
    NoColumns { name: String, form: Form },
    #[error("--field fits .jsonl files, and {name} is {}; {}", form.name(), instead_of_field(*form))]
    NoFields { name: String, form: Form },
    #[error(
        "{name} is {}, which has no named columns; rows with labels are read from .csv, .tsv, .jsonl and .parquet files",
        form.name()
    )]
    NoNamedColumns { name: String, form: Form },
    #[error("{flag} is given {}; {wanted}", counted(*given as u64, "time"))]
    Count { flag: &'static str, given: usize, wanted: &'static str },
    #[error("{name} has no column {}{}; its columns are {columns}", quoted(asked), meant(likely.as_deref()))]
    NoColumn { name: String, asked: String, likely: Option<String>, columns: String },
    #[error("{name} has no column of text; its columns are {columns}")]
    NoTextColumn { name: String, columns: String },
    #[error("{name} has several columns that may hold the text; choose with --column{twice}: {columns}")]
    ChooseColumn { name: String, twice: &'static str, columns: String },
    #[error(
        "{name}: its column {} holds {found}, not text; its columns of text are {columns}",
        quoted(asked)
    )]
    NotTextColumn { name: String, asked: String, found: String, columns: String },
    #[error("--pairs takes two columns of text, and {name} has {found}; name two with --column, twice")]
    PairColumns { name: String, found: String },
    #[error("{name} has no field {}{} in its first {}; its fields are {fields}", quoted(asked), meant(likely.as_deref()), counted(*rows, "line"))]
    NoField { name: String, asked: String, likely: Option<String>, rows: u64, fields: String },
    #[error("{name}, line {line}: no field of it is text; its fields are {fields}")]
    NoTextField { name: String, line: u64, fields: String },
    #[error("{name} has several fields that may hold the text; choose with --field{twice}: {fields}")]
    ChooseField { name: String, twice: &'static str, fields: String },
    #[error("--pairs takes two fields of text, and {name} has {fields}; name two with --field, twice")]
    PairFields { name: String, fields: String },
    #[error(
        "{name}, line {line}: {what} is {found}, not text; leave such lines out, or choose another --field"
    )]
    NotText { name: String, line: u64, what: String, found: String },
    #[error("{name}, line {line}: {what} is {found}; correct the line or leave it out")]
    NotValue { name: String, line: u64, what: String, found: String },
    #[error("{name}, line {line}: this is not JSON: {reason}; a .jsonl file has one JSON object a line")]
    NotJson { name: String, line: u64, reason: String },
    #[error(
        "{name} is a JSON document, not one JSON object a line; convert it: jq -c '.[]' {} > {}",
        shell_word(name), shell_word(&as_json_lines(name))
    )]
    Document { name: String },
    #[error(
        "{name}, line {line}: the row has {}, and the first row has {expected}; put a field with a {separator} in it in \
         quotation marks, and if lines are sentences, call the file .txt", counted(*found as u64, "column")
    )]
    Ragged { name: String, line: u64, found: usize, expected: usize, separator: &'static str },
    #[error("{name}, line {line}: the row is longer than 16 MiB; perhaps a quotation mark is not closed")]
    RowTooLong { name: String, line: u64 },
    #[error(
        "{name}, line {line}: byte {byte} of the text is not valid UTF-8; convert the file, with its encoding \
         (WINDOWS-1252, GB18030, …) as ENCODING: iconv -f ENCODING -t UTF-8 {} > {}",
        shell_word(name), shell_word(&beside(name, "utf8"))
    )]
    NotUtf8 { name: String, line: u64, byte: usize },
    #[error("{name}, row {row}: byte {byte} of the text is not valid UTF-8; write the column as UTF-8 text")]
    RowNotUtf8 { name: String, row: u64, byte: usize },
    #[error("{name}, row {row}: the text is longer than 16 MiB; cut it into sentences, or leave it out")]
    TextTooLong { name: String, row: u64 },
    #[error("{name} is called .parquet and does not begin as a Parquet file; {}", if *.empty { "it is empty" } else { "name it by what it is" })]
    NotParquet { name: String, empty: bool },
    #[error("{name} is a damaged Parquet file{}: {reason}; nothing of it is used, so copy or write it again", at_row(*row))]
    DamagedParquet { name: String, row: u64, reason: String },
    #[error("{name}: this Parquet file cannot be read: {reason}; write its column of text as .jsonl")]
    UnreadParquet { name: String, reason: String },
    #[error("{name} is called compressed and is empty; copy or write it again")]
    EmptyCompressed { name: String },
    #[error("{name} has no sentence of {min_chars} characters or more (it has {}); lower --min-chars", counted(*sentences, "shorter one"))]
    AllShort { name: String, sentences: u64, min_chars: usize },
    #[error(
        "cannot write the temporary copy of the text in {}: {source}; set TMPDIR to a folder that has room for it",
        folder.display()
    )]
    Spool { folder: PathBuf, source: io::Error },
}

impl ReadingError {
    /// Whether the command line itself asks for what cannot be.
    pub fn is_usage(&self) -> bool {
        use ReadingError::{Count, NoColumns, NoFields, NoMatch, StdinTwice};
        matches!(self, NoMatch { .. } | StdinTwice { .. } | NoColumns { .. } | NoFields { .. } | Count { .. })
    }
}

fn meant(likely: Option<&str>) -> String {
    likely.map_or_else(String::new, |likely| format!(" (did you mean {likely}?)"))
}

fn passed_by(passed: &[PathBuf]) -> String {
    let first = passed.first().and_then(|path| path.file_name());
    first.map_or_else(String::new, |first| {
        let files = counted(passed.len() as u64, "other file");
        format!("; it has {files} ({}{})", first.to_string_lossy(), if passed.len() > 1 { ", …" } else { "" })
    })
}

fn instead_of_column(form: Form) -> &'static str {
    match form {
        Form::JsonLines => "use --field",
        _ => "leave it out, or, if the file is a table, call it .csv or .tsv",
    }
}

fn instead_of_field(form: Form) -> &'static str {
    match form {
        Form::Text => "leave it out, or, if its lines are JSON, call the file .jsonl",
        _ => "use --column",
    }
}

fn at_row(row: u64) -> String {
    if row == 0 { String::new() } else { format!(" after row {row}") }
}

fn as_json_lines(name: &str) -> String {
    match name.strip_suffix(".json") {
        Some(stem) => format!("{stem}.jsonl"),
        None => beside(name, "lines"),
    }
}
