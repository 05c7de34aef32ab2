//! Which columns a file has, and which of them are taken.

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::corpus::reading::ReadingError;
use crate::corpus::reading::table::twice;
use crate::quote::{beginning, quoted};
use crate::suggest::meant;

/// Columns that a message names.
const SHOWN: usize = 20;

/// The columns of a file.
pub struct Schema<'a> {
    columns: &'a [ColumnDescPtr],
    names: Vec<String>,
    /// The file, for messages.
    file: &'a str,
}

impl<'a> Schema<'a> {
    pub fn new(schema: &'a SchemaDescriptor, file: &'a str) -> Self {
        let columns = schema.columns();
        let names = columns.iter().map(|column| column.path().parts().join(".")).collect();
        Schema { columns, names, file }
    }

    /// Columns of text: those that are asked for, by name or by number, or where none is, the only ones.
    pub fn of_text(&self, asked: &[String], wanted: usize) -> Result<Vec<usize>, ReadingError> {
        if asked.is_empty() {
            return self.only_text(wanted);
        }
        let by_number = |asked: &str| {
            let number: usize = asked.parse().ok()?;
            (1..=self.columns.len()).contains(&number).then(|| number - 1)
        };
        let find = |asked: &String| {
            let column = self.place(asked).or_else(|| by_number(asked));
            self.text_at(column.ok_or_else(|| self.no_column(asked))?, asked)
        };
        asked.iter().map(find).collect()
    }

    /// Columns of text where nobody chose.
    fn only_text(&self, wanted: usize) -> Result<Vec<usize>, ReadingError> {
        let of_text: Vec<usize> = self.texts();
        let name = self.file.to_owned();
        match (of_text.len(), wanted) {
            (found, wanted) if found == wanted => Ok(of_text),
            (0, _) => Err(ReadingError::NoTextColumn { name, columns: self.listed(&self.all()) }),
            (1, 2) => {
                Err(ReadingError::PairColumns { name, found: format!("one ({})", self.listed(&of_text)) })
            }
            (_, wanted) => {
                Err(ReadingError::ChooseColumn { name, twice: twice(wanted), columns: self.listed(&of_text) })
            }
        }
    }

    /// Where the column of a name is.
    pub fn place(&self, asked: &str) -> Option<usize> {
        self.names.iter().position(|name| name == asked)
    }

    /// The column itself, which has to be of text.
    pub fn text_at(&self, column: usize, asked: &str) -> Result<usize, ReadingError> {
        if is_text(&self.columns[column]) { Ok(column) } else { Err(self.not_text(column, asked)) }
    }

    /// The column itself, which has to be of text, numbers or truth values.
    pub fn scalar_at(&self, column: usize, asked: &str) -> Result<usize, ReadingError> {
        let found = &self.columns[column];
        if is_text(found) || is_number(found) { Ok(column) } else { Err(self.not_text(column, asked)) }
    }

    pub fn no_column(&self, asked: &str) -> ReadingError {
        let likely = meant(asked, self.names.iter().map(String::as_str)).map(beginning);
        let columns = self.listed(&self.all());
        ReadingError::NoColumn { name: self.file.to_owned(), asked: asked.to_owned(), likely, columns }
    }

    fn not_text(&self, column: usize, asked: &str) -> ReadingError {
        ReadingError::NotTextColumn {
            name: self.file.to_owned(),
            asked: asked.to_owned(),
            found: described(&self.columns[column]),
            columns: self.listed(&self.texts()),
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.columns.len()).collect()
    }

    fn texts(&self) -> Vec<usize> {
        self.all().into_iter().filter(|&column| is_text(&self.columns[column])).collect()
    }

    fn listed(&self, which: &[usize]) -> String {
        let shown: Vec<String> =
            which.iter().take(SHOWN).map(|&column| quoted(&self.names[column])).collect();
        match shown.len() {
            0 => "none".to_owned(),
            _ => format!("{}{}", shown.join(", "), if which.len() > SHOWN { ", …" } else { "" }),
        }
    }
}

/// Whether a column's values are texts, a row each: marked as text, or bytes that nothing is said of.
fn is_text(column: &ColumnDescPtr) -> bool {
    let is_marked = matches!(
        (column.logical_type_ref(), column.converted_type()),
        (Some(LogicalType::String | LogicalType::Enum), _)
            | (None, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::NONE)
    );
    column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0 && is_marked
}

/// Whether they are numbers or truth values as they are written, and no dates or decimals.
fn is_number(column: &ColumnDescPtr) -> bool {
    let is_plain = matches!(
        (column.logical_type_ref(), column.converted_type()),
        (Some(LogicalType::Integer { .. }), _)
            | (None, ConvertedType::NONE | ConvertedType::INT_64 | ConvertedType::INT_32)
    );
    let physical = column.physical_type();
    let is_number =
        matches!(physical, Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE);
    is_number && column.max_rep_level() == 0 && is_plain
}

/// What a column holds that is no text, in words.
fn described(column: &ColumnDescPtr) -> String {
    if column.max_rep_level() > 0 {
        return "lists".to_owned();
    }
    match column.physical_type() {
        Type::BOOLEAN => "true and false".to_owned(),
        Type::INT32 | Type::INT64 | Type::INT96 | Type::FLOAT | Type::DOUBLE => "numbers".to_owned(),
        _ => "bytes".to_owned(),
    }
}
