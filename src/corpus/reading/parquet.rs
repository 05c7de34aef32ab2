//! Parquet: columns of text, read a page at a time.
//!
//! The crate believes sizes that a damaged page claims, and panics on some damage. What it believes is held against the
//! file here first ([`Checked`], [`Pages`]), and a panic is an error of the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use ::parquet::schema::types::ColumnDescPtr;
use bytes::Bytes;

use super::ReadingError;
use super::options::CorpusOptions;
use super::quiet::caught;
use super::record::{Record, Records, texts_of};
use super::table::twice;
use crate::corpus::{CorpusError, Format};
use crate::quote::{beginning, quoted, reason};
use crate::suggest::meant;

/// Rows that are read together.
const ROWS: usize = 256;

/// Columns that a message names.
const SHOWN: usize = 20;

/// A page may be as large as this, and larger only where what it was compressed to is large too: no codec but for a
/// run of one letter makes a thousandth of a text.
const ANY_PAGE: i64 = 16 << 20;
const MOST_COMPRESSED: i64 = 1000;

/// The columns of text of a Parquet file.
pub struct Parquet {
    file: Arc<SerializedFileReader<Checked>>,
    name: String,
    columns: Vec<usize>,
    /// The next row group.
    group: usize,
    /// Of the row group that is read, for each column: its reader, and values that were read.
    readers: Vec<Column>,
    /// Rows of the row group that are still to be read.
    left: u64,
    given: u64,
}

struct Column {
    reader: ColumnReaderImpl<ByteArrayType>,
    values: VecDeque<Option<ByteArray>>,
    /// The definition level of a value that is there.
    defined: i16,
}

impl Parquet {
    /// `file` is a whole file, which is read by position.
    pub fn new(file: File, name: &str, options: &CorpusOptions, format: Format) -> Result<Self, CorpusError> {
        let opened = caught(|| SerializedFileReader::new(Checked(file)));
        let file = opened.unwrap_or_else(|panic| Err(ParquetError::General(panic)));
        let file = Arc::new(file.map_err(|error| damaged(name, 0, &error))?);
        let columns = choose(&file, name, &options.column, texts_of(format))?;
        Ok(Parquet { file, name: name.to_owned(), columns, group: 0, readers: Vec::new(), left: 0, given: 0 })
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
            let reader = get_typed_column_reader(get_column_reader(description, Box::new(pages)));
            self.readers.push(Column { reader, values: VecDeque::new(), defined });
        }
        self.group += 1;
        Ok(true)
    }

    /// The next row's values, if there is a row.
    fn next_row(&mut self) -> ParquetResult<Option<Vec<Option<ByteArray>>>> {
        while self.left == 0 {
            if !self.open_group()? {
                return Ok(None);
            }
        }
        for column in &mut self.readers {
            if column.values.is_empty() {
                column.fill(ROWS.min(usize::try_from(self.left).unwrap_or(ROWS)))?;
            }
        }
        self.left -= 1;
        let values = self.readers.iter_mut().map(|column| column.values.pop_front());
        values.collect::<Option<_>>().map(Some).ok_or_else(|| general("a column has fewer values than rows"))
    }
}

impl Column {
    fn fill(&mut self, rows: usize) -> ParquetResult<()> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        self.reader.read_records(rows, Some(&mut levels), None, &mut values)?;
        if self.defined == 0 {
            self.values.extend(values.into_iter().map(Some));
            return Ok(());
        }
        let mut values = values.into_iter();
        for level in levels {
            self.values.push_back(if level == self.defined { values.next() } else { None });
        }
        Ok(())
    }
}

