//! Repeated sentences left out of a corpus, in memory of a bit a sentence and a share of a file.
//!
//! Equal texts have equal hashes, and texts that are nearly equal have one of a few hashes in common
//! ([`min_hash::MinHash`]). Hashes and places are written to a temporary file in parts, by the hash, and each
//! part is sorted in memory: what shares a hash then stands side by side. Nearness is measured on the texts
//! themselves, so that the hashes decide only what is compared. The first of equal sentences stays; one that is near to
//! several is left out once.

mod min_hash;
mod partitions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::deal::hash_text;
use super::reading::Dedup;
use super::{Corpus, CorpusError, Format, Scanned};
use crate::random::Key;
use min_hash::{MinHash, Shingles};
use partitions::Partitions;

/// Sentences of the same hash that a further one is compared with. Templates ("Order 12 was shipped") share hashes by
/// the thousand without being near.
const MOST_COMPARED: usize = 16;

/// What share of their shingles near texts have in common (Jaccard's index).
pub(super) const NEAR: f64 = 0.8;

/// A bit for each sentence.
struct Marks(Vec<u64>);

impl Marks {
    fn new(sentences: u64) -> Self {
        Marks(vec![0; (sentences as usize).div_ceil(64)])
    }

    fn set(&mut self, i: u64) {
        self.0[(i / 64) as usize] |= 1 << (i % 64);
    }

    fn has(&self, i: u64) -> bool {
        self.0[(i / 64) as usize] >> (i % 64) & 1 == 1
    }
}

/// A corpus that was just read, without the repeats in it.
pub(super) fn without_repeats(corpus: Corpus, how: Dedup) -> Result<Corpus, CorpusError> {
    let mut marks = Marks::new(corpus.len());
    let repeated = mark_equal(&corpus, &mut marks)?;
    let near = if how == Dedup::Near { mark_near(&corpus, &mut marks)? } else { 0 };
    if repeated + near == 0 {
        return Ok(corpus);
    }
    let (format, mut buffer) = (corpus.format, Vec::new());
    // Whoever reads the corpus has the only one.
    let Ok(mut scanned) = Arc::try_unwrap(corpus.scanned) else { unreachable!("nobody else has it yet") };
    for i in (0..scanned.index.len()).filter(|&i| marks.has(i)) {
        let (offset, length) = scanned.index.place(i);
        let text = scanned.text(offset, length, &mut buffer)?;
        scanned.counts.remove(text, format);
    }
    scanned.index = scanned.index.without(|i| marks.has(i));
    scanned.tally.repeated += repeated;
    scanned.tally.near += near;
    scanned.tally.sentences -= repeated + near;
    Ok(Corpus { scanned: Arc::new(scanned), format, hidden: corpus.hidden })
}

/// Marks sentences whose text an earlier one has, and says how many there are.
fn mark_equal(corpus: &Corpus, marks: &mut Marks) -> Result<u64, CorpusError> {
    let (mut parts, mut buffer) = (Partitions::new()?, Vec::new());
    for i in 0..corpus.len() {
        let texts = corpus.texts(i, &mut buffer)?.map(hash_text);
        parts.push(Key::new(texts[0]).at(texts[1]).bits64(), i)?;
    }
    let mut marked = 0;
    parts.into_groups(|places| {
        for &place in &places[1..] {
            marks.set(place);
            marked += 1;
        }
        Ok(())
    })?;
    Ok(marked)
}

/// Marks sentences that are near to an earlier one and not marked yet, and says how many there are.
fn mark_near(corpus: &Corpus, marks: &mut Marks) -> Result<u64, CorpusError> {
    let (hash, mut parts, mut buffer) = (MinHash::new(), Partitions::new()?, Vec::new());
    for i in (0..corpus.len()).filter(|&i| !marks.has(i)) {
        for key in hash.keys(&shingles(corpus, i, &mut buffer)?) {
            parts.push(key, i)?;
        }
    }
    let mut marked = 0;
    parts.into_groups(|places| {
        let mut kept: Vec<Shingles> = Vec::new();
        for &place in places {
            if marks.has(place) {
                continue;
            }
            let own = shingles(corpus, place, &mut buffer)?;
            if kept.iter().any(|kept| kept.likeness(&own) >= NEAR) {
                marks.set(place);
                marked += 1;
                continue;
            }
            if kept.len() == MOST_COMPARED {
                kept.remove(0);
            }
            kept.push(own);
        }
        Ok(())
    })?;
    Ok(marked)
}

/// The shingles of a sentence, or of both texts of a pair.
fn shingles(corpus: &Corpus, i: u64, buffer: &mut Vec<u8>) -> Result<Shingles, CorpusError> {
    let [first, second] = corpus.texts(i, buffer)?;
    Ok(match corpus.format {
        Format::Sentences => Shingles::of(first),
        Format::Pairs => Shingles::of(&format!("{first} \t {second}")),
    })
}

impl Scanned {
    /// The text at a place of the index.
    fn text<'a>(&self, offset: u64, length: usize, buffer: &'a mut Vec<u8>) -> Result<&'a str, CorpusError> {
        let name = || self.source.name();
        buffer.clear();
        buffer.resize(length, 0);
        let read = self.source.read_exact_at(buffer, offset);
        read.map_err(|source| CorpusError::Read { name: name(), source })?;
        std::str::from_utf8(buffer).map_err(|_| CorpusError::Changed { name: name() })
    }
}
