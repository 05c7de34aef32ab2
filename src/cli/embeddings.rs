//! Where `mirror encode` puts embeddings: a .npy array, or lines of JSON.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use ndarray::Array2;
use serde::Serialize;

use super::{Done, Ending, files, npy, usage};
use crate::output::{Form, OutputFile, OutputWriter};
use crate::quantization::{EmbeddingType, Stored};

/// How a file holds embeddings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Npy,
    JsonLines,
}

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
            Rows::Npy => files::NPY,
            Rows::JsonLines => files::JSON_LINES,
        }
    }
}

/// Where embeddings go. A file appears whole or not at all.
pub enum Sink {
    Stdout(BufWriter<io::Stdout>),
    JsonLines(BufWriter<OutputWriter>),
    Npy { out: BufWriter<OutputWriter>, rows: usize },
}

impl Sink {
    pub fn open(output: Option<&(OutputFile, Rows)>) -> Result<Self, Ending> {
        let Some((file, rows)) = output else {
            return Ok(Sink::Stdout(BufWriter::new(io::stdout())));
        };
        let mut out = BufWriter::new(file.open()?);
        if *rows == Rows::JsonLines {
            return Ok(Sink::JsonLines(out));
        }
        out.write_all(&[0; npy::HEADER])?;
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
                file.write_all(&npy::header(form, rows, width))?;
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
