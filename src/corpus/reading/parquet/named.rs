//! Columns by name, of texts and of numbers.

use std::fs::File;

use ::parquet::file::reader::FileReader;

use super::groups::Groups;
use super::schema::Schema;
use super::{as_text, next_row, opened};
use crate::corpus::CorpusError;
use crate::corpus::reading::named::{NamedRows, Place, Values, Wanted};

/// Rows of the columns that are asked for.
pub struct NamedParquet {
    groups: Groups,
    name: String,
    /// Where each column is among those that are read.
    places: Vec<Option<usize>>,
    given: u64,
}

impl NamedParquet {
    /// `file` is a whole file, which is read by position.
    pub fn new(file: File, name: &str, wanted: &[Wanted]) -> Result<Self, CorpusError> {
        let file = opened(file, name)?;
        let schema = Schema::new(file.metadata().file_metadata().schema_descr(), name);
        let (mut columns, mut places) = (Vec::new(), Vec::new());
        for wanted in wanted {
            let asked = wanted.name().unwrap_or_default();
            let column = match (wanted, schema.place(asked)) {
                (Wanted::IfThere(_), None) => None,
                (_, None) => return Err(schema.no_column(asked).into()),
                (Wanted::Scalar(_), Some(column)) => Some(schema.scalar_at(column, asked)?),
                (_, Some(column)) => Some(schema.text_at(column, asked)?),
            };
            places.push(column.map(|_| columns.len()));
            columns.extend(column);
        }
        Ok(NamedParquet { groups: Groups::new(file, columns), name: name.to_owned(), places, given: 0 })
    }
}

impl NamedRows for NamedParquet {
    fn next_values(&mut self) -> Result<Option<Values>, CorpusError> {
        let Some(row) = next_row(&mut self.groups, &self.name, self.given)? else { return Ok(None) };
        self.given += 1;
        let mut values = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let cell = place.and_then(|place| row[place].as_ref());
            let text = cell.map(|cell| as_text(cell, &self.name, self.given)).transpose()?;
            values.push(text.map(str::to_owned));
        }
        Ok(Some(Values { place: Place::row(self.given), values }))
    }
}