impl Records for Parquet {
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError> {
        let row = caught(|| self.next_row()).unwrap_or_else(|panic| Err(ParquetError::General(panic)));
        let Some(values) = row.map_err(|error| damaged(&self.name, self.given, &error))? else {
            return Ok(false);
        };
        self.given += 1;
        let mut texts = Vec::with_capacity(2);
        for value in &values {
            texts.push(value.as_ref().map(|value| std::str::from_utf8(value.data())).transpose().map_err(
                |error| {
                    let (name, byte) = (self.name.clone(), error.valid_up_to() + 1);
                    ReadingError::RowNotUtf8 { name, row: self.given, byte }
                },
            )?);
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

/// Whether a column's values are texts, a row each: marked as text, or bytes that nothing is said of.
fn is_text(column: &ColumnDescPtr) -> bool {
    let is_marked = matches!(
        (column.logical_type_ref(), column.converted_type()),
        (Some(LogicalType::String | LogicalType::Enum), _)
            | (None, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::NONE)
    );
    column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0 && is_marked
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

fn choose(
    file: &SerializedFileReader<Checked>,
    name: &str,
    asked: &[String],
    wanted: usize,
) -> Result<Vec<usize>, ReadingError> {
    let schema = file.metadata().file_metadata().schema_descr();
    let columns = schema.columns();
    let names: Vec<String> = columns.iter().map(|column| column.path().parts().join(".")).collect();
    let of_text: Vec<usize> = (0..columns.len()).filter(|&column| is_text(&columns[column])).collect();
    let listed = |which: &[usize]| {
        let shown: Vec<String> = which.iter().take(SHOWN).map(|&column| quoted(&names[column])).collect();
        match shown.len() {
            0 => "none".to_owned(),
            _ => format!("{}{}", shown.join(", "), if which.len() > SHOWN { ", …" } else { "" }),
        }
    };
    let all: Vec<usize> = (0..columns.len()).collect();
    let name = name.to_owned();
    if asked.is_empty() {
        return match (of_text.len(), wanted) {
            (found, wanted) if found == wanted => Ok(of_text),
            (0, _) => Err(ReadingError::NoTextColumn { name, columns: listed(&all) }),
            (1, 2) => Err(ReadingError::PairColumns { name, found: format!("one ({})", listed(&of_text)) }),
            (_, wanted) => {
                Err(ReadingError::ChooseColumn { name, twice: twice(wanted), columns: listed(&of_text) })
            }
        };
    }
    let mut chosen = Vec::new();
    for asked in asked {
        let by_number = || {
            let number: usize = asked.parse().ok()?;
            (1..=columns.len()).contains(&number).then(|| number - 1)
        };
        let Some(column) = names.iter().position(|name| name == asked).or_else(by_number) else {
            let likely = meant(asked, names.iter().map(String::as_str)).map(beginning);
            return Err(ReadingError::NoColumn { name, asked: asked.clone(), likely, columns: listed(&all) });
        };
        if !is_text(&columns[column]) {
            let found = described(&columns[column]);
            return Err(ReadingError::NotTextColumn {
                name,
                asked: asked.clone(),
                found,
                columns: listed(&of_text),
            });
        }
        chosen.push(column);
    }
    Ok(chosen)
}

/// A file of which no more is read than it has, whatever it claims.
struct Checked(File);

impl Length for Checked {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Checked {
    type T = BufReader<File>;

    /// The crate asks for this where a page begins, of which the sizes are looked at.
    fn get_read(&self, start: u64) -> ParquetResult<BufReader<File>> {
        let mut beginning = Vec::new();
        self.0.get_read(start)?.take(64).read_to_end(&mut beginning)?;
        if let Some((uncompressed, compressed)) = page_sizes(&beginning) {
            let left = i64::try_from(self.len().saturating_sub(start)).unwrap_or(i64::MAX);
            let most = ANY_PAGE.max(compressed.saturating_mul(MOST_COMPRESSED));
            if compressed < 0 || compressed > left || uncompressed < 0 || uncompressed > most {
                return Err(general("a page claims more bytes than it can have"));
            }
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(general("it ends too early"));
        }
        self.0.get_bytes(start, length)
    }
}

/// The sizes that a page's header begins with (Thrift's compact protocol): uncompressed, and in the file.
fn page_sizes(header: &[u8]) -> Option<(i64, i64)> {
    let mut bytes = header.iter().copied();
    let mut field = || {
        // The next field of the structure, a 32-bit number.
        if bytes.next()? != 0x15 {
            return None;
        }
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let magnitude = i64::try_from(value >> 1).ok()?;
                return Some(if value & 1 == 1 { -magnitude - 1 } else { magnitude });
            }
        }
        None
    };
    let _kind = field()?;
    Some((field()?, field()?))
}

/// Pages whose numbers of values fit into their bytes.
struct Pages(Box<dyn PageReader>);

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.0.get_next_page()?;
        // Each value of a dictionary of texts has a length of four bytes.
        if let Some(Page::DictionaryPage { buf, num_values, .. }) = &page
            && *num_values as usize > buf.len() / 4
        {
            return Err(general("a dictionary claims more values than it has"));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.0.skip_next_page()
    }
}
