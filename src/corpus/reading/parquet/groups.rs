//! The values of some columns, row after row, a row group at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use ::parquet::errors::Result as ParquetResult;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use super::checked::{Checked, Pages};
use super::general;

/// Rows that are read together.
const ROWS: usize = 256;

/// A value that is there.
pub enum Cell {
    /// Bytes, which should be text.
    Bytes(ByteArray),
    /// A number or a truth value, as it is written.
    Written(String),
}

/// Reads columns onwards.
pub struct Groups {
    file: Arc<SerializedFileReader<Checked>>,
    columns: Vec<usize>,
    /// The next row group.
    group: usize,
    /// Of the row group that is read, one for each column.
    readers: Vec<Column>,
    /// Rows of the row group that are still to be read.
    left: u64,
}

impl Groups {
    /// `columns` are places in the schema, of columns that are neither lists nor of types without a [`Cell`].
    pub fn new(file: Arc<SerializedFileReader<Checked>>, columns: Vec<usize>) -> Self {
        Groups { file, columns, group: 0, readers: Vec::new(), left: 0 }
    }

    /// Goes to the next row group; false where there is none.
    fn open_group(&mut self) -> ParquetResult<bool> {
        if self.group >= self.file.num_row_groups() {
            return Ok(false);
        }
        let group = self.file.get_row_group(self.group)?;
        let rows = group.metadata().num_rows();
        self.left = u64::try_from(rows).map_err(|_| general("a row group has a negative number of rows"))?;
        self.readers.clear();
        for &column in &self.columns {
            let description = group.metadata().schema_descr().column(column);
            let pages = Pages(group.get_column_page_reader(column)?);
            let defined = description.max_def_level();
            self.readers.push(Column::new(get_column_reader(description, Box::new(pages)), defined)?);
        }
        self.group += 1;
        Ok(true)
    }

    /// The next row's values, if there is a row.
    pub fn next_row(&mut self) -> ParquetResult<Option<Vec<Option<Cell>>>> {
        while self.left == 0 {
            if !self.open_group()? {
                return Ok(None);
            }
        }
        let rows = ROWS.min(usize::try_from(self.left).unwrap_or(ROWS));
        self.left -= 1;
        let values = self.readers.iter_mut().map(|column| column.next(rows));
        values.collect::<ParquetResult<_>>().map(Some)
    }
}

/// A column of any type that has cells.
enum Column {
    Bytes(Values<ByteArrayType>),
    Bool(Values<BoolType>),
    Int32(Values<Int32Type>),
    Int64(Values<Int64Type>),
    Float(Values<FloatType>),
    Double(Values<DoubleType>),
}

impl Column {
    fn new(reader: ColumnReader, defined: i16) -> ParquetResult<Self> {
        Ok(match reader {
            ColumnReader::ByteArrayColumnReader(reader) => Column::Bytes(Values::new(reader, defined)),
            ColumnReader::BoolColumnReader(reader) => Column::Bool(Values::new(reader, defined)),
            ColumnReader::Int32ColumnReader(reader) => Column::Int32(Values::new(reader, defined)),
            ColumnReader::Int64ColumnReader(reader) => Column::Int64(Values::new(reader, defined)),
            ColumnReader::FloatColumnReader(reader) => Column::Float(Values::new(reader, defined)),
            ColumnReader::DoubleColumnReader(reader) => Column::Double(Values::new(reader, defined)),
            _ => return Err(general("a column is of another type than the schema says")),
        })
    }

    /// The next value; `rows` are read where none is left.
    fn next(&mut self, rows: usize) -> ParquetResult<Option<Cell>> {
        fn written(value: Option<impl ToString>) -> Option<Cell> {
            value.map(|value| Cell::Written(value.to_string()))
        }
        Ok(match self {
            Column::Bytes(values) => values.next(rows)?.map(Cell::Bytes),
            Column::Bool(values) => written(values.next(rows)?),
            Column::Int32(values) => written(values.next(rows)?),
            Column::Int64(values) => written(values.next(rows)?),
            Column::Float(values) => written(values.next(rows)?),
            Column::Double(values) => written(values.next(rows)?),
        })
    }
}

/// The reader of a column, and values that were read.
struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    read: VecDeque<Option<T::T>>,
    /// The definition level of a value that is there.
    defined: i16,
}

impl<T: DataType> Values<T> {
    fn new(reader: ColumnReaderImpl<T>, defined: i16) -> Self {
        Values { reader, read: VecDeque::new(), defined }
    }

    fn next(&mut self, rows: usize) -> ParquetResult<Option<T::T>> {
        if self.read.is_empty() {
            self.fill(rows)?;
        }
        self.read.pop_front().ok_or_else(|| general("a column has fewer values than rows"))
    }

    fn fill(&mut self, rows: usize) -> ParquetResult<()> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        self.reader.read_records(rows, Some(&mut levels), None, &mut values)?;
        if self.defined == 0 {
            self.read.extend(values.into_iter().map(Some));
            return Ok(());
        }
        let mut values = values.into_iter();
        for level in levels {
            self.read.push_back(if level == self.defined { values.next() } else { None });
        }
        Ok(())
    }
}
