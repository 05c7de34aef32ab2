//! Rows of several columns: each found by its name, or by its place in a file without a header.

mod json;
mod table;

use std::fmt;

use crate::corpus::CorpusError;

pub use json::NamedLines;
pub use table::NamedTable;

/// A column that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of texts, that the first row names; the file is refused without it.
    Named(String),
    /// The same, but its values are none where the file does not have it.
    IfThere(String),
    /// As [`Wanted::Named`], and where a form tells them apart, it may hold numbers or truth values.
    Scalar(String),
    /// By its place from 0; the first row is one of values.
    At(usize),
}

/// How long rows may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widths {
    /// As long as the first row.
    Same,
    /// Long enough for all columns that are looked for.
    Enough,
    /// Any; values that a row has no place for are none.
    Any,
}

impl Wanted {
    /// The name that is looked for.
    pub fn name(&self) -> Option<&str> {
        match self {
            Wanted::Named(name) | Wanted::IfThere(name) | Wanted::Scalar(name) => Some(name),
            Wanted::At(_) => None,
        }
    }
}

/// Where a row is, as messages say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// "line" or "row".
    pub word: &'static str,
    /// Counted from 1.
    pub number: u64,
}

impl Place {
    /// The line that a row begins on.
    pub fn line(number: u64) -> Self {
        Place { word: "line", number }
    }

    /// A row of a file without lines.
    pub fn row(number: u64) -> Self {
        Place { word: "row", number }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word, self.number)
    }
}

/// The values of one row, in the order in which columns were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Where the row is.
    pub place: Place,
    /// None where the file or the row has none.
    pub values: Vec<Option<String>>,
}

/// Gives the values of one row after another.
pub trait NamedRows {
    /// The next row; `None` at the end. After an error there is nothing to ask for.
    fn next_values(&mut self) -> Result<Option<Values>, CorpusError>;
}
