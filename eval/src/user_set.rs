//! A user's own pairs: score, sentence, sentence in a TSV, CSV or JSONL file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{excerpt, excerpt_of};
use crate::task::ReadPairs;
use crate::{Benchmark, Error, Subset, Task, text};

const COLUMN_NAMES: [&str; 3] = ["score", "sentence1", "sentence2"];
const NEEDED: &str =
    "three are needed: score, sentence, sentence (or a header naming score, sentence1 and sentence2)";

/// How a file of pairs is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairFormat {
    /// Tab-separated without quoting: a quotation mark is part of the sentence. Blank lines are skipped.
    Tsv,
    /// Comma-separated with quoting (RFC 4180).
    Csv,
    /// A JSON object a line with the keys `score`, `sentence1` and `sentence2`; others are ignored.
    Jsonl,
}

impl PairFormat {
    /// By the file name's ending, in any case.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "tsv" => Ok(Self::Tsv),
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(Error::SetFormat { path: path.to_owned() }),
        }
    }
}

/// The argument `NAME=FILE`: a set to be scored and the name to report it under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSet {
    /// What reports call it.
    pub name: String,
    /// The file that its pairs are read from.
    pub path: PathBuf,
}

/// A column of a table, in bytes.
const LONGEST_NAME: usize = 200;

impl FromStr for UserSet {
    type Err = Error;

    /// Refuses a name of the seven: their average would take the user's pairs for the public set.
    fn from_str(given: &str) -> Result<Self, Error> {
        match given.split_once('=').map(|(name, file)| (name.trim(), file)) {
            Some((name, _)) if Benchmark::from_key(name).is_some() => {
                Err(Error::DuplicateTask { name: name.to_owned() })
            }
            Some((name, file)) if (1..=LONGEST_NAME).contains(&name.len()) && !file.is_empty() => {
                Ok(Self { name: name.to_owned(), path: PathBuf::from(file) })
            }
            _ => Err(Error::SetArgument { given: excerpt(given) }),
        }
    }
}

impl UserSet {
    /// Reads the pairs; the file name's ending decides the format.
    pub fn read(&self) -> Result<Task, Error> {
        let format = PairFormat::of(&self.path).or_else(|unknown| {
            // Where it is compressed, or a table in a binary form, that is what to report.
            if self.path.is_file() {
                text::read(&self.path)?;
            }
            Err(unknown)
        })?;
        parse(&self.name, &text::read(&self.path)?, format, &self.path)
    }
}

impl Task {
    /// A task from pairs that are already in memory, such as a sample compiled into a program.
    pub fn from_text(name: &str, pairs: &str, format: PairFormat) -> Result<Self, Error> {
        parse(name, pairs, format, Path::new(name))
    }
}

fn parse(name: &str, pairs: &str, format: PairFormat, path: &Path) -> Result<Task, Error> {
    let read = match format {
        PairFormat::Tsv => parse_tsv(pairs, path),
        PairFormat::Csv => parse_csv(pairs, path),
        PairFormat::Jsonl => parse_jsonl(pairs, path),
    }?;
    if read.pairs.is_empty() {
        return Err(Error::NoPairs { path: path.to_owned() });
    }
    let subsets = vec![Subset { name: name.to_owned(), pairs: read.pairs }];
    Ok(Task { name: name.to_owned(), subsets, without_gold: read.without_gold })
}

fn parse_tsv(pairs: &str, path: &Path) -> Result<ReadPairs, Error> {
    let mut rows = Rows::new(path, PairFormat::Tsv);
    for (line, row) in text::numbered_lines(pairs).filter(|(_, row)| !row.trim().is_empty()) {
        rows.push(line, &row.split('\t').collect::<Vec<_>>())?;
    }
    Ok(rows.read)
}

fn parse_csv(pairs: &str, path: &Path) -> Result<ReadPairs, Error> {
    // The csv crate takes an unclosed quote for a field that runs to the end of the file, and would swallow every
    // pair below it without a word. So a last record of our own is added: if it does not come back, a quote is open.
    const LAST: &str = "end of pairs";
    let text = format!("{pairs}\n{LAST}\n");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());

    let mut rows = Rows::new(path, PairFormat::Csv);
    let mut record = csv::StringRecord::new();
    let (mut start, mut start_line) = (0, 1);
    loop {
        // The reader skips blank lines before a record, yet they count as lines.
        let blank = text[start..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let line = start_line + line_feeds(blank);
        reader.read_record(&mut record).map_err(|source| Error::Csv {
            path: path.to_owned(),
            line,
            source,
        })?;
        let end = (reader.position().byte() as usize).min(text.len());
        if end == text.len() {
            let closed = record.len() == 1 && &record[0] == LAST;
            return if closed {
                Ok(rows.read)
            } else {
                Err(Error::UnclosedQuote { path: path.to_owned(), line })
            };
        }
        rows.push(line, &record.iter().collect::<Vec<_>>())?;
        start_line += line_feeds(text[start..end].bytes());
        start = end;
    }
}

