//! Lines of a text, one at a time, in a buffer that does not grow with the text.

use super::markup::Beginning;
use super::{CorpusError, Format};
use crate::quote::counted;
use std::io::{BufRead, Read};
use sts_eval::not_text::{NotText, Reason, has_inner_return};

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
/// return that no `\n` follows is part of the line, unless a text has more of them than lines: then it is
/// refused, as is what is no UTF-8 text, and what is made of fields rather than of sentences.
pub(super) struct LineScanner<R> {
    reader: R,
    name: String,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
    /// Lines that hold a carriage return, and how many they hold.
    with_returns: u64,
    returns: u64,
    /// Kept until it has been looked at.
    beginning: Option<Beginning>,
}

impl<R: BufRead> LineScanner<R> {
    pub fn new(reader: R, name: String, format: Format) -> Self {
        LineScanner { beginning: Some(Beginning::new(format)), ..Self::of_rows(reader, name) }
    }

    /// Of a file whose lines are rows and fields, and are meant to be.
    pub fn of_rows(reader: R, name: String) -> Self {
        LineScanner {
            reader,
            name,
            buffer: Vec::new(),
            number: 0,
            offset: 0,
            with_returns: 0,
            returns: 0,
            beginning: None,
        }
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
            return self.end().map(|()| None);
        }
        self.number += 1;
        if self.number == 1 {
            self.check_first_line()?;
        }
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
        let refused = |reason| NotText { name: self.name.clone(), reason };
        let text = std::str::from_utf8(bytes);
        // Only a line that may be wrong is looked at again.
        if text.is_err() || bytes.contains(&0) {
            Reason::of_line(self.number, bytes).map_or(Ok(()), |reason| Err(refused(reason)))?;
        }
        let Ok(text) = text else {
            return Err(refused(Reason::NotUtf8 { line: self.number, byte: 1, guess: None }).into());
        };
        if bytes.contains(&b'\r') {
            self.with_returns += 1;
            self.returns += bytes.iter().filter(|&&byte| byte == b'\r').count() as u64;
        }
        if let Some(beginning) = &mut self.beginning
            && beginning.push(text)
        {
            let refusal = beginning.refusal(&self.name);
            self.beginning = None;
            refusal.map_or(Ok(()), Err)?;
        }
        Ok(Some(Line { number: self.number, offset, text }))
    }

    /// Refuses a text by what its first line shows.
    fn check_first_line(&self) -> Result<(), CorpusError> {
        let only = !self.buffer.ends_with(b"\n");
        let reason = Reason::of_beginning(&self.buffer)
            .or_else(|| (only && has_inner_return(&self.buffer)).then_some(Reason::CarriageReturns));
        reason.map_or(Ok(()), |reason| Err(NotText { name: self.name.clone(), reason }.into()))
    }

    /// Refuses a text by what its end shows.
    fn end(&mut self) -> Result<(), CorpusError> {
        self.check_beginning()?;
        if self.returns > self.number {
            return Err(NotText { name: self.name.clone(), reason: Reason::CarriageReturns }.into());
        }
        Ok(())
    }

    /// Refuses a text by the first lines that are there so far.
    pub fn check_beginning(&mut self) -> Result<(), CorpusError> {
        let refusal = self.beginning.take().and_then(|beginning| beginning.refusal(&self.name));
        refusal.map_or(Ok(()), Err)
    }

    /// Lines so far that hold a carriage return.
    pub fn with_returns(&self) -> u64 {
        self.with_returns
    }

    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    pub fn into_reader(self) -> R {
        self.reader
    }
}

/// What to know of carriage returns inside lines.
pub(super) fn returns_remark(name: &str, lines: u64) -> Option<String> {
    let verb = if lines == 1 { "holds" } else { "hold" };
    (lines > 0).then(|| {
        format!(
            "{name}: {} {verb} a lone carriage return, which does not end a line here",
            counted(lines, "line")
        )
    })
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
    /// The lines of `reader`, which messages call `name`.
    pub fn new(reader: R, name: impl Into<String>) -> Self {
        Lines { scanner: LineScanner::new(reader, name.into(), Format::Sentences), failed: false }
    }

    /// What a reader of the results should know of the lines that were read.
    pub fn remark(&self) -> Option<String> {
        returns_remark(&self.scanner.name, self.scanner.with_returns)
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
    fn returns_inside_lines_are_counted_and_more_of_them_than_lines_are_refused() {
        let remark = |text: &str| {
            let mut lines = Lines::new(text.as_bytes(), "in.txt");
            lines.by_ref().for_each(|line| assert!(line.is_ok(), "{text:?}"));
            lines.remark().unwrap_or_default()
        };
        assert_eq!(remark("a\r\nb\u{2028}\u{85}\u{1c}c\r\n"), "");
        assert_eq!(
            remark("a\rb\nc\n"),
            "in.txt: 1 line holds a lone carriage return, which does not end a line here"
        );
        assert!(remark("a\r\r\nb\r\r\n").starts_with("in.txt: 2 lines hold a lone carriage return"));
        for old in ["a\rb\rc", "a\rb\rc\n", "a\rb"] {
            assert!(
                lines(old.as_bytes()).unwrap_err().contains("carriage returns alone, as old Macs did"),
                "{old:?}"
            );
        }
    }

    #[test]
    fn no_sentences_are_made_of_other_files() {
        for (bytes, says) in [
            (&b"\x1f\x8b\x08\0\n"[..], "in.txt is compressed (gzip)"),
            (b"one\ntw\0o\n", "in.txt, line 2: the line holds NUL bytes"),
            (b"\xff\xfea\0\n\0", "in.txt is UTF-16"),
            (b"{\"text\": \"a\"}\n", "in.txt holds a JSON value a line"),
            (b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n\n{\"text\": \"c\"}\nd\n", "in.txt holds a JSON value"),
        ] {
            let message = lines(bytes).unwrap_err();
            assert!(message.starts_with(says), "{message}");
        }
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
            let found: Result<Vec<String>, _> = Lines::new(reader, "in.txt").collect();
            let returns = expected.iter().map(|line| line.matches('\r').count()).sum::<usize>();
            match found {
                Ok(found) => prop_assert_eq!(found, expected),
                Err(error) => {
                    prop_assert!(error.to_string().contains("carriage returns alone"), "{}", error);
                    prop_assert!(returns > expected.len() || (returns > 0 && !text.contains('\n')));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = lines(&bytes);
        }
    }
}
