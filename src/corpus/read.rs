//! A corpus of files of any form.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dedup::without_repeats;
use super::index::LineIndex;
use super::reading::{
    Blanks, CorpusOptions, Input, Listed, ReadingError, Spool, Stream, Tally, is_plain_file,
};
use super::source::{Source, hex};
use super::{Corpus, CorpusError, Counts, Format, Scanned};

impl Corpus {
    /// Reads files of any form. A single file of plain text stays where it is; of all else the sentences are copied
    /// once to a temporary file, a line each. Then repeats are left out, if that is asked for. What was read, and left
    /// out, is one of the [`Corpus::remarks`].
    ///
    /// Sentences that are the same in the same order are the same corpus, whatever form they lay in.
    ///
    /// # Errors
    /// What cannot be read, and what is not text, each in one sentence that names the file and the line.
    pub fn read(listed: Listed, options: &CorpusOptions, format: Format) -> Result<Self, CorpusError> {
        options.check(format)?;
        let corpus = match &listed.inputs[..] {
            [input @ Input::File(path)] if !options.split_sentences && is_plain_file(input, options)? => {
                let (twice, passed) = (listed.twice, listed.passed.clone());
                let mut corpus = Self::scan(Source::open(path)?, format, options.min_chars)?;
                if let Some(scanned) = Arc::get_mut(&mut corpus.scanned) {
                    (scanned.tally.twice, scanned.tally.passed) = (twice, passed);
                }
                corpus
            }
            _ => Self::copy(listed, options, format)?,
        };
        match options.dedup {
            Some(how) => without_repeats(corpus, how),
            None => Ok(corpus),
        }
    }

    /// Copies the sentences of all inputs to a temporary file.
    fn copy(listed: Listed, options: &CorpusOptions, format: Format) -> Result<Self, CorpusError> {
        let name = listed.name();
        let mut stream = Stream::new(listed, options, format, Blanks::LeftOut);
        let (mut index, mut counts, mut hash) = (LineIndex::default(), Counts::default(), Sha256::new());
        let mut spool = Spool::new()?;
        while let Some(item) = stream.next_item()? {
            let Some(text) = item.text else {
                index.push_blank();
                continue;
            };
            counts.add(&text, format);
            if !index.push(spool.length(), text.len()) {
                return Err(CorpusError::TooLarge { name });
            }
            for bytes in [text.as_bytes(), b"\n"] {
                spool.write(bytes)?;
                hash.update(bytes);
            }
        }
        if index.len() == 0 {
            return Err(nothing(name, &stream.tally));
        }
        let mut tally = std::mem::take(&mut stream.tally);
        let bytes = spool.length();
        tally.spooled = Some((bytes, spool.folder().to_owned()));
        Ok(Corpus {
            scanned: Arc::new(Scanned {
                source: Source::Spool { file: spool.finish()?, name },
                index,
                sha256: hex(hash),
                bytes,
                counts,
                tally,
                remarks: stream.remarks().to_vec(),
            }),
            format,
            hidden: Arc::new([]),
        })
    }
}

/// Why there is no sentence at all.
pub(super) fn nothing(name: String, tally: &Tally) -> CorpusError {
    if tally.short > 0 {
        return ReadingError::AllShort { name, sentences: tally.short, min_chars: tally.min_chars }.into();
    }
    CorpusError::Empty { name, blank_lines: tally.blank }
}
