//! Where `mirror encode` puts embeddings: a .npy array, or lines of JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ndarray::Array2;
use serde::Serialize;

use super::{Done, Ending, usage};
use crate::output::{Form, OutputFile, OutputWriter};
use crate::quantization::{EmbeddingType, Stored};

/// How a file holds embeddings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Npy,
    JsonLines,
}

const NPY: Form = Form { what: "an array that mirror encode wrote", is_ours: is_array };
const JSON_LINES: Form = Form { what: "embeddings that mirror encode wrote", is_ours: is_json_lines };

impl Rows {
    pub fn by_name(path: &Path) -> Result<Self, Ending> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Rows::Npy),
            Some("jsonl") => Ok(Rows::JsonLines),
            _ => Err(usage(format!("--output {}: the name must end in .npy or .jsonl", path.display()))),
        }
    }

    pub fn form(self) -> Form {
        match self {
            Rows::Npy => NPY,
            Rows::JsonLines => JSON_LINES,
        }
    }
}

/// Where embeddings go. A file appears whole or not at all.
pub enum Sink {
    Stdout(BufWriter<io::Stdout>),
    JsonLines(BufWriter<OutputWriter>),
    Npy { out: BufWriter<OutputWriter>, rows: usize },
}

/// Room for the array's header, whose row count is only known at the end.
const NPY_HEADER: usize = 128;

impl Sink {
    pub fn open(output: Option<&(OutputFile, Rows)>) -> Result<Self, Ending> {
        let Some((file, rows)) = output else {
            return Ok(Sink::Stdout(BufWriter::new(io::stdout())));
        };
        let mut out = BufWriter::new(file.open()?);
        if *rows == Rows::JsonLines {
            return Ok(Sink::JsonLines(out));
        }
        out.write_all(&[0; NPY_HEADER])?;
        Ok(Sink::Npy { out, rows: 0 })
    }

    pub fn write(&mut self, embeddings: &Stored) -> Done {
        match self {
            Sink::Stdout(out) => json_lines(embeddings, out)?,
            Sink::JsonLines(out) => json_lines(embeddings, out)?,
            Sink::Npy { out, rows } => *rows += array_rows(embeddings, out)?,
        }
        Ok(())
    }

    /// All is written, of embeddings of `width` values.
    pub fn finish(self, form: EmbeddingType, width: usize) -> Done {
        match self {
            Sink::Stdout(mut out) => out.flush()?,
            Sink::JsonLines(out) => whole(out)?.finish()?,
            Sink::Npy { out, rows } => {
                let mut file = whole(out)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&npy_header(form, rows, width))?;
                file.finish()?;
            }
        }
        Ok(())
    }
}

fn whole(out: BufWriter<OutputWriter>) -> io::Result<OutputWriter> {
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn json_lines(embeddings: &Stored, out: &mut impl Write) -> io::Result<()> {
    fn write<T: Copy, J: Serialize>(
        rows: &Array2<T>,
        json: impl Fn(T) -> J,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for row in rows.rows() {
            serde_json::to_writer(&mut *out, &row.iter().map(|&value| json(value)).collect::<Vec<J>>())?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
    match embeddings {
        Stored::F32(rows) => write(rows, |value| value, out),
        Stored::F16(rows) => write(rows, |value| value.to_f32(), out),
        Stored::I8(rows) => write(rows, |value| value, out),
        Stored::U8(rows) => write(rows, |value| value, out),
    }
}

/// The array's values, row by row; how many rows.
fn array_rows(embeddings: &Stored, out: &mut impl Write) -> io::Result<usize> {
    fn write<T, const N: usize>(
        rows: &Array2<T>,
        bytes: impl Fn(&T) -> [u8; N],
        out: &mut impl Write,
    ) -> io::Result<usize> {
        rows.iter().try_for_each(|value| out.write_all(&bytes(value)))?;
        Ok(rows.nrows())
    }
    match embeddings {
        Stored::F32(rows) => write(rows, |value| value.to_le_bytes(), out),
        Stored::F16(rows) => write(rows, |value| value.to_le_bytes(), out),
        Stored::I8(rows) => write(rows, |value| value.to_le_bytes(), out),
        Stored::U8(rows) => write(rows, |value| value.to_le_bytes(), out),
    }
}

/// NumPy's names of what the arrays hold, and bytes of a value.
const NPY_TYPES: [(&str, u64); 4] = [("<f4", 4), ("<f2", 2), ("|i1", 1), ("|u1", 1)];

/// NumPy's name of a type's values, and how many an embedding of `width` has.
fn npy_type(form: EmbeddingType, width: usize) -> (&'static str, usize) {
    match form {
        EmbeddingType::F32 => ("<f4", width),
        EmbeddingType::F16 => ("<f2", width),
        EmbeddingType::Int8 => ("|i1", width),
        EmbeddingType::Uint8 => ("|u1", width),
        EmbeddingType::Binary => ("|i1", width.div_ceil(8)),
        EmbeddingType::Ubinary => ("|u1", width.div_ceil(8)),
    }
}

/// NumPy's format, version 1.0: magic, header length, a dictionary padded with blanks to 128 bytes.
fn npy_header(form: EmbeddingType, rows: usize, width: usize) -> [u8; NPY_HEADER] {
    let (name, columns) = npy_type(form, width);
    let mut header = [b' '; NPY_HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
    let dictionary = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}

/// Whether a file is an array as it is written here, of any type.
pub fn is_array(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    file.take(NPY_HEADER as u64).read_to_end(&mut header)?;
    let text = String::from_utf8_lossy(header.get(10..).unwrap_or_default()).into_owned();
    let parts = text.strip_prefix("{'descr': '").and_then(|rest| {
        let (name, rest) = rest.split_once("', 'fortran_order': False, 'shape': (")?;
        let (_, size) = NPY_TYPES.into_iter().find(|(known, _)| *known == name)?;
        let (rows, columns) = rest.split_once("), }")?.0.split_once(", ")?;
        let values = rows.parse::<u64>().ok()?.checked_mul(columns.parse().ok()?)?;
        values.checked_mul(size)?.checked_add(NPY_HEADER as u64)
    });
    Ok(header.starts_with(b"\x93NUMPY\x01\x00") && parts == Some(length))
}

/// Lines of as many numbers each, as far as a first look goes.
fn is_json_lines(path: &Path) -> io::Result<bool> {
    const LINES: usize = 100;
    const LONGEST: u64 = 1 << 20;
    let mut file = BufReader::new(File::open(path)?);
    let mut width = None;
    for _ in 0..LINES {
        let mut line = Vec::new();
        if file.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let Ok(row) = serde_json::from_slice::<Vec<f64>>(&line) else { return Ok(false) };
        if row.is_empty() || *width.get_or_insert(row.len()) != row.len() {
            return Ok(false);
        }
    }
    Ok(width.is_some())
}
