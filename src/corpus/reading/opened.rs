//! One input, opened: whatever it is compressed with, and of whatever form, it gives records.

use std::fs::File;
use std::io::{self, Read, Seek};

use sts_eval::not_text::{NotText, Reason};

use super::ReadingError;
use super::compression::{Bytes, Compression, peek};
use super::csv::Csv;
use super::form::{Form, is_called_compressed};
use super::json_lines::JsonLines;
use super::list::Input;
use super::named::{NamedLines, NamedRows, NamedTable, Wanted, Widths};
use super::options::CorpusOptions;
use super::parquet::{NamedParquet, Parquet};
use super::plain::Plain;
use super::record::Records;
use super::spool::Spool;
use super::table::Table;
use super::tsv::Tsv;
use crate::corpus::source::check_no_device;
use crate::corpus::{CorpusError, Format};

/// An input and what was found of it.
pub struct Opened {
    pub records: Box<dyn Records>,
    pub form: Form,
    pub compression: Option<Compression>,
}

/// Whether this is a text that can be read where it lies: a file that is not compressed, a sentence a line.
pub fn is_plain_file(input: &Input, options: &CorpusOptions) -> Result<bool, CorpusError> {
    let Input::File(path) = input else { return Ok(false) };
    let cannot_read = |source| CorpusError::Read { name: input.name(), source };
    if !std::fs::metadata(path).map_err(cannot_read)?.is_file() {
        return Ok(false);
    }
    let (first, _) = peek(File::open(path).map_err(cannot_read)?).map_err(cannot_read)?;
    let is_empty = first.is_empty() && is_called_compressed(path);
    Ok(Compression::of(&first).is_none() && !is_empty && form_of(input, &first, options)? == Form::Text)
}

/// Opens an input.
///
/// # Errors
/// What cannot be read, and what is none of the forms that it could be.
pub fn open(input: &Input, options: &CorpusOptions, format: Format) -> Result<Opened, CorpusError> {
    let name = input.name();
    let found = look(input, &name)?;
    let form = form_of(input, &found.source.first, options)?;
    let records = found.source.records(form, options, format)?;
    Ok(Opened { records, form, compression: found.compression })
}

/// Opens an input whose rows have several columns.
///
/// # Errors
/// What cannot be read, a form without named columns, and a column that is not there.
pub fn open_named(
    input: &Input,
    wanted: &[Wanted],
    widths: Widths,
) -> Result<Box<dyn NamedRows>, CorpusError> {
    let name = input.name();
    let found = look(input, &name)?;
    let form = form_of(input, &found.source.first, &CorpusOptions::default())?;
    found.source.named(form, wanted, widths)
}

/// An input's bytes, decompressed, before it is known what they are.
struct Looked<'a> {
    source: Source<'a>,
    compression: Option<Compression>,
}

fn look<'a>(input: &Input, name: &'a str) -> Result<Looked<'a>, CorpusError> {
    let cannot_read = |source| CorpusError::Read { name: name.to_owned(), source };
    let mut whole = None;
    let (mut first, mut bytes) = match input {
        Input::Stdin => peek(io::stdin()),
        Input::File(path) => {
            check_no_device(path)?;
            let file = File::open(path).map_err(cannot_read)?;
            let metadata = file.metadata().map_err(cannot_read)?;
            if metadata.is_dir() {
                return Err(CorpusError::Folder { path: path.clone() });
            }
            // What has a length can be read by position.
            if metadata.is_file() {
                whole = Some(file.try_clone().map_err(cannot_read)?);
            }
            peek(file)
        }
    }
    .map_err(cannot_read)?;
    let compression = Compression::of(&first);
    if let Some(compression) = compression {
        let decoded = compression.decode(bytes).map_err(cannot_read)?;
        (first, bytes) = peek(decoded).map_err(cannot_read)?;
        whole = None;
    } else if let Input::File(path) = input
        && first.is_empty()
        && is_called_compressed(path)
    {
        return Err(ReadingError::EmptyCompressed { name: name.to_owned() }.into());
    }
    Ok(Looked { source: Source { name, first, bytes, whole }, compression })
}

