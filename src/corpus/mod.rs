//! The corpus: from a file of lines to batches of two views.
//!
//! [`Corpus::open`] scans a file once, noting where each sentence lies (eight bytes a line) and
//! refusing what it cannot train on, so that nothing is refused later, in the middle of a run.
//! [`Corpus::epoch`] walks the sentences in a random order that needs no memory ([`Permutation`]), deals
//! them into batches that hold no sentence twice, and makes the second views ([`mask_span`]).
//! [`Prefetch`] does so, and the tokenising, in a thread ahead of the training. [`Lines`] is for
//! encoding: every line in order, in a fixed buffer.

mod batches;
mod columns;
mod deal;
mod dedup;
mod error;
mod holdout;
mod index;
mod lines;
mod markup;
mod permutation;
mod prefetch;
mod read;
mod reading;
mod source;
mod span_mask;
#[cfg(test)]
mod tests;
mod texts;

pub use batches::{Batch, Batching, EpochBatches, EpochSummary};
pub use columns::{Format, is_blank};
pub use error::CorpusError;
pub use lines::Lines;
pub use permutation::Permutation;
pub use prefetch::Prefetch;
pub use reading::{CorpusOptions, Dedup, Input, Listed, ReadingError, list, one_or_many, settled};
pub(crate) use reading::{NamedRows, Place, Values, Wanted, Widths, open_named};
pub use span_mask::{mask_span, shortest_masked};
pub use texts::{Sentence, Texts};

use index::LineIndex;
use lines::{LineScanner, returns_remark};
pub use source::{check_lasting, is_stdin};

use read::nothing;
use reading::{Tally, is_long};
use source::Source;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::quote::counted;

/// The sentences (or pairs of sentences) to train on. Their text stays where it is; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Corpus {
    scanned: Arc<Scanned>,
    format: Format,
    /// Places in the file's order that [`Corpus::split_holdout`] took out, ascending.
    hidden: Arc<[u64]>,
}

#[derive(Debug)]
struct Scanned {
    source: Source,
    index: LineIndex,
    sha256: String,
    bytes: u64,
    counts: Counts,
    tally: Tally,
    /// Of single files, where several were read.
    remarks: Vec<String>,
}

/// What was counted while scanning.
#[derive(Debug, Default)]
struct Counts {
    /// How many sentences have how many code points.
    lengths: BTreeMap<usize, u64>,
    /// Pairs whose columns are the same text.
    equal_pairs: u64,
    /// Lines with a tab in them.
    tabbed: u64,
    /// Lines with a carriage return in them.
    with_returns: u64,
}

impl Counts {
    fn add(&mut self, text: &str, format: Format) {
        match format.columns(text) {
            Ok([first, second]) if format == Format::Pairs => self.equal_pairs += u64::from(first == second),
            _ => {
                *self.lengths.entry(text.chars().count()).or_default() += 1;
                self.tabbed += u64::from(text.contains('\t'));
            }
        }
    }

    /// Takes back what [`Counts::add`] counted.
    fn remove(&mut self, text: &str, format: Format) {
        match format.columns(text) {
            Ok([first, second]) if format == Format::Pairs => self.equal_pairs -= u64::from(first == second),
            _ => {
                if let Some(count) = self.lengths.get_mut(&text.chars().count()) {
                    *count -= 1;
                }
                self.tabbed -= u64::from(text.contains('\t'));
            }
        }
    }
}

/// One line of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub line: u64,
    /// A sentence twice, or the two columns of a pair.
    pub texts: [String; 2],
}

impl Corpus {
    /// Reads a file as [`Corpus::read`] does. Of UTF-8 text, a line ends with `\n` or `\r\n` and is not trimmed further; lines of
    /// nothing that can be seen are left out and counted; a byte order mark at the start is dropped. Lines
    /// may be up to 16 MiB long and the file up to 1 TiB.
    pub fn open(path: &Path, format: Format) -> Result<Self, CorpusError> {
        let options = CorpusOptions::default();
        Self::read(list("--corpus", &[path.to_owned()], &options)?, &options, format)
    }

    /// A corpus of sentences that is compiled into the program.
    pub fn from_text(text: &'static str) -> Result<Self, CorpusError> {
        Self::scan(Source::BuiltIn(text), Format::Sentences, 0)
    }

    fn scan(source: Source, format: Format, min_chars: usize) -> Result<Self, CorpusError> {
        let mut tally = Tally { min_chars, is_of_pairs: format == Format::Pairs, ..Tally::default() };
        tally.add_file(reading::Form::Text, None);
        let name = source.name();
        let mut scanner = LineScanner::new(source.scan(), name.clone(), format);
        let mut index = LineIndex::default();
        let mut counts = Counts::default();
        while let Some(line) = scanner.next_line()? {
            tally.records += 1;
            if is_blank(line.text) {
                tally.blank += 1;
                index.push_blank();
                continue;
            }
            if let Err(error) = format.check(line.text, &name, line.number) {
                // Where the file is of another form, that is what is wrong.
                return Err(scanner.check_beginning().err().unwrap_or(error));
            }
            if !is_long(line.text, format, min_chars) {
                tally.short += 1;
                index.push_blank();
                continue;
            }
            tally.sentences += 1;
            counts.add(line.text, format);
            if !index.push(line.offset, line.text.len()) {
                return Err(CorpusError::TooLarge { name });
            }
        }
        if index.len() == 0 {
            return Err(nothing(name, &tally));
        }
        let bytes = scanner.bytes_read();
        counts.with_returns = scanner.with_returns();
        let sha256 = scanner.into_reader().into_inner().sha256();
        Ok(Corpus {
            scanned: Arc::new(Scanned { source, index, sha256, bytes, counts, tally, remarks: Vec::new() }),
            format,
            hidden: Arc::new([]),
        })
    }

