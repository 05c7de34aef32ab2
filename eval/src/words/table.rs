//! A table of word pairs: its rows cut at tabs, commas, semicolons or blanks, its columns known by a header or seen in
//! the rows.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::columns::{self, Columns, part_of_speech};
use crate::{Error, text};

/// Bytes of a file in which its first row ends.
const BEGINNING: u64 = 16 << 10;

const NEEDED: &str = "word, word and score are needed";

/// A pair and what people say of it.
pub struct Row {
    pub words: [String; 2],
    pub score: f64,
    pub part_of_speech: Option<&'static str>,
}

pub struct Table {
    path: PathBuf,
    /// `None` where nothing is in the file.
    columns: Option<Columns>,
    has_header: bool,
    /// Without the header, with their lines.
    rows: Vec<(usize, Vec<String>)>,
}

/// What separates the fields of a line.
#[derive(Clone, Copy)]
enum Separator {
    Tab,
    /// A comma or a semicolon, with fields in quotation marks.
    Sign(u8),
    Blanks,
}

impl Separator {
    /// As the first row shows.
    fn of(line: &str) -> Self {
        match line {
            line if line.contains('\t') => Self::Tab,
            line if line.contains(',') => Self::Sign(b','),
            line if line.contains(';') => Self::Sign(b';'),
            _ => Self::Blanks,
        }
    }

    /// The fields of a line without the blanks around them, nor empty ones at its end.
    fn cut(self, line: &str) -> Vec<String> {
        let trimmed = |field: &str| field.trim().to_owned();
        let mut fields: Vec<String> = match self {
            Self::Tab => line.split('\t').map(trimmed).collect(),
            Self::Blanks => line.split_whitespace().map(trimmed).collect(),
            // A line at a time: no word has a line break, and a quotation mark that is not closed ends with its line.
            Self::Sign(sign) => {
                let mut reader = csv::ReaderBuilder::new();
                let mut reader =
                    reader.has_headers(false).flexible(true).delimiter(sign).from_reader(line.as_bytes());
                let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
                record.iter().map(trimmed).collect()
            }
        };
        while fields.last().is_some_and(String::is_empty) {
            fields.pop();
        }
        fields
    }
}

/// The lines that are rows: neither blank nor a comment.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text::numbered_lines(text).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// The fields of a file's first row, which may be a header; none where it is no text.
pub fn first_row(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(BEGINNING).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(lines(text).next().map(|(_, line)| Separator::of(line).cut(line)).unwrap_or_default())
}

