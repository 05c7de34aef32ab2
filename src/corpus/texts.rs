//! Sentences one after another, for commands that look at each once.

use super::read::nothing;
use super::reading::{Blanks, CorpusOptions, Listed, Stream};
use super::{Corpus, CorpusError, Format};

/// A sentence, and the record that it is of (a line, a row), counted from 1 over all inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its record, counted from 1.
    pub record: u64,
    /// The sentence.
    pub text: String,
}

/// The sentences of some inputs in order, in memory that does not grow with them. Where each record is one sentence
/// ([`CorpusOptions::keeps_rows`]), records that show nothing are given too, so that results stay aligned with records.
/// Where repeats are left out, the inputs are copied once to a temporary file. After an error it ends.
pub struct Texts {
    from: From,
    failed: bool,
}

enum From {
    Stream(Box<Stream>),
    Corpus { corpus: Corpus, next: u64 },
}

impl Texts {
    /// # Errors
    /// Those of [`Corpus::read`], where repeats are left out; else reading says what is wrong.
    pub fn read(listed: Listed, options: &CorpusOptions) -> Result<Self, CorpusError> {
        let format = Format::Sentences;
        options.check(format)?;
        let from = if options.dedup.is_some() {
            From::Corpus { corpus: Corpus::read(listed, options, format)?, next: 0 }
        } else {
            From::Stream(Box::new(Stream::new(listed, options, format, Blanks::Kept)))
        };
        Ok(Texts { from, failed: false })
    }

    /// What a reader of the results should know of what was read: asked for at the end.
    pub fn remarks(&self, name: &str) -> Vec<String> {
        match &self.from {
            From::Corpus { corpus, .. } => corpus.remarks(),
            From::Stream(stream) => {
                let said = (!stream.tally.is_as_it_lies()).then(|| stream.tally.sentence(name));
                said.into_iter().chain(stream.remarks().iter().cloned()).collect()
            }
        }
    }

    /// Why there was no sentence to see, of which so many showed nothing.
    pub fn nothing(&self, name: &str, blank: u64) -> CorpusError {
        match &self.from {
            From::Stream(stream) if stream.tally.short > 0 => nothing(name.to_owned(), &stream.tally),
            _ => CorpusError::Empty { name: name.to_owned(), blank_lines: blank },
        }
    }

    fn read_next(&mut self) -> Result<Option<Sentence>, CorpusError> {
        match &mut self.from {
            From::Corpus { corpus, next } if *next < corpus.len() => {
                let entry = corpus.entry(*next)?;
                *next += 1;
                let [text, _] = entry.texts;
                Ok(Some(Sentence { record: entry.line, text }))
            }
            From::Corpus { .. } => Ok(None),
            From::Stream(stream) => loop {
                let Some(item) = stream.next_item()? else { return Ok(None) };
                if let Some(text) = item.text {
                    return Ok(Some(Sentence { record: item.record, text }));
                }
            },
        }
    }
}

impl Iterator for Texts {
    type Item = Result<Sentence, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read_next();
        self.failed = next.is_err();
        next.transpose()
    }
}