    /// What errors and reports call this corpus: the file's path, or "the built-in corpus".
    pub fn name(&self) -> String {
        self.scanned.source.name()
    }

    /// Whether lines are sentences or pairs.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Number of sentences or pairs, less those held out.
    pub fn len(&self) -> u64 {
        self.scanned.index.len() - self.hidden.len() as u64
    }

    /// Whether no line is left to train on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of lines without anything that can be seen, which are left out.
    pub fn blank_lines(&self) -> u64 {
        self.scanned.tally.blank
    }

    /// What a reader of the results should know of the file's lines.
    pub fn remarks(&self) -> Vec<String> {
        let (name, counts, all) = (self.name(), &self.scanned.counts, self.scanned.index.len());
        let (blank, tally) = (self.blank_lines(), &self.scanned.tally);
        let blank = match tally.is_as_it_lies() {
            true => (blank > 0).then(|| format!("{name}: {} left out", counted(blank, "blank line"))),
            false => Some(tally.sentence(&name)),
        };
        let tabbed = (counts.tabbed == all && all > 1).then(|| {
            format!("{name}: every line has a tab; a line is one sentence, columns and all (train --pairs takes two columns)")
        });
        let of_files = self.scanned.remarks.iter().cloned();
        [blank, returns_remark(&name, counts.with_returns), tabbed]
            .into_iter()
            .flatten()
            .chain(of_files)
            .collect()
    }

    /// Sentences that are too short for a mask of `span` code points, or pairs whose columns are the same text:
    /// how many there are among those that are not held out. Their two views are equal.
    pub fn equal_views(&self, span: usize) -> Result<u64, CorpusError> {
        let counts = &self.scanned.counts;
        if self.format == Format::Sentences && span == 0 {
            return Ok(self.len());
        }
        let mut equal = match self.format {
            Format::Sentences => counts.lengths.range(..shortest_masked(span)).map(|(_, count)| count).sum(),
            Format::Pairs => counts.equal_pairs,
        };
        let mut buffer = Vec::new();
        for &place in self.hidden.iter() {
            let [first, second] = self.texts_at(place, &mut buffer)?;
            equal -= u64::from(match self.format {
                Format::Sentences => first.chars().count() < shortest_masked(span),
                Format::Pairs => first == second,
            });
        }
        Ok(equal)
    }

    /// Size of the file, byte order mark and line endings included.
    pub fn bytes(&self) -> u64 {
        self.scanned.bytes
    }

    /// SHA-256 of the file's bytes, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.scanned.sha256
    }

    /// Bytes of memory that the corpus takes: eight a line.
    pub fn memory(&self) -> usize {
        self.scanned.index.memory()
    }

    /// Sentence or pair `i`, which must be below [`Corpus::len`]; in the file's order.
    pub fn entry(&self, i: u64) -> Result<Entry, CorpusError> {
        let mut buffer = Vec::new();
        let texts = self.texts(i, &mut buffer)?.map(str::to_owned);
        Ok(Entry { line: self.line_number(i), texts })
    }

    /// The line that sentence `i` is on, counted from 1.
    fn line_number(&self, i: u64) -> u64 {
        self.scanned.index.line_number(self.place(i))
    }

    /// Where sentence `i` of those that are kept stands among all.
    fn place(&self, i: u64) -> u64 {
        assert!(i < self.len(), "sentence {i} of {}", self.len());
        // The place p that has i kept ones before it: p = i + the number of hidden places up to p. Hidden
        // place number k has hidden[k] − k kept ones before it, which ascends with k.
        let (mut low, mut high) = (0, self.hidden.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.hidden[middle] - middle as u64 <= i { low = middle + 1 } else { high = middle }
        }
        i + low as u64
    }

    /// The texts of sentence `i`, read into `buffer`.
    fn texts<'a>(&self, i: u64, buffer: &'a mut Vec<u8>) -> Result<[&'a str; 2], CorpusError> {
        self.texts_at(self.place(i), buffer)
    }

    /// The texts of the sentence at a place of all, held-out ones included.
    fn texts_at<'a>(&self, place: u64, buffer: &'a mut Vec<u8>) -> Result<[&'a str; 2], CorpusError> {
        let (offset, length) = self.scanned.index.place(place);
        buffer.clear();
        buffer.resize(length, 0);
        self.scanned.source.read_exact_at(buffer, offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.changed(),
            _ => CorpusError::Read { name: self.name(), source },
        })?;
        // What the scan accepted can only fail here if the file is another one by now.
        let text = std::str::from_utf8(buffer).map_err(|_| self.changed())?;
        if text.contains('\n') || is_blank(text) {
            return Err(self.changed());
        }
        self.format.columns(text).map_err(|_| self.changed())
    }

    fn changed(&self) -> CorpusError {
        CorpusError::Changed { name: self.name() }
    }

    /// An error if the file is not the one that was scanned. Its bytes are only hashed again where its
    /// length or its time of modification differ.
    pub fn verify_unchanged(&self) -> Result<(), CorpusError> {
        let same = self.scanned.source.is_still(&self.scanned.sha256);
        match same.map_err(|source| CorpusError::Read { name: self.name(), source })? {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }
}