/// The form of an input: what its first bytes say beyond doubt, else what its name promises, else what the flags
/// are for, else text.
fn form_of(input: &Input, first: &[u8], options: &CorpusOptions) -> Result<Form, CorpusError> {
    let begins = first.starts_with(b"PAR1") || first.starts_with(b"PARE");
    // Letters that could begin a text, but for the byte after them.
    let is_parquet = begins && first.get(4).is_some_and(|&byte| byte < 0x20 && !byte.is_ascii_whitespace());
    match input.form() {
        _ if is_parquet => Ok(Form::Parquet),
        Some(Form::Parquet) if begins => Ok(Form::Parquet),
        Some(Form::Parquet) => {
            Err(ReadingError::NotParquet { name: input.name(), empty: first.is_empty() }.into())
        }
        Some(form) => Ok(form),
        None if !options.field.is_empty() => Ok(Form::JsonLines),
        None if !options.column.is_empty() => {
            let line = first.split(|&byte| byte == b'\n').next().unwrap_or_default();
            Ok(if line.contains(&b'\t') { Form::Tsv } else { Form::Csv })
        }
        None => Ok(Form::Text),
    }
}

struct Source<'a> {
    name: &'a str,
    first: Vec<u8>,
    bytes: Bytes,
    /// The file itself, where the bytes are those of it.
    whole: Option<File>,
}

impl Source<'_> {
    fn records(
        self,
        form: Form,
        options: &CorpusOptions,
        format: Format,
    ) -> Result<Box<dyn Records>, CorpusError> {
        let name = self.name;
        // The others are recognised line by line.
        if matches!(form, Form::Csv | Form::Tsv | Form::JsonLines) {
            self.check_beginning()?;
        }
        Ok(match form {
            Form::Text => Box::new(Plain::new(self.bytes, name, format)),
            // As the file of pairs that it was before there were columns.
            Form::Tsv if format == Format::Pairs && options.column.is_empty() => {
                Box::new(Plain::new(self.bytes, name, format))
            }
            Form::Tsv => Box::new(Table::new(Tsv::new(self.bytes, name), name, options, format)?),
            Form::Csv => {
                let (first, bytes) = without_mark(&self.first, self.bytes, name)?;
                let rows = Csv::new(bytes, name, first, &options.column);
                Box::new(Table::new(rows, name, options, format)?)
            }
            Form::JsonLines => Box::new(JsonLines::new(self.bytes, name, options, format)),
            Form::Parquet => Box::new(Parquet::new(self.file()?, name, options, format)?),
        })
    }
}

impl Source<'_> {
    fn named(self, form: Form, wanted: &[Wanted], widths: Widths) -> Result<Box<dyn NamedRows>, CorpusError> {
        let name = self.name;
        if form != Form::Parquet {
            self.check_beginning()?;
        }
        Ok(match form {
            Form::Tsv => Box::new(NamedTable::new(Tsv::new(self.bytes, name), name, wanted, widths)?),
            Form::Csv => {
                let (first, bytes) = without_mark(&self.first, self.bytes, name)?;
                let is_sure = |wanted: &&Wanted| !matches!(wanted, Wanted::IfThere(_));
                let asked: Vec<String> =
                    wanted.iter().filter(is_sure).filter_map(Wanted::name).map(str::to_owned).collect();
                Box::new(NamedTable::new(Csv::new(bytes, name, first, &asked), name, wanted, widths)?)
            }
            Form::JsonLines => Box::new(NamedLines::new(self.bytes, name, wanted)),
            Form::Parquet => Box::new(NamedParquet::new(self.file()?, name, wanted)?),
            Form::Text => return Err(ReadingError::NoNamedColumns { name: name.to_owned(), form }.into()),
        })
    }

    /// A file of these bytes that can be read by position.
    fn file(self) -> Result<File, CorpusError> {
        match self.whole {
            Some(file) => Ok(file),
            None => copied(self.name, self.bytes),
        }
    }

    /// Refuses what begins as no text does.
    fn check_beginning(&self) -> Result<(), CorpusError> {
        let reason = Reason::of_beginning(&self.first);
        reason.map_or(Ok(()), |reason| Err(NotText { name: self.name.to_owned(), reason }.into()))
    }
}

/// A temporary copy of what can be read only once.
fn copied(name: &str, mut bytes: Bytes) -> Result<File, CorpusError> {
    let cannot_read = |source| CorpusError::Read { name: name.to_owned(), source };
    let mut spool = Spool::new()?;
    spool.take_in(&mut bytes)?.map_err(cannot_read)?;
    let mut file = spool.finish()?;
    file.rewind().map_err(cannot_read)?;
    Ok(file)
}

/// What comes after a byte order mark.
fn without_mark<'a>(first: &'a [u8], mut bytes: Bytes, name: &str) -> Result<(&'a [u8], Bytes), CorpusError> {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let Some(rest) = first.strip_prefix(MARK) else { return Ok((first, bytes)) };
    bytes
        .read_exact(&mut [0; MARK.len()])
        .map_err(|source| CorpusError::Read { name: name.to_owned(), source })?;
    Ok((rest, bytes))
}