impl Table {
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let separator = lines(text).next().map_or(Separator::Blanks, |(_, line)| Separator::of(line));
        let mut rows: Vec<(usize, Vec<String>)> =
            lines(text).map(|(line, row)| (line, separator.cut(row))).collect();
        let header = rows.first().and_then(|(_, row)| Columns::named_in(row));
        let has_header = header.is_some();
        if has_header {
            rows.remove(0);
        }
        let columns = header.or_else(|| most_common(&rows));
        Ok(Self { path: path.to_owned(), columns, has_header, rows })
    }

    /// The pairs of a table that has words and scores.
    pub fn pairs(&self) -> Result<Vec<Row>, Error> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let words = self.words()?;
        let scores = self.scores()?;
        let parts = self.parts_of_speech();
        let rows = words.into_iter().zip(scores).zip(parts);
        Ok(rows.map(|((words, score), part_of_speech)| Row { words, score, part_of_speech }).collect())
    }

    fn words(&self) -> Result<Vec<[String; 2]>, Error> {
        let columns = self.columns()?;
        let Some(places) = columns.words else { return Err(self.no_column("word1")) };
        let words = |(line, row): &(usize, Vec<String>)| {
            self.check(columns, *line, row)?;
            let words = places.map(|place| row[place].clone());
            if words.iter().any(String::is_empty) {
                return Err(Error::NoWord { path: self.path.clone(), line: *line });
            }
            Ok(words)
        };
        self.rows.iter().map(words).collect()
    }

    /// A row's score, or the mean of its annotators'.
    fn scores(&self) -> Result<Vec<f64>, Error> {
        let columns = self.columns()?;
        let annotated = columns.scores.len() > 1;
        if columns.scores.is_empty() {
            return Err(self.no_column("score"));
        }
        let score = |(place, (line, row)): (usize, &(usize, Vec<String>))| {
            self.check(columns, *line, row)?;
            let fields = columns.scores.iter().map(|&column| row.get(column).map_or("", String::as_str));
            let given: Vec<f64> = fields
                .clone()
                .filter_map(|field| text::gold(&self.path, *line, field).transpose())
                .collect::<Result<_, _>>()
                .map_err(|error| self.advised(error, place))?;
            if given.is_empty() || (!annotated && given.len() < columns.scores.len()) {
                let text = fields.collect::<Vec<_>>().join(" ");
                return Err(Error::Gold { path: self.path.clone(), line: *line, text, advice: "" });
            }
            Ok(given.iter().sum::<f64>() / given.len() as f64)
        };
        self.rows.iter().enumerate().map(score).collect()
    }

    /// Of each row, where a column has nothing else.
    fn parts_of_speech(&self) -> Vec<Option<&'static str>> {
        let taken = self.columns.iter().flat_map(|c| c.words.iter().flatten().chain(&c.scores));
        let taken: Vec<usize> = taken.copied().collect();
        let widest = self.rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
        let parts = |column: usize| -> Option<Vec<Option<&'static str>>> {
            let part = |(_, row): &(usize, Vec<String>)| part_of_speech(row.get(column)?).map(Some);
            self.rows.iter().map(part).collect()
        };
        let found = (0..widest).filter(|column| !taken.contains(column)).find_map(parts);
        found.unwrap_or_else(|| vec![None; self.rows.len()])
    }

    fn columns(&self) -> Result<&Columns, Error> {
        let line = self.rows.first().map_or(1, |(line, _)| *line);
        let found = self.rows.first().map_or(0, |(_, row)| row.len());
        self.columns.as_ref().ok_or_else(|| Error::Columns {
            path: self.path.clone(),
            line,
            found,
            needed: NEEDED,
        })
    }

    /// Refuses a row that has lost a field or taken in another row.
    fn check(&self, columns: &Columns, line: usize, row: &[String]) -> Result<(), Error> {
        let needed = match row.len() {
            found if found < columns.needed() => NEEDED,
            found if found > self.widest() => "the other lines have fewer",
            _ => return Ok(()),
        };
        Err(Error::Columns { path: self.path.clone(), line, found: row.len(), needed })
    }

    /// The columns that a row may have: as many as the header, or as most rows.
    fn widest(&self) -> usize {
        let named = self.columns.as_ref().map_or(0, |columns| columns.count);
        if self.has_header { named.max(usual(&self.rows)) } else { usual(&self.rows).max(3) }
    }

    fn no_column(&self, column: &'static str) -> Error {
        Error::Header { path: self.path.clone(), column, known: columns::KNOWN }
    }

    /// A first row that has no score may be a header of other names.
    fn advised(&self, error: Error, row: usize) -> Error {
        match error {
            Error::Gold { path, line, text, advice: "" } if row == 0 && !self.has_header => Error::Gold {
                path,
                line,
                text,
                advice: "; a header names the columns word1, word2 and score",
            },
            error => error,
        }
    }
}

/// How many columns most rows have.
fn usual(rows: &[(usize, Vec<String>)]) -> usize {
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    rows.iter().for_each(|(_, row)| *counts.entry(row.len()).or_default() += 1);
    counts.into_iter().max_by_key(|(_, rows)| *rows).map_or(0, |(columns, _)| columns)
}

/// Where most rows have words and score: a damaged one, be it the first, must not decide.
fn most_common(rows: &[(usize, Vec<String>)]) -> Option<Columns> {
    let mut seen: Vec<(Columns, usize)> = Vec::new();
    for columns in rows.iter().filter_map(|(_, row)| Columns::seen_in(row)) {
        match seen.iter_mut().find(|(known, _)| known.agrees(&columns)) {
            Some((_, rows)) => *rows += 1,
            None => seen.push((columns, 1)),
        }
    }
    // The first of those that are equally common.
    seen.into_iter().rev().max_by_key(|(_, rows)| *rows).map(|(columns, _)| columns)
}

/// The pairs of which one file has the words and another one the scores, row by row.
pub fn joined(words: &Table, scores: &Table) -> Result<Vec<Row>, Error> {
    let [input_lines, gold_lines] = [words, scores].map(|table| table.rows.len());
    if input_lines != gold_lines {
        let (input, gold) = (words.path.clone(), scores.path.clone());
        return Err(Error::LineCounts { input, input_lines, gold, gold_lines });
    }
    // Where both have a first column of numbers, that is the pair's.
    let number = |row: &(usize, Vec<String>)| row.1.first()?.parse::<u64>().ok();
    for (words_row, scores_row) in words.rows.iter().zip(&scores.rows) {
        if let (Some(own), Some(other)) = (number(words_row), number(scores_row))
            && own != other
            && numbered(words)
            && numbered(scores)
        {
            return Err(Error::OtherPair {
                path: scores.path.clone(),
                line: scores_row.0,
                found: other,
                pair: own,
            });
        }
    }
    let parts = words.parts_of_speech();
    let rows = words.words()?.into_iter().zip(scores.scores()?).zip(parts);
    Ok(rows.map(|((words, score), part_of_speech)| Row { words, score, part_of_speech }).collect())
}

/// Whether a table's first column is none of its words and scores.
fn numbered(table: &Table) -> bool {
    table
        .columns
        .as_ref()
        .is_some_and(|c| !c.words.iter().flatten().chain(&c.scores).any(|&column| column == 0))
}
