//! Columns of a table.

use super::{NamedRows, Place, Values, Wanted, Widths};
use crate::corpus::CorpusError;
use crate::corpus::reading::ReadingError;
use crate::corpus::reading::table::{Row, Rows, check_width, fields, listed, text};
use crate::quote::beginning;
use crate::suggest::meant;

/// Rows of fields, of CSV or TSV.
pub struct NamedTable<R> {
    rows: R,
    name: String,
    row: Row,
    /// Where each column is.
    places: Vec<Option<usize>>,
    widths: Widths,
    /// Of the first row; 0 before it is read.
    width: usize,
}

impl<R: Rows> NamedTable<R> {
    /// Reads the first row where it names columns.
    pub fn new(mut rows: R, name: &str, wanted: &[Wanted], widths: Widths) -> Result<Self, CorpusError> {
        let mut header = Row::default();
        let has_header = !wanted.iter().any(|wanted| matches!(wanted, Wanted::At(_)));
        if has_header {
            rows.next_row(&mut header)?;
        }
        let names = fields(&header);
        let mut places = Vec::new();
        for wanted in wanted {
            let place = |asked: &String| names.iter().position(|name| name == asked);
            places.push(match wanted {
                Wanted::At(place) => Some(*place),
                Wanted::IfThere(asked) => place(asked),
                Wanted::Named(asked) | Wanted::Scalar(asked) => {
                    Some(place(asked).ok_or_else(|| no_column(name, asked, &names))?)
                }
            });
        }
        let width = header.fields.len();
        Ok(NamedTable { rows, name: name.to_owned(), row: header, places, widths, width })
    }

    /// Refuses a row that is too short or too long.
    fn check(&mut self) -> Result<(), CorpusError> {
        let found = self.row.fields.len();
        if self.width == 0 {
            self.width = found;
        }
        let needed = self.places.iter().flatten().max().map_or(0, |place| place + 1);
        let expected = match self.widths {
            Widths::Same => self.width,
            Widths::Enough if found < needed => self.width.max(needed),
            Widths::Enough | Widths::Any => return Ok(()),
        };
        check_width(&self.row, expected, &self.name, self.rows.separator())
    }
}

impl<R: Rows> NamedRows for NamedTable<R> {
    fn next_values(&mut self) -> Result<Option<Values>, CorpusError> {
        if !self.rows.next_row(&mut self.row)? {
            return Ok(None);
        }
        self.check()?;
        let mut values = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let place = place.filter(|place| *place < self.row.fields.len());
            let value = place.map(|place| text(&self.row, place, &self.name)).transpose()?;
            values.push(value.map(str::to_owned));
        }
        Ok(Some(Values { place: Place::line(self.row.line), values }))
    }
}

fn no_column(name: &str, asked: &str, names: &[String]) -> ReadingError {
    let likely = meant(asked, names.iter().map(String::as_str)).map(beginning);
    ReadingError::NoColumn {
        name: name.to_owned(),
        asked: asked.to_owned(),
        likely,
        columns: if names.is_empty() { "none".to_owned() } else { listed(names, None, &[]) },
    }
}
