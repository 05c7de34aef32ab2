//! JSON lines: an object a line, or a string.

use std::io::BufRead;

use super::ReadingError;
use super::json_row::{Field, Value, fields, value_at};
use super::options::CorpusOptions;
use super::record::{Record, Records, texts_of};
use super::table::twice;
use crate::corpus::lines::LineScanner;
use crate::corpus::{CorpusError, Format, is_blank};
use crate::quote::{beginning, quoted, reason};
use crate::suggest::meant;

/// A field that none of so many first lines has is taken for a mistake.
const LOOKED_AT: u64 = 1000;

/// Fields that a message names.
const SHOWN: usize = 20;

pub struct JsonLines<R> {
    scanner: LineScanner<R>,
    name: String,
    wanted: usize,
    /// Chosen by the first line where nobody chose; a single "" where lines are strings.
    fields: Vec<String>,
    /// Whether some line had each.
    seen: Vec<bool>,
    rows: u64,
    /// The fields of the first line, for messages.
    first: Vec<Field>,
}

impl<R: BufRead> JsonLines<R> {
    pub fn new(reader: R, name: &str, options: &CorpusOptions, format: Format) -> Self {
        JsonLines {
            scanner: LineScanner::of_rows(reader, name.to_owned()),
            name: name.to_owned(),
            wanted: texts_of(format),
            fields: options.field.clone(),
            seen: vec![false; options.field.len()],
            rows: 0,
            first: Vec::new(),
        }
    }

    /// Fields that a line had to have by now.
    fn check_seen(&self) -> Result<(), ReadingError> {
        let Some(missing) = self.seen.iter().position(|seen| !seen).filter(|_| self.rows > 0) else {
            return Ok(());
        };
        let (name, asked, rows) = (self.name.clone(), self.fields[missing].clone(), self.rows);
        let likely = meant(&asked, self.first.iter().map(|field| field.name.as_str())).map(beginning);
        Err(ReadingError::NoField { name, asked, likely, rows, fields: listed(&self.first, |_| true) })
    }
}

impl<R: BufRead> Records for JsonLines<R> {
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError> {
        let Some(line) = self.scanner.next_line()? else {
            self.check_seen()?;
            return Ok(false);
        };
        if is_blank(line.text) {
            record.set(line.number, &[]);
            return Ok(true);
        }
        let (number, text) = (line.number, line.text);
        if self.rows == 0 {
            self.first = fields(text).unwrap_or_default();
            if self.fields.is_empty() {
                self.fields = choose(&self.name, number, text, &self.first, self.wanted)?;
                self.seen = vec![false; self.fields.len()];
            }
        }
        self.rows += 1;
        let mut texts = Vec::with_capacity(2);
        for (field, seen) in self.fields.iter().zip(&mut self.seen) {
            let found = value_at(text, field).map_err(|error| not_json(&self.name, number, text, &error))?;
            *seen |= found != Value::Absent;
            texts.push(match found {
                Value::Text(text) => Some(text),
                Value::Null | Value::Absent => None,
                Value::Scalar(_, found) | Value::Other(found) => {
                    return Err(not_text(&self.name, number, field, found).into());
                }
            });
        }
        // A string or a number has no fields at all.
        if texts.iter().all(Option::is_none) && !text.trim_start().starts_with(['{', '[']) {
            return Err(not_text(&self.name, number, "", "no object with fields").into());
        }
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        record.set(number, &texts);
        record.check_length(&self.name)?;
        if self.rows == LOOKED_AT {
            self.check_seen()?;
        }
        Ok(true)
    }
}

fn not_text(name: &str, line: u64, field: &str, found: &str) -> ReadingError {
    let what = if field.is_empty() { "it".to_owned() } else { format!("field {}", quoted(field)) };
    ReadingError::NotText { name: name.to_owned(), line, what, found: found.to_owned() }
}

/// What is wrong with a line that is no JSON.
pub fn not_json(name: &str, line: u64, text: &str, error: &serde_json::Error) -> ReadingError {
    let name = name.to_owned();
    // A document over many lines begins with a bracket and ends on a later line.
    if line == 1 && error.is_eof() && text.trim_start().starts_with(['[', '{']) {
        return ReadingError::Document { name };
    }
    // The line that serde_json names is always 1.
    let said = error.to_string();
    let said = said.split(" at line 1 ").next().unwrap_or(&said);
    ReadingError::NotJson { name, line, reason: reason(format!("{said} at character {}", error.column())) }
}

/// The fields to take, by the first line.
fn choose(
    name: &str,
    line: u64,
    text: &str,
    first: &[Field],
    wanted: usize,
) -> Result<Vec<String>, ReadingError> {
    let is_whole = value_at(text, "").map_err(|error| not_json(name, line, text, &error))?;
    match is_whole {
        Value::Text(_) if wanted == 1 => return Ok(vec![String::new()]),
        Value::Other("an object") => {}
        Value::Other("a list") if text.trim_start()[1..].trim_start().starts_with('{') => {
            return Err(ReadingError::Document { name: name.to_owned() });
        }
        Value::Other("a list") if wanted == 2 => return Ok(vec!["0".to_owned(), "1".to_owned()]),
        Value::Scalar(_, found) | Value::Other(found) => return Err(not_text(name, line, "", found)),
        _ => return Err(not_text(name, line, "", "no object with fields")),
    }
    let of_text: Vec<&Field> = first.iter().filter(|field| field.is_text).collect();
    if of_text.len() == wanted {
        return Ok(of_text.iter().map(|field| field.name.clone()).collect());
    }
    let (found, name) = (of_text.len(), name.to_owned());
    Err(match (found, wanted) {
        (0, _) => ReadingError::NoTextField { name, line, fields: listed(first, |_| true) },
        (1, 2) => ReadingError::PairFields {
            name,
            fields: format!("one ({})", listed(first, |field| field.is_text)),
        },
        (_, wanted) => ReadingError::ChooseField {
            name,
            twice: twice(wanted),
            fields: listed(first, |field| field.is_text),
        },
    })
}

/// Fields as a message lists them.
pub fn listed(fields: &[Field], wanted: impl Fn(&&Field) -> bool) -> String {
    let all: Vec<&Field> = fields.iter().filter(wanted).collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(|field| quoted(&field.name)).collect();
    match shown.len() {
        0 => "none".to_owned(),
        shown_count => format!("{}{}", shown.join(", "), if all.len() > shown_count { ", …" } else { "" }),
    }
}
