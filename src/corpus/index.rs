//! Where each sentence of a corpus lies: eight bytes a line, whatever the lines' lengths.

use super::lines::MAX_LINE_BYTES;

const LENGTH_BITS: u32 = 24;
const _: () = assert!(MAX_LINE_BYTES < 1 << LENGTH_BITS);

/// Greatest offset that fits beside a length: files of up to 1 TiB.
pub(super) const MAX_OFFSET: u64 = (1 << (64 - LENGTH_BITS)) - 1;

/// A growing array that never moves: doubling a `Vec` would need three times the eight bytes a line
/// at its peak. Chunks are so large that what an allocator adds to each is nothing beside it; of the last one, only
/// the pages that were written to take memory.
#[derive(Debug, Default)]
struct Chunked {
    chunks: Vec<Vec<u64>>,
    len: u64,
}

impl Chunked {
    const CHUNK: usize = 1 << 21;

    fn push(&mut self, value: u64) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
    }

    fn get(&self, i: u64) -> u64 {
        let i = i as usize;
        self.chunks[i / Self::CHUNK][i % Self::CHUNK]
    }

    /// All values, each chunk freed when the next one is begun.
    fn into_values(self) -> impl Iterator<Item = u64> {
        self.chunks.into_iter().flatten()
    }

    /// How many values, which must not decrease, are at most `bound`.
    fn count_up_to(&self, bound: u64) -> u64 {
        let chunk = self.chunks.partition_point(|chunk| chunk[0] <= bound);
        match chunk.checked_sub(1) {
            None => 0,
            Some(last) => {
                let within = self.chunks[last].partition_point(|&value| value <= bound);
                (last * Self::CHUNK + within) as u64
            }
        }
    }
}

/// The place of every sentence, and enough about the blank lines between them to number lines.
#[derive(Debug, Default)]
pub(super) struct LineIndex {
    /// For each sentence its offset (40 bits) and its length in bytes (24 bits).
    places: Chunked,
    /// For each blank line, how many sentences come before it.
    blanks: Chunked,
}

impl LineIndex {
    /// Adds a sentence; false where the offset is beyond what the index can hold.
    pub fn push(&mut self, offset: u64, length: usize) -> bool {
        assert!(length <= MAX_LINE_BYTES, "the scanner bounds lines");
        if offset > MAX_OFFSET {
            return false;
        }
        self.places.push((offset << LENGTH_BITS) | length as u64);
        true
    }

    pub fn push_blank(&mut self) {
        self.blanks.push(self.places.len);
    }

    /// The index without the sentences that are `left_out`, which count as blank lines from now on. It is built a
    /// chunk at a time, so that both never stand in memory together.
    pub fn without(self, left_out: impl Fn(u64) -> bool) -> Self {
        let mut kept = LineIndex::default();
        let mut blanks = self.blanks.into_values().peekable();
        for (i, place) in (0..).zip(self.places.into_values()) {
            while blanks.next_if(|&before| before <= i).is_some() {
                kept.push_blank();
            }
            if left_out(i) { kept.push_blank() } else { kept.places.push(place) }
        }
        blanks.for_each(|_| kept.push_blank());
        kept
    }

    /// Number of sentences.
    pub fn len(&self) -> u64 {
        self.places.len
    }

    /// Number of lines that are none, by themselves or because they were left out.
    #[cfg(test)]
    pub fn blank_lines(&self) -> u64 {
        self.blanks.len
    }

    /// Offset and length in bytes of sentence `i`.
    pub fn place(&self, i: u64) -> (u64, usize) {
        let packed = self.places.get(i);
        (packed >> LENGTH_BITS, (packed & MAX_LINE_BYTES as u64) as usize)
    }

    /// The line that sentence `i` is on, counted from 1.
    pub fn line_number(&self, i: u64) -> u64 {
        i + 1 + self.blanks.count_up_to(i)
    }

    /// Bytes held: eight for each line.
    pub fn memory(&self) -> usize {
        (self.places.len + self.blanks.len) as usize * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_and_line_numbers_are_kept(
            runs in proptest::collection::vec((any::<bool>(), 1u64..9000), 1..6),
            gap in 0u64..1 << 20,
        ) {
            let mut index = LineIndex::default();
            let mut expected = Vec::new();
            let mut line = 0;
            for &(blank, count) in &runs {
                for _ in 0..count {
                    line += 1;
                    if blank {
                        index.push_blank();
                    } else {
                        let place = (line * gap, (line * 7919) as usize % (MAX_LINE_BYTES + 1));
                        prop_assert!(index.push(place.0, place.1));
                        expected.push((place, line));
                    }
                }
            }
            prop_assert_eq!(index.len(), expected.len() as u64);
            prop_assert_eq!(index.blank_lines() + index.len(), line);
            for (i, &(place, line)) in expected.iter().enumerate() {
                prop_assert_eq!((index.place(i as u64), index.line_number(i as u64)), (place, line));
            }
        }
    }

    proptest! {
        #[test]
        fn left_out_sentences_count_as_lines(
            lines in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..300),
        ) {
            let mut index = LineIndex::default();
            let (mut dropped, mut expected) = (Vec::new(), Vec::new());
            for (line, &(blank, drop)) in (1u64..).zip(&lines) {
                if blank {
                    index.push_blank();
                    continue;
                }
                index.push(line, 1);
                dropped.push(drop);
                if !drop {
                    expected.push((line, line));
                }
            }
            let kept = index.without(|i| dropped[i as usize]);
            let found: Vec<(u64, u64)> =
                (0..kept.len()).map(|i| (kept.place(i).0, kept.line_number(i))).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(kept.len() + kept.blank_lines(), lines.len() as u64);
        }
    }

    #[test]
    fn the_greatest_place_fits_and_the_next_is_refused() {
        let mut index = LineIndex::default();
        assert!(index.push(MAX_OFFSET, MAX_LINE_BYTES));
        assert!(!index.push(MAX_OFFSET + 1, 0));
        assert_eq!(index.place(0), (MAX_OFFSET, MAX_LINE_BYTES));
    }
}