fn line_feeds(bytes: impl Iterator<Item = u8>) -> usize {
    bytes.filter(|&byte| byte == b'\n').count()
}

fn parse_jsonl(pairs: &str, path: &Path) -> Result<ReadPairs, Error> {
    #[derive(Deserialize)]
    struct Row {
        // Named explicitly so that the key must be there: null means «no gold score», absence is a mistake.
        #[serde(deserialize_with = "Option::deserialize")]
        score: Option<f64>,
        sentence1: String,
        sentence2: String,
    }

    let mut read = ReadPairs::default();
    for (line, row) in text::numbered_lines(pairs).filter(|(_, row)| !row.trim().is_empty()) {
        let row: Row = serde_json::from_str(row).map_err(|error| Error::JsonLine {
            path: path.to_owned(),
            line,
            // It may repeat a value in full.
            reason: excerpt_of(&error.to_string(), 300),
        })?;
        read.push(row.score, &row.sentence1, &row.sentence2);
    }
    Ok(read)
}

/// Rows of a file with columns, whose first row may be a header.
struct Rows<'a> {
    path: &'a Path,
    format: PairFormat,
    header: Option<Header>,
    first: bool,
    read: ReadPairs,
}

/// Where the score and the sentences stand, and how many columns every row must have.
struct Header {
    positions: [usize; 3],
    columns: usize,
}

impl<'a> Rows<'a> {
    fn new(path: &'a Path, format: PairFormat) -> Self {
        Self { path, format, header: None, first: true, read: ReadPairs::default() }
    }

    fn push(&mut self, line: usize, columns: &[&str]) -> Result<(), Error> {
        let first = std::mem::take(&mut self.first);
        if first {
            self.header = Header::of(columns);
            if self.header.is_some() {
                return Ok(());
            }
        }
        let (positions, expected) = match &self.header {
            Some(header) => (header.positions, header.columns),
            None => ([0, 1, 2], 3),
        };
        if columns.len() != expected {
            let needed = match &self.header {
                Some(_) => "the header has another number",
                None => self.needed(columns),
            };
            return Err(Error::Columns { path: self.path.to_owned(), line, found: columns.len(), needed });
        }
        let [score, sentence1, sentence2] = positions.map(|position| columns[position]);
        let gold = text::gold(self.path, line, score).map_err(|error| match error {
            Error::Gold { path, line, text, advice: "" } if self.header.is_none() => {
                Error::Gold { path, line, text, advice: misplaced(columns, first) }
            }
            error => error,
        })?;
        self.read.push(gold, sentence1, sentence2);
        Ok(())
    }

    /// What a row should have, in view of what separates it instead.
    fn needed(&self, columns: &[&str]) -> &'static str {
        let [row] = columns else { return NEEDED };
        let has = |separator: char| row.matches(separator).count() >= 2;
        match self.format {
            PairFormat::Tsv if has(',') => {
                "three are needed, with tabs between them; where commas are between them, call the file .csv"
            }
            PairFormat::Csv if has('\t') => {
                "three are needed, with commas between them; where tabs are between them, call the file .tsv"
            }
            PairFormat::Csv if has(';') => "three are needed, with commas between them, not semicolons",
            _ => NEEDED,
        }
    }
}

/// Where the score of a row without a header may be instead of in the first column.
fn misplaced(columns: &[&str], first_row: bool) -> &'static str {
    if columns[1..].iter().any(|column| column.trim().parse::<f64>().is_ok()) {
        "; the columns are score, sentence, sentence, in this order or as a header in line 1 names them"
    } else if first_row {
        "; a header in line 1 names the columns score, sentence1 and sentence2"
    } else {
        ""
    }
}

impl Header {
    /// A first row is a header only if it names all three columns: a mistyped score in it must not pass as one.
    fn of(columns: &[&str]) -> Option<Self> {
        let position =
            |name: &str| columns.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
        let [Some(score), Some(first), Some(second)] = COLUMN_NAMES.map(position) else { return None };
        Some(Self { positions: [score, first, second], columns: columns.len() })
    }
}
