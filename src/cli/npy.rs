//! NumPy's arrays in files, as `mirror encode` lays them out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::quantization::EmbeddingType;

/// Bytes of the header, whose row count is only known when all rows are written.
pub const HEADER: usize = 128;

/// NumPy's names of what the arrays hold, and bytes of a value.
const TYPES: [(&str, u64); 4] = [("<f4", 4), ("<f2", 2), ("|i1", 1), ("|u1", 1)];

/// NumPy's name of a type's values, and how many an embedding of `width` has.
fn type_of(form: EmbeddingType, width: usize) -> (&'static str, usize) {
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
pub fn header(form: EmbeddingType, rows: usize, width: usize) -> [u8; HEADER] {
    let (name, columns) = type_of(form, width);
    let mut header = [b' '; HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    let dictionary = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

/// Whether a file is an array as it is written here, of any type.
pub fn is_ours(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    file.take(HEADER as u64).read_to_end(&mut header)?;
    let text = String::from_utf8_lossy(header.get(10..).unwrap_or_default()).into_owned();
    let parts = text.strip_prefix("{'descr': '").and_then(|rest| {
        let (name, rest) = rest.split_once("', 'fortran_order': False, 'shape': (")?;
        let (_, size) = TYPES.into_iter().find(|(known, _)| *known == name)?;
        let (rows, columns) = rest.split_once("), }")?.0.split_once(", ")?;
        let values = rows.parse::<u64>().ok()?.checked_mul(columns.parse().ok()?)?;
        values.checked_mul(size)?.checked_add(HEADER as u64)
    });
    Ok(header.starts_with(b"\x93NUMPY\x01\x00") && parts == Some(length))
}
