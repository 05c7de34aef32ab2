//! Rows of fields: which of the columns hold the text, and whether the first row names them.

use std::collections::VecDeque;

use ::csv::ByteRecord;
use sts_eval::not_text::{NotText, Reason};

use super::ReadingError;
use super::options::CorpusOptions;
use super::record::{Record, Records, texts_of};
use crate::corpus::markup::is_text_name;
use crate::corpus::{CorpusError, Format, is_blank};
use crate::quote::{beginning, counted, quoted};
use crate::suggest::meant;

/// Rows that are looked at before the first record is given, and the bytes at which fewer are.
const SAMPLE: usize = 50;
const SAMPLE_BYTES: usize = 1 << 20;

/// Columns that a message names.
const SHOWN: usize = 20;

/// One row of a table.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The line that it begins on, counted from 1.
    pub line: u64,
    pub fields: ByteRecord,
}

/// The rows of a file, a header included.
pub trait Rows {
    /// Puts the next row in; false where there is none.
    fn next_row(&mut self, row: &mut Row) -> Result<bool, CorpusError>;
    /// What lies between fields, for messages.
    fn separator(&self) -> &'static str;
}

/// The chosen columns of a table, as records.
pub struct Table<R> {
    rows: R,
    name: String,
    /// Rows that were looked at and not given yet.
    sample: VecDeque<Row>,
    row: Row,
    columns: Vec<usize>,
    width: usize,
    given: u64,
}

impl<R: Rows> Table<R> {
    pub fn new(
        mut rows: R,
        name: &str,
        options: &CorpusOptions,
        format: Format,
    ) -> Result<Self, CorpusError> {
        let mut sample = VecDeque::new();
        let mut bytes = 0;
        while sample.len() < SAMPLE && bytes < SAMPLE_BYTES {
            let mut row = Row::default();
            if !rows.next_row(&mut row)? {
                break;
            }
            bytes += row.fields.as_slice().len();
            sample.push_back(row);
        }
        let mut table = Table {
            rows,
            name: name.to_owned(),
            width: sample.front().map_or(0, |row: &Row| row.fields.len()),
            sample,
            row: Row::default(),
            columns: Vec::new(),
            given: 0,
        };
        if table.sample.is_empty() {
            return Ok(table);
        }
        let chosen = choose(table.sample.make_contiguous(), name, &options.column, texts_of(format))?;
        table.columns = chosen.columns;
        if chosen.header {
            table.sample.pop_front();
        }
        Ok(table)
    }

    fn next_row(&mut self) -> Result<bool, CorpusError> {
        match self.sample.pop_front() {
            Some(row) => self.row = row,
            None if !self.rows.next_row(&mut self.row)? => return Ok(false),
            None => {}
        }
        check_width(&self.row, self.width, &self.name, self.rows.separator())?;
        Ok(true)
    }
}

impl<R: Rows> Records for Table<R> {
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError> {
        if !self.next_row()? {
            return Ok(false);
        }
        self.given += 1;
        let mut texts = [None; 2];
        for (place, &column) in self.columns.iter().enumerate() {
            texts[place] = Some(text(&self.row, column, &self.name)?);
        }
        record.set(self.given, &texts[..self.columns.len()]);
        record.check_length(&self.name)?;
        Ok(true)
    }
}

/// Refuses a row of another length.
pub fn check_width(
    row: &Row,
    expected: usize,
    name: &str,
    separator: &'static str,
) -> Result<(), CorpusError> {
    let found = row.fields.len();
    if found == expected {
        return Ok(());
    }
    Err(ReadingError::Ragged { name: name.to_owned(), line: row.line, found, expected, separator }.into())
}

/// The text of a field, or why it is none.
pub fn text<'a>(row: &'a Row, column: usize, name: &str) -> Result<&'a str, CorpusError> {
    let bytes = &row.fields[column];
    let text = std::str::from_utf8(bytes);
    if text.is_err() || bytes.contains(&0) {
        match Reason::of_line(row.line, bytes) {
            None => {}
            Some(Reason::NotUtf8 { line, byte, .. }) => {
                return Err(ReadingError::NotUtf8 { name: name.to_owned(), line, byte }.into());
            }
            Some(reason) => return Err(NotText { name: name.to_owned(), reason }.into()),
        }
    }
    text.map_err(|error| {
        let byte = error.valid_up_to() + 1;
        ReadingError::NotUtf8 { name: name.to_owned(), line: row.line, byte }.into()
    })
}

struct Chosen {
    columns: Vec<usize>,
    /// Whether the first row names columns rather than being one of texts.
    header: bool,
}

