//! Reading a text file of lines: UTF-8 or an error with the line, LF or CRLF, no unbounded memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;
use crate::not_text::{NotText, Reason};

/// The largest file that is read, in bytes. The largest STS file has under one megabyte.
pub(crate) const LARGEST_FILE: u64 = 1 << 30;

/// Reads a whole file, without a byte-order mark.
///
/// The size is limited while reading, not by metadata: a pipe or a device has no length.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    read_at_most(path, LARGEST_FILE)
}

fn read_at_most(path: &Path, limit: u64) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    decode(bytes, &path.display().to_string()).map_err(Error::NotText)
}

/// The text that bytes are, without a byte order mark; `name` is what a message calls it.
pub fn decode(bytes: Vec<u8>, name: &str) -> Result<String, NotText> {
    let not_text = |reason| NotText { name: name.to_owned(), reason };
    if let Some(reason) = Reason::of_text(&bytes) {
        return Err(not_text(reason));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to() + 1;
        not_text(Reason::NotUtf8 { line: 1, byte, guess: None })
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The lines with their numbers from 1. Only LF ends a line (and a CR before it goes): U+0085 or U+2028 inside
/// a sentence is text, and a line break that some readers see there would shift every gold score after it.
pub(crate) fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// A gold score: `None` where the field is blank.
pub(crate) fn gold(path: &Path, line: usize, field: &str) -> Result<Option<f64>, Error> {
    let field = field.trim();
    if field.is_empty() {
        return Ok(None);
    }
    match field.parse::<f64>() {
        Ok(score) if score.is_finite() => Ok(Some(score)),
        _ => {
            let text = crate::error::excerpt(field);
            let comma = field.replacen(',', ".", 1).parse::<f64>().is_ok_and(f64::is_finite);
            let advice = if comma { "; write it with a decimal point" } else { "" };
            Err(Error::Gold { path: path.to_owned(), line, text, advice })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.tsv");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), "12345");
        assert!(matches!(read_at_most(&path, 4), Err(Error::TooLarge { limit: 4, .. })));
    }

    #[test]
    fn only_line_feeds_end_lines() {
        let lines: Vec<_> = numbered_lines("a\u{85}b\u{2028}c\r\n\r\nd").collect();
        assert_eq!(lines, [(1, "a\u{85}b\u{2028}c"), (2, ""), (3, "d")]);
    }
}
