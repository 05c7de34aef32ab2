//! CSV as in RFC 4180: quoted fields may hold separators, quotation marks and line breaks.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use ::csv::{Reader, ReaderBuilder};

use super::ReadingError;
use super::table::{Row, Rows};
use crate::corpus::CorpusError;
use crate::corpus::lines::MAX_LINE_BYTES;

const BUFFER: usize = 64 << 10;

pub struct Csv<R> {
    reader: Reader<Bounded<R>>,
    name: String,
    left: Rc<Cell<usize>>,
    separator: u8,
}

impl<R: BufRead> Csv<R> {
    /// `first` are the file's first bytes, in which the separator is looked for.
    pub fn new(reader: R, name: &str, first: &[u8], asked: &[String]) -> Self {
        let separator = separator(first, asked);
        let left = Rc::new(Cell::new(0));
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .buffer_capacity(BUFFER)
            .from_reader(Bounded { inner: reader, left: Rc::clone(&left) });
        Csv { reader, name: name.to_owned(), left, separator }
    }
}

/// Comma, semicolon or tab: the one by which the first row has the columns that are asked for, else the first that
/// it has.
fn separator(first: &[u8], asked: &[String]) -> u8 {
    let row = |separator: u8| -> Vec<String> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(first);
        let record = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
        record.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect()
    };
    let rows = [b',', b';', b'\t'].map(|separator| (separator, row(separator)));
    let has_asked = |row: &[String]| !asked.is_empty() && asked.iter().all(|asked| row.contains(asked));
    let by_name = rows.iter().find(|(_, row)| row.len() > 1 && has_asked(row));
    // A sentence has commas more often than a row has one column, so that semicolons count where they make more.
    let most = || rows.iter().rev().max_by_key(|(_, row)| row.len());
    by_name.or_else(most).map_or(b',', |(separator, _)| *separator)
}

impl<R: BufRead> Rows for Csv<R> {
    fn next_row(&mut self, row: &mut Row) -> Result<bool, CorpusError> {
        // What is buffered is of this row or the next ones, hence the buffer's size on top.
        self.left.set(MAX_LINE_BYTES + BUFFER);
        row.line = self.reader.position().line();
        let read = self.reader.read_byte_record(&mut row.fields);
        // Blank lines before a row are passed over.
        row.line = row.fields.position().map_or(row.line, ::csv::Position::line);
        let name = || self.name.clone();
        read.map_err(|error| match error.into_kind() {
            ::csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
                ReadingError::RowTooLong { name: name(), line: row.line }.into()
            }
            ::csv::ErrorKind::Io(source) => CorpusError::Read { name: name(), source },
            kind => CorpusError::Read { name: name(), source: io::Error::other(format!("{kind:?}")) },
        })
    }

    fn separator(&self) -> &'static str {
        match self.separator {
            b';' => "semicolon",
            b'\t' => "tab",
            _ => "comma",
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct TooLong;

/// Ends with an error where a row goes on too long, so that a quotation mark that is not closed fills no memory.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let most = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - read);
        Ok(read)
    }
}
