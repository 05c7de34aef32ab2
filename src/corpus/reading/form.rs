//! The form of a file, as its name says.

use std::ffi::OsStr;
use std::path::Path;

/// How records lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// A sentence a line.
    Text,
    /// Fields between commas or semicolons, quoted as in RFC 4180.
    Csv,
    /// Fields between tabs, a row a line, without quoting.
    Tsv,
    /// A JSON object a line.
    JsonLines,
    Parquet,
}

/// The endings of compressed files.
const COMPRESSED: [&str; 4] = [".gz", ".gzip", ".zst", ".zstd"];

const ENDINGS: [(&str, Form); 12] = [
    (".txt", Form::Text),
    (".text", Form::Text),
    (".csv", Form::Csv),
    (".tsv", Form::Tsv),
    (".tab", Form::Tsv),
    (".jsonl", Form::JsonLines),
    (".ndjson", Form::JsonLines),
    (".json", Form::JsonLines),
    (".parquet", Form::Parquet),
    (".parq", Form::Parquet),
    (".pq", Form::Parquet),
    (".pqt", Form::Parquet),
];

/// The endings that are looked for in a folder, as messages name them.
pub const KNOWN: &str = ".txt, .csv, .tsv, .jsonl, .parquet, each also .gz or .zst";

impl Form {
    /// The form that a file's name promises, that of a compressed file by the ending before; none where the name says
    /// nothing.
    pub fn of_name(path: &Path) -> Option<Form> {
        let name = lower_name(path);
        let name = uncompressed(&name);
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, form)| *form)
    }

    /// The form of a file that a folder is searched for: `.json` is too often no corpus, and a compressed file
    /// without another ending is taken for text.
    pub fn in_folder(path: &Path) -> Option<Form> {
        let name = lower_name(path);
        let inner = uncompressed(&name);
        if inner.ends_with(".json") {
            return None;
        }
        Form::of_name(path)
            .or_else(|| (inner.len() < name.len() && !inner.contains('.')).then_some(Form::Text))
    }

    /// What messages call a file of this form.
    pub fn name(self) -> &'static str {
        match self {
            Form::Text => "plain text",
            Form::Csv => "CSV",
            Form::Tsv => "TSV",
            Form::JsonLines => "JSON lines",
            Form::Parquet => "Parquet",
        }
    }

    /// Whether its texts lie in columns.
    pub fn has_columns(self) -> bool {
        matches!(self, Form::Csv | Form::Tsv | Form::Parquet)
    }

    /// What messages call a record of it.
    pub fn record(self) -> &'static str {
        match self {
            Form::Text | Form::JsonLines => "line",
            Form::Csv | Form::Tsv | Form::Parquet => "row",
        }
    }
}

fn lower_name(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().to_lowercase()
}

fn uncompressed(name: &str) -> &str {
    COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// Whether a file's name promises that it is compressed.
pub fn is_called_compressed(path: &Path) -> bool {
    let name = lower_name(path);
    uncompressed(&name).len() < name.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_promise_forms() {
        for (name, form, in_folder) in [
            ("a.txt", Some(Form::Text), true),
            ("A.CSV.GZ", Some(Form::Csv), true),
            ("a.b/c.tab.zst", Some(Form::Tsv), true),
            ("c.ndjson", Some(Form::JsonLines), true),
            ("c.json", Some(Form::JsonLines), false),
            ("c.json.gz", Some(Form::JsonLines), false),
            ("train-00000-of-00001.parquet", Some(Form::Parquet), true),
            ("part-0001.gz", None, true),
            ("model.tar.gz", None, false),
            ("README.md", None, false),
            ("txt", None, false),
        ] {
            assert_eq!(Form::of_name(Path::new(name)), form, "{name}");
            assert_eq!(Form::in_folder(Path::new(name)).is_some(), in_folder, "{name}");
        }
    }
}
