//! What every form is read as: one record after another.

use super::ReadingError;
use crate::corpus::lines::MAX_LINE_BYTES;
use crate::corpus::{CorpusError, Format};

/// A row of a table, a line of a text.
#[derive(Debug, Default)]
pub struct Record {
    /// Counted from 1, a header aside.
    pub number: u64,
    /// The text as a line: of a pair, both with a tab between them. It may hold line breaks where it is no pair.
    pub text: String,
    /// Whether it has a text: false for a null, and for a field that is not there.
    pub is_there: bool,
}

impl Record {
    /// Puts in the texts of a row's columns: one, or the two of a pair, in which tabs and line breaks become spaces.
    pub fn set(&mut self, number: u64, texts: &[Option<&str>]) {
        self.number = number;
        self.text.clear();
        self.is_there = !texts.is_empty() && texts.iter().all(Option::is_some);
        if !self.is_there {
            return;
        }
        for (place, text) in texts.iter().flatten().enumerate() {
            if place > 0 {
                self.text.push('\t');
            }
            match texts.len() {
                1 => self.text.push_str(text),
                _ => self.text.push_str(&in_one_line(&text.replace('\t', " "))),
            }
        }
        if texts.len() > 1 && texts.iter().flatten().any(|text| crate::corpus::is_blank(text)) {
            self.is_there = false;
        }
    }

    /// Refuses a text that is longer than a line may be.
    pub fn check_length(&self, name: &str) -> Result<(), CorpusError> {
        if self.text.len() > MAX_LINE_BYTES {
            return Err(ReadingError::TextTooLong { name: name.to_owned(), row: self.number }.into());
        }
        Ok(())
    }
}

/// The records of one file.
pub trait Records {
    /// Puts the next record in; false where there is none. After an error there is none.
    fn next(&mut self, record: &mut Record) -> Result<bool, CorpusError>;

    /// What a reader of the results should know, once all has been read.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// How many texts a record has.
pub fn texts_of(format: Format) -> usize {
    match format {
        Format::Sentences => 1,
        Format::Pairs => 2,
    }
}

/// A text without line breaks: each, with the white space around it, becomes a space, and at the ends nothing.
/// A text without any is as it was, white space and all.
pub fn in_one_line(text: &str) -> String {
    if !text.contains('\n') {
        return text.to_owned();
    }
    let last = text.split('\n').count() - 1;
    let mut line = String::with_capacity(text.len());
    for (place, part) in text.split('\n').enumerate() {
        let part = if place > 0 { part.trim_start() } else { part };
        let part = if place < last { part.trim_end() } else { part };
        if !line.is_empty() && !part.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_become_single_spaces() {
        for (text, line) in [
            (" as it is\t", " as it is\t"),
            ("one\ntwo", "one two"),
            ("one \r\n\r\n  two", "one two"),
            ("\none\n", "one"),
            (" one\n two ", " one two "),
            ("\n \n", ""),
            ("a\rb", "a\rb"),
        ] {
            assert_eq!(in_one_line(text), line, "{text:?}");
        }
    }

    #[test]
    fn pairs_are_lines_with_one_tab() {
        let mut record = Record::default();
        record.set(3, &[Some("a\tb\nc"), Some(" d ")]);
        assert_eq!((record.number, record.text.as_str(), record.is_there), (3, "a b c\t d ", true));
        record.set(4, &[Some("a"), None]);
        assert!(!record.is_there);
        record.set(5, &[Some("a"), Some(" ")]);
        assert!(!record.is_there);
    }
}
