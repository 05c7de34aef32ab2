//! Parquet: columns of text, read a page at a time.
//!
//! The crate believes sizes that a damaged page claims, and panics on some damage. What it believes is held against the
//! file first ([`checked`]), and a panic is an error of the file.

mod checked;
mod groups;
mod named;
mod schema;

use std::fs::File;
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use super::ReadingError;
use super::options::CorpusOptions;
use super::quiet::caught;
use super::record::{Record, Records, texts_of};
use crate::corpus::{CorpusError, Format};
use crate::quote::reason;

use checked::Checked;
use groups::{Cell, Groups};
pub use named::NamedParquet;
use schema::Schema;

/// The columns of text of a Parquet file.
pub struct Parquet {
    groups: Groups,
    name: String,
    given: u64,
}

impl Parquet {
    /// `file` is a whole file, which is read by position.
    pub fn new(file: File, name: &str, options: &CorpusOptions, format: Format) -> Result<Self, CorpusError> {
        let file = opened(file, name)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let columns = Schema::new(schema, name).of_text(&options.column, texts_of(format))?;
        Ok(Parquet { groups: Groups::new(file, columns), name: name.to_owned(), given: 0 })
    }
}

fn opened(file: File, name: &str) -> Result<Arc<SerializedFileReader<Checked>>, CorpusError> {
    let opened = caught(|| SerializedFileReader::new(Checked(file)));
    let file = opened.unwrap_or_else(|panic| Err(ParquetError::General(panic)));
    Ok(Arc::new(file.map_err(|error| damaged(name, 0, &error))?))
}

/// The next row's values, where `given` rows came before it.
fn next_row(groups: &mut Groups, name: &str, given: u64) -> Result<Option<Vec<Option<Cell>>>, CorpusError> {
    let row = caught(|| groups.next_row()).unwrap_or_else(|panic| Err(ParquetError::General(panic)));
    row.map_err(|error| damaged(name, given, &error).into())
}

/// What a value is as text.
fn as_text<'a>(cell: &'a Cell, name: &str, row: u64) -> Result<&'a str, ReadingError> {
    match cell {
        Cell::Written(text) => Ok(text),
        Cell::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_err(|error| {
            let byte = error.valid_up_to() + 1;
            ReadingError::RowNotUtf8 { name: name.to_owned(), row, byte }
        }),
    }
}

impl Records for Parquet {
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError> {
        let Some(values) = next_row(&mut self.groups, &self.name, self.given)? else { return Ok(false) };
        self.given += 1;
        let mut texts = Vec::with_capacity(2);
        for value in &values {
            texts.push(value.as_ref().map(|value| as_text(value, &self.name, self.given)).transpose()?);
        }
        record.set(self.given, &texts);
        record.check_length(&self.name)?;
        Ok(true)
    }
}

fn general(message: &str) -> ParquetError {
    ParquetError::General(message.to_owned())
}

fn damaged(name: &str, row: u64, error: &ParquetError) -> ReadingError {
    let name = name.to_owned();
    let said = match error {
        ParquetError::General(said) | ParquetError::EOF(said) | ParquetError::NYI(said) => reason(said),
        other => reason(other),
    };
    match error {
        // Nothing is wrong with the file.
        _ if matches!(error, ParquetError::NYI(_)) || said.contains("encrypt") => {
            ReadingError::UnreadParquet { name, reason: said }
        }
        _ => ReadingError::DamagedParquet { name, row, reason: said },
    }
}
