//! Lines of a text, one at a time, in a buffer that does not grow with the text.

use super::CorpusError;
use std::io::{BufRead, Read};

/// Longest line, in bytes without its ending: 16 MiB less one, which a [`LineIndex`] packs into 24 bits.
///
/// [`LineIndex`]: super::index::LineIndex
pub(super) const MAX_LINE_BYTES: usize = (1 << 24) - 1;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One line of a text, without its ending.
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// Of its first byte in the text.
    pub offset: u64,
    pub text: &'a str,
}

/// The scanner under both the corpus' index and [`Lines`]: `\n` and `\r\n` end a line, the last one may
/// lack an ending, a byte order mark at the start is dropped, and nothing else is trimmed. A carriage
/// return that no `\n` follows is part of the line.
pub(super) struct LineScanner<R> {
    reader: R,
    name: String,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
}

impl<R: BufRead> LineScanner<R> {
    pub fn new(reader: R, name: String) -> Self {
        LineScanner { reader, name, buffer: Vec::new(), number: 0, offset: 0 }
    }

    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, CorpusError> {
        self.buffer.clear();
        // Room for the mark and \r\n, so that a line of the greatest length still fits.
        let limit = (MAX_LINE_BYTES + BYTE_ORDER_MARK.len() + 2) as u64;
        let read = (&mut self.reader)
            .take(limit)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| CorpusError::Read { name: self.name.clone(), source })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut bytes = without_ending(&self.buffer);
        let mut offset = self.offset;
        self.offset += read as u64;
        if let Some(rest) = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.number == 1) {
            bytes = rest;
            offset += BYTE_ORDER_MARK.len() as u64;
            if bytes.is_empty() && read == BYTE_ORDER_MARK.len() {
                return Ok(None); // A mark alone is an empty text, not an empty line.
            }
        }
        if bytes.len() > MAX_LINE_BYTES {
            return Err(CorpusError::LineTooLong { name: self.name.clone(), line: self.number });
        }
        let text = std::str::from_utf8(bytes).map_err(|e| CorpusError::Utf8 {
            name: self.name.clone(),
            line: self.number,
            byte: e.valid_up_to() + 1,
        })?;
        Ok(Some(Line { number: self.number, offset, text }))
    }

    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    pub fn into_reader(self) -> R {
        self.reader
    }
}

fn without_ending(bytes: &[u8]) -> &[u8] {
    match bytes {
        [rest @ .., b'\r', b'\n'] => rest,
        [rest @ .., b'\n'] => rest,
        _ => bytes,
    }
}

/// Every line of a reader in order, blank ones included, so that results stay aligned with lines.
/// Memory is bounded by the longest line. After an error it ends.
///
/// `name` is what errors call the text: a file's path, or "standard input".
pub struct Lines<R> {
    scanner: LineScanner<R>,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, name: impl Into<String>) -> Self {
        Lines { scanner: LineScanner::new(reader, name.into()), failed: false }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let line = self.scanner.next_line().map(|line| line.map(|l| l.text.to_owned()));
        self.failed = line.is_err();
        line.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Cursor, repeat};

    fn lines(bytes: &[u8]) -> Result<Vec<String>, String> {
        Lines::new(bytes, "in.txt").map(|l| l.map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn only_line_endings_are_taken_off() {
        let text = "\u{FEFF} a \n\nb\r\n\r\n\tc\rd\r\ne\r";
        assert_eq!(lines(text.as_bytes()).unwrap(), [" a ", "", "b", "", "\tc\rd", "e\r"]);
        assert_eq!(lines(b"a\n").unwrap(), ["a"]);
        assert_eq!(lines("a\n\u{FEFF}b".as_bytes()).unwrap(), ["a", "\u{FEFF}b"]);
        assert_eq!(lines("\u{FEFF}".as_bytes()).unwrap(), [""; 0]);
        assert_eq!(lines("\u{FEFF}\n".as_bytes()).unwrap(), [""]);
        assert_eq!(lines(b"").unwrap(), [""; 0]);
    }

    #[test]
    fn invalid_utf8_is_named_by_line_and_byte_and_ends_the_lines() {
        let mut lines = Lines::new(&b"fine\nab\xFFcd\nfine"[..], "in.txt");
        assert_eq!(lines.next().unwrap().unwrap(), "fine");
        let message = lines.next().unwrap().unwrap_err().to_string();
        assert!(message.starts_with("in.txt, line 2: byte 3"), "{message}");
        assert!(lines.next().is_none());
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        let endless = BufReader::new(Cursor::new(b"one\n").chain(repeat(b'x')));
        let message = Lines::new(endless, "in.txt").nth(1).unwrap().unwrap_err().to_string();
        assert!(message.starts_with("in.txt, line 2: the line is longer than 16 MiB"), "{message}");
        let mut longest = vec![b'x'; MAX_LINE_BYTES];
        longest.extend_from_slice(b"\r\nnext");
        let found = lines(&longest).unwrap();
        assert_eq!((found[0].len(), found[1].as_str()), (MAX_LINE_BYTES, "next"));
        longest.insert(0, b'x');
        assert!(lines(&longest).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(text in "[a\u{E9}\u{1F600} \t\r\n]{0,60}", buffer in 1usize..9) {
            let expected: Vec<&str> = text.lines().collect();
            let reader = BufReader::with_capacity(buffer, text.as_bytes());
            let found: Vec<String> = Lines::new(reader, "in.txt").map(Result::unwrap).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = lines(&bytes);
        }
    }
}
