//! The sentences of all inputs, one after another.

use std::collections::VecDeque;

use super::list::{Input, Listed};
use super::opened::{Opened, open};
use super::options::CorpusOptions;
use super::record::{Record, in_one_line};
use super::split::sentences;
use super::tally::Tally;
use crate::corpus::{CorpusError, Format, is_blank};

/// What becomes of records that show nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blanks {
    LeftOut,
    /// They are empty sentences.
    Kept,
}

/// A sentence (or a pair, as a line), or a record that was left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// The record that it is of, counted from 1 over all inputs.
    pub record: u64,
    /// None where it was left out.
    pub text: Option<String>,
}

/// Reads inputs onwards, in memory that does not grow.
pub struct Stream {
    inputs: VecDeque<Input>,
    current: Option<Opened>,
    options: CorpusOptions,
    format: Format,
    record: Record,
    /// Records of inputs before this one.
    before: u64,
    /// Sentences of the record that were not given yet.
    ready: VecDeque<Item>,
    pub tally: Tally,
    remarks: Vec<String>,
}

impl Stream {
    pub fn new(listed: Listed, options: &CorpusOptions, format: Format, blanks: Blanks) -> Self {
        Stream {
            tally: Tally {
                keeps_blank: blanks == Blanks::Kept && options.keeps_rows(),
                min_chars: options.min_chars,
                twice: listed.twice,
                passed: listed.passed,
                is_split: options.split_sentences,
                is_of_pairs: format == Format::Pairs,
                ..Tally::default()
            },
            inputs: listed.inputs.into(),
            current: None,
            options: options.clone(),
            format,
            record: Record::default(),
            before: 0,
            ready: VecDeque::new(),
            remarks: Vec::new(),
        }
    }

    /// The next sentence, or record that was left out; `None` at the end. After an error there is nothing to ask for.
    pub fn next_item(&mut self) -> Result<Option<Item>, CorpusError> {
        while self.ready.is_empty() {
            if !self.next_record()? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    fn next_record(&mut self) -> Result<bool, CorpusError> {
        loop {
            if self.current.is_none() {
                let Some(input) = self.inputs.pop_front() else { return Ok(false) };
                let opened = open(&input, &self.options, self.format)?;
                self.tally.add_file(opened.form, opened.compression);
                self.before = self.tally.records;
                self.current = Some(opened);
            }
            let Some(opened) = &mut self.current else { return Ok(false) };
            if opened.records.next(&mut self.record)? {
                self.tally.records += 1;
                self.cut();
                return Ok(true);
            }
            self.remarks.extend(opened.records.remark());
            self.current = None;
        }
    }

    /// Cuts the record into sentences and leaves out what is not wanted.
    fn cut(&mut self) {
        let record = self.before + self.record.number;
        let text = if self.record.is_there { self.record.text.as_str() } else { "" };
        if is_blank(text) {
            self.tally.blank += 1;
            let text = self.tally.keeps_blank.then(|| in_one_line(text));
            return self.give(record, text);
        }
        if self.format == Format::Pairs || !self.options.split_sentences {
            let text = in_one_line(text);
            return self.give_if_long(record, text);
        }
        let mut pieces = Vec::new();
        sentences(text, |sentence| pieces.push(sentence.to_owned()));
        for piece in pieces {
            self.give_if_long(record, piece);
        }
    }

    fn give_if_long(&mut self, record: u64, text: String) {
        let is_long = is_long(&text, self.format, self.options.min_chars);
        self.tally.short += u64::from(!is_long);
        self.give(record, is_long.then_some(text));
    }

    fn give(&mut self, record: u64, text: Option<String>) {
        self.tally.sentences += u64::from(text.is_some());
        self.ready.push_back(Item { record, text });
    }

    /// What a reader of the results should know, once all has been read.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

/// Whether a text, or each of a pair, has enough characters, white space around it aside.
pub fn is_long(text: &str, format: Format, min_chars: usize) -> bool {
    if min_chars == 0 {
        return true;
    }
    let has_enough = |text: &str| text.trim().chars().take(min_chars).count() == min_chars;
    format.columns(text).is_ok_and(|texts| texts.into_iter().all(has_enough))
}