/// Chooses columns by what is asked for, else those that hold text where there are as many as needed.
fn choose(sample: &[Row], name: &str, asked: &[String], wanted: usize) -> Result<Chosen, ReadingError> {
    let names = fields(&sample[0]);
    let header = names_columns(sample);
    if !asked.is_empty() {
        return chosen_by_name(&names, header, name, asked);
    }
    let rows = if header { &sample[1..] } else { sample };
    let columns: Vec<usize> = (0..names.len()).filter(|&column| holds_text(rows, column, header)).collect();
    if columns.len() == wanted {
        return Ok(Chosen { columns, header });
    }
    let listed = listed(&names, if header { None } else { Some(sample) }, &columns);
    let name = name.to_owned();
    Err(match (columns.len(), wanted) {
        (0, _) => ReadingError::NoTextColumn { name, columns: self::listed(&names, Some(sample), &[]) },
        (found, 2) if found < 2 => {
            ReadingError::PairColumns { name, found: counted(found as u64, "column") + " of text" }
        }
        (_, wanted) => ReadingError::ChooseColumn { name, twice: twice(wanted), columns: listed },
    })
}

pub fn twice(wanted: usize) -> &'static str {
    if wanted == 2 { ", twice" } else { "" }
}

fn chosen_by_name(
    names: &[String],
    header: bool,
    name: &str,
    asked: &[String],
) -> Result<Chosen, ReadingError> {
    let by_name: Vec<Option<usize>> =
        asked.iter().map(|asked| names.iter().position(|name| name == asked)).collect();
    let header = header || by_name.iter().any(Option::is_some);
    let by_number = |asked: &str| {
        let number: usize = asked.parse().ok()?;
        (1..=names.len()).contains(&number).then(|| number - 1)
    };
    let mut columns = Vec::new();
    for (asked, place) in asked.iter().zip(by_name) {
        match place.or_else(|| by_number(asked)) {
            Some(column) => columns.push(column),
            None => {
                let likely = meant(asked, names.iter().map(String::as_str)).map(beginning);
                let columns = listed(names, None, &[]);
                return Err(ReadingError::NoColumn {
                    name: name.to_owned(),
                    asked: asked.clone(),
                    likely,
                    columns,
                });
            }
        }
    }
    Ok(Chosen { columns, header })
}

/// The names in a row of names.
pub fn fields(row: &Row) -> Vec<String> {
    row.fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect()
}

fn is_number(field: &str) -> bool {
    let field = field.trim();
    field.parse::<f64>().is_ok() || field.replace(',', ".").parse::<f64>().is_ok()
}

/// Whether the first row names the columns: one of them as columns of text are called, or one that holds numbers below
/// it alone.
fn names_columns(sample: &[Row]) -> bool {
    let names = fields(&sample[0]);
    let is_name = |name: &String| (1..=64).contains(&name.chars().count()) && !is_number(name);
    // Tools that write an index leave its name empty.
    let first_may_be_empty = names.len() > 1 && names[0].is_empty();
    let names_from = usize::from(first_may_be_empty);
    if sample.len() < 2 || !names[names_from..].iter().all(is_name) {
        return false;
    }
    let is_word = |name: &String| name.chars().all(|c| c.is_alphanumeric() || "_-.# ".contains(c));
    let known = names.iter().any(|name| is_text_name(name)) && names.iter().all(is_word);
    let numbers = |column: usize| {
        let below: Vec<String> = sample[1..]
            .iter()
            .filter_map(|row| Some(String::from_utf8_lossy(row.fields.get(column)?).into_owned()))
            .collect();
        below.iter().any(|field| !is_blank(field))
            && below.iter().all(|field| is_blank(field) || is_number(field))
    };
    known || (names.len() > 1 && (0..names.len()).any(numbers))
}

/// Whether a column has texts, and not numbers alone. A file of nothing but a header has columns of text by name.
fn holds_text(rows: &[Row], column: usize, header: bool) -> bool {
    let mut fields = rows
        .iter()
        .filter_map(|row| row.fields.get(column))
        .map(String::from_utf8_lossy)
        .filter(|field| !is_blank(field))
        .peekable();
    match fields.peek() {
        None => !header && rows.is_empty(),
        Some(_) => fields.any(|field| !is_number(&field)),
    }
}

/// Columns as a message lists them: by name, else by number and how they begin. All, where `which` is empty.
pub fn listed(names: &[String], sample: Option<&[Row]>, which: &[usize]) -> String {
    let all: Vec<usize> = if which.is_empty() { (0..names.len()).collect() } else { which.to_vec() };
    let one = |&column: &usize| match sample {
        None => quoted(&names[column]),
        Some(_) => format!("{} ({})", column + 1, quoted(&short(&names[column]))),
    };
    let shown: Vec<String> = all.iter().take(SHOWN).map(one).collect();
    let rest = if all.len() > SHOWN { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}

fn short(text: &str) -> String {
    const LONGEST: usize = 24;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
