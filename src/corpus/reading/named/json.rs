//! Fields of JSON lines.

use std::io::BufRead;

use super::{NamedRows, Place, Values, Wanted};
use crate::corpus::lines::LineScanner;
use crate::corpus::reading::ReadingError;
use crate::corpus::reading::json_lines::{listed, not_json};
use crate::corpus::reading::json_row::{Value, fields, value_at};
use crate::corpus::{CorpusError, is_blank};
use crate::quote::{beginning, quoted};
use crate::suggest::meant;

/// Objects, one a line; blank lines are none.
pub struct NamedLines<R> {
    scanner: LineScanner<R>,
    name: String,
    wanted: Vec<Wanted>,
    /// Objects so far.
    rows: u64,
}

impl<R: BufRead> NamedLines<R> {
    /// Nothing is read yet.
    pub fn new(reader: R, name: &str, wanted: &[Wanted]) -> Self {
        let scanner = LineScanner::of_rows(reader, name.to_owned());
        NamedLines { scanner, name: name.to_owned(), wanted: wanted.to_vec(), rows: 0 }
    }
}

impl<R: BufRead> NamedRows for NamedLines<R> {
    fn next_values(&mut self) -> Result<Option<Values>, CorpusError> {
        loop {
            let Some(line) = self.scanner.next_line()? else { return Ok(None) };
            if is_blank(line.text) {
                continue;
            }
            self.rows += 1;
            let reader = Line { name: &self.name, number: line.number, text: line.text };
            let values = reader.values(&self.wanted, self.rows == 1)?;
            return Ok(Some(Values { place: Place::line(line.number), values }));
        }
    }
}

/// One line, and where it is.
struct Line<'a> {
    name: &'a str,
    number: u64,
    text: &'a str,
}

impl Line<'_> {
    /// The first line has to have all fields, so that a misspelt name is seen as such.
    fn values(&self, wanted: &[Wanted], is_first: bool) -> Result<Vec<Option<String>>, ReadingError> {
        let value = |field| {
            value_at(self.text, field).map_err(|error| not_json(self.name, self.number, self.text, &error))
        };
        match value("")? {
            Value::Other("an object") => {}
            Value::Other("a list") if self.text.trim_start()[1..].trim_start().starts_with('{') => {
                return Err(ReadingError::Document { name: self.name.to_owned() });
            }
            _ => return Err(self.refused("the line", "no object with fields")),
        }
        let mut values = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let field = wanted.name().unwrap_or_default();
            let found = value(field)?;
            if is_first && found == Value::Absent && !matches!(wanted, Wanted::IfThere(_)) {
                return Err(self.no_field(field));
            }
            values.push(match found {
                Value::Text(text) => Some(text),
                Value::Null | Value::Absent => None,
                Value::Scalar(written, _) if matches!(wanted, Wanted::Scalar(_)) => Some(written),
                Value::Scalar(_, found) | Value::Other(found) => {
                    return Err(
                        self.refused(&format!("field {}", quoted(field)), &format!("{found}, not text"))
                    );
                }
            });
        }
        Ok(values)
    }

    fn refused(&self, what: &str, found: &str) -> ReadingError {
        let name = self.name.to_owned();
        ReadingError::NotValue { name, line: self.number, what: what.to_owned(), found: found.to_owned() }
    }

    fn no_field(&self, asked: &str) -> ReadingError {
        let all = fields(self.text).unwrap_or_default();
        let likely = meant(asked, all.iter().map(|field| field.name.as_str())).map(beginning);
        ReadingError::NoField {
            name: self.name.to_owned(),
            asked: asked.to_owned(),
            likely,
            rows: 1,
            fields: listed(&all, |_| true),
        }
    }
}
