//! Plain text: a record a line.

use std::io::BufRead;

use super::record::{Record, Records};
use crate::corpus::lines::{LineScanner, returns_remark};
use crate::corpus::{CorpusError, Format, is_blank};

pub struct Plain<R> {
    scanner: LineScanner<R>,
    name: String,
    format: Format,
}

impl<R: BufRead> Plain<R> {
    pub fn new(reader: R, name: &str, format: Format) -> Self {
        Plain { scanner: LineScanner::new(reader, name.to_owned(), format), name: name.to_owned(), format }
    }
}

impl<R: BufRead> Records for Plain<R> {
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError> {
        let Some(line) = self.scanner.next_line()? else { return Ok(false) };
        record.set(line.number, &[Some(line.text)]);
        if !is_blank(&record.text)
            && let Err(error) = self.format.check(&record.text, &self.name, record.number)
        {
            // Where the file is of another form, that is what is wrong.
            return Err(self.scanner.check_beginning().err().unwrap_or(error));
        }
        Ok(true)
    }

    fn remark(&self) -> Option<String> {
        returns_remark(&self.name, self.scanner.with_returns())
    }
}
