//! TSV: a row a line, fields between tabs, and a quotation mark is a letter like any other.

use std::io::BufRead;

use super::table::{Row, Rows};
use crate::corpus::CorpusError;
use crate::corpus::lines::LineScanner;

pub struct Tsv<R> {
    scanner: LineScanner<R>,
}

impl<R: BufRead> Tsv<R> {
    pub fn new(reader: R, name: &str) -> Self {
        Tsv { scanner: LineScanner::of_rows(reader, name.to_owned()) }
    }
}

impl<R: BufRead> Rows for Tsv<R> {
    fn next_row(&mut self, row: &mut Row) -> Result<bool, CorpusError> {
        loop {
            let Some(line) = self.scanner.next_line()? else { return Ok(false) };
            // As in CSV, a line without anything is no row.
            if line.text.is_empty() {
                continue;
            }
            row.line = line.number;
            row.fields.clear();
            line.text.split('\t').for_each(|field| row.fields.push_field(field.as_bytes()));
            return Ok(true);
        }
    }

    fn separator(&self) -> &'static str {
        "tab"
    }
}
