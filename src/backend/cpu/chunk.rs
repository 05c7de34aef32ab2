//! Chunks of whole sequences: the unit of parallelism and of cache reuse.
//!
//! A chunk runs through all layers on one thread while others run theirs, so there is nothing to wait
//! for in a forward, and what a layer hands to the next is still in the cache. Threads that find no chunk help with
//! the products of those that there are.

use super::buffers::Buffer;
use super::layer_norm::RowDropout;
use super::relative::Strips;
use super::shape::{EmbeddingWeights, EncoderShape};
use crate::batch::{PackedBatch, Pass};
use crate::random::{Dropout, Key, Site};
use std::ops::Range;

/// Rows of a chunk, at most, unless one sequence has more: a layer's weights are read once for each
/// chunk, its activations should stay in the cache, and buffers of about this size are kept as one size.
const CHUNK_TOKENS: usize = 256;

/// Rows below which another chunk does not repay reading the weights once more.
const LEAST_CHUNK_TOKENS: usize = 64;

/// Chunks come in pairs where there are tokens enough, so that two threads end together.
const CHUNKS_TOGETHER: usize = 2;

/// Some sequences of a batch, with their rows one after another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// `[n]`: which sequences of the batch.
    pub sequences: Vec<usize>,
    /// `[n + 1]`: the chunk's own `cu_seqlens`.
    pub cu_seqlens: Vec<usize>,
}

impl Chunk {
    pub fn total_tokens(&self) -> usize {
        self.cu_seqlens[self.sequences.len()]
    }

    /// Which of the batch's embeddings are those of its sequences, in their order.
    pub fn outputs<'a>(&'a self, batch: &'a PackedBatch) -> impl Iterator<Item = usize> + Clone + use<'a> {
        self.sequences.iter().flat_map(|&i| batch.outputs(i..i + 1))
    }

    /// Rows of its longest sequence.
    pub fn longest(&self) -> usize {
        self.cu_seqlens.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0)
    }
}

/// Cuts a batch into chunks of about equal size, similar lengths together. A function of the
/// lengths alone, so that sums over chunks have the same order on any number of threads.
pub(crate) fn chunks_of(batch: &PackedBatch) -> Vec<Chunk> {
    let total = batch.total_tokens();
    let mut by_length: Vec<usize> = (0..batch.len()).collect();
    by_length.sort_by_key(|&i| (std::cmp::Reverse(batch.seqlen(i)), i));
    let few = (total / LEAST_CHUNK_TOKENS).max(1);
    let least = total.div_ceil(CHUNK_TOKENS).max(2 * CHUNKS_TOGETHER);
    let mut count = least.next_multiple_of(CHUNKS_TOGETHER).min(few);
    loop {
        let chunks = cut(batch, &by_length, count);
        let fits = |c: &Chunk| c.total_tokens() <= CHUNK_TOKENS || c.sequences.len() == 1;
        if chunks.iter().all(fits) || count >= few {
            return chunks;
        }
        count = (count + CHUNKS_TOGETHER).min(few);
    }
}

/// The sequences `by_length`, one after another, in `count` parts of about equal size.
fn cut(batch: &PackedBatch, by_length: &[usize], count: usize) -> Vec<Chunk> {
    let total = batch.total_tokens();
    let mut chunks = vec![Chunk { sequences: Vec::new(), cu_seqlens: vec![0] }; count];
    let mut before = 0;
    for &i in by_length {
        let len = batch.seqlen(i);
        // The part that the sequence's middle lies in.
        let chunk = &mut chunks[((2 * before + len) * count / (2 * total).max(1)).min(count - 1)];
        chunk.cu_seqlens.push(chunk.total_tokens() + len);
        chunk.sequences.push(i);
        before += len;
    }
    // Sequences longer than a part leave some without any.
    chunks.retain(|chunk| !chunk.sequences.is_empty());
    chunks
}

/// Which rows a layer computes after attention: every row, or what alone is read off: the first of each sequence, or
/// rows that the batch chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queries {
    All,
    First,
    Chosen,
}

impl Queries {
    /// Whose attention is computed. Queries of a sequence are its first rows there, which chosen ones need not be:
    /// theirs are taken from that of all.
    pub fn attending(self) -> Queries {
        if self == Queries::Chosen { Queries::All } else { self }
    }
}

/// A chunk with everything that its computation depends on besides weights.
pub(crate) struct ChunkContext<'a> {
    pub shape: &'a EncoderShape,
    pub batch: &'a PackedBatch,
    pub pass: &'a Pass,
    pub chunk: &'a Chunk,
    /// `[n]`
    pub sequence_keys: Vec<Key>,
    /// The relative position bias, where there is one.
    pub relative: Option<Strips>,
    /// Threads that may share the chunk's products.
    pub threads: usize,
    /// Tokens of each sequence that the batch chose, counted within it, one sequence after another.
    chosen: Vec<usize>,
    /// `[n + 1]`: where those of each sequence begin. Empty where the batch chose none.
    chosen_ends: Vec<usize>,
}

/// Threads for each of so many chunks that are computed at the same time.
pub(crate) fn threads_each(chunks: usize) -> usize {
    (rayon::current_num_threads() / chunks.max(1)).max(1)
}

/// The tokens of a chunk's sequences that the batch chose, and where those of each sequence begin.
fn chosen_of(batch: &PackedBatch, chunk: &Chunk) -> (Vec<usize>, Vec<usize>) {
    let Some(rows) = &batch.chosen else { return (Vec::new(), Vec::new()) };
    let (mut chosen, mut ends) = (Vec::new(), vec![0]);
    for &i in &chunk.sequences {
        let first = batch.rows(i).start;
        chosen.extend(rows[batch.outputs(i..i + 1)].iter().map(|row| row - first));
        ends.push(chosen.len());
    }
    (chosen, ends)
}

impl<'a> ChunkContext<'a> {
    /// `shared` is the first weight group.
    pub fn new(
        shape: &'a EncoderShape,
        shared: &[f32],
        (batch, pass): (&'a PackedBatch, &'a Pass),
        chunk: &'a Chunk,
        threads: usize,
    ) -> Self {
        let sequence_keys = chunk.sequences.iter().map(|&i| pass.sequence(batch.ids[i])).collect();
        let table = EmbeddingWeights::new(shape, shared).relative_bias;
        let relative = Strips::new(shape, table, chunk.longest());
        let (chosen, chosen_ends) = chosen_of(batch, chunk);
        ChunkContext { shape, batch, pass, chunk, sequence_keys, relative, threads, chosen, chosen_ends }
    }

    pub fn len(&self) -> usize {
        self.chunk.sequences.len()
    }

    pub fn total_tokens(&self) -> usize {
        self.chunk.total_tokens()
    }

    /// The chunk's rows of its `i`-th sequence.
    pub fn rows(&self, i: usize) -> Range<usize> {
        self.chunk.cu_seqlens[i]..self.chunk.cu_seqlens[i + 1]
    }

    /// Rows of the batch, sequence by sequence.
    pub fn batch_rows(&self) -> impl Iterator<Item = Range<usize>> {
        self.chunk.sequences.iter().map(|&i| self.batch.rows(i))
    }

    pub fn keys_len(&self, i: usize) -> usize {
        self.batch.key_lens[self.chunk.sequences[i]]
    }

    /// How many of the chunk's `i`-th sequence's first rows pooling leaves out.
    pub fn unpooled(&self, i: usize) -> usize {
        self.batch.unpooled[self.chunk.sequences[i]]
    }

    /// Rows computed after attention, for all sequences and for each.
    pub fn query_rows(&self, i: usize, queries: Queries) -> Range<usize> {
        match queries {
            Queries::All => self.rows(i),
            Queries::First => i..i + 1,
            Queries::Chosen => self.chosen_ends[i]..self.chosen_ends[i + 1],
        }
    }

    /// Rows of what is read off the chunk.
    pub fn total_outputs(&self) -> usize {
        if self.chosen_ends.is_empty() { self.len() } else { self.chosen.len() }
    }

    pub fn total_queries(&self, queries: Queries) -> usize {
        match queries {
            Queries::All => self.total_tokens(),
            Queries::First => self.len(),
            Queries::Chosen => self.chosen.len(),
        }
    }

    /// The dropout of a site of hidden states; `None` where nothing is dropped.
    pub fn row_dropout(&self, layer: usize, site: Site, queries: Queries) -> Option<RowDropout> {
        let dropout = Dropout::new(self.pass.hidden_dropout)?;
        let mut keys = Vec::with_capacity(self.total_queries(queries));
        for (i, sequence) in self.sequence_keys.iter().enumerate() {
            let place = sequence.at(layer as u64).site(site);
            keys.extend(self.tokens(i, queries).map(|token| place.at(token as u64)));
        }
        Some(RowDropout { dropout, keys })
    }

    /// The tokens of the chunk's `i`-th sequence that are computed, counted within it.
    fn tokens(&self, i: usize, queries: Queries) -> impl Iterator<Item = usize> {
        let rows = self.query_rows(i, queries);
        let chosen = (queries == Queries::Chosen).then(|| &self.chosen[rows.clone()]);
        (0..rows.len()).map(move |place| chosen.map_or(place, |tokens| tokens[place]))
    }

    /// The chunk's rows that are computed.
    fn computed_rows(&self, queries: Queries) -> impl Iterator<Item = usize> {
        (0..self.len())
            .flat_map(move |i| self.tokens(i, queries).map(move |token| self.rows(i).start + token))
    }

    /// Of `x` `[tokens, hidden]` the rows that are computed, `[queries, hidden]`.
    pub fn gather(&self, x: &[f32], queries: Queries) -> Buffer {
        let hidden = self.shape.hidden;
        let mut rows = Buffer::unspecified(self.total_queries(queries) * hidden);
        for (row, to) in self.computed_rows(queries).zip(rows.chunks_exact_mut(hidden)) {
            to.copy_from_slice(&x[row * hidden..(row + 1) * hidden]);
        }
        rows
    }

    /// `rows` `[queries, hidden]` at their places among zeros `[tokens, hidden]`.
    pub fn scatter(&self, rows: &[f32], queries: Queries) -> Buffer {
        let hidden = self.shape.hidden;
        let mut all = Buffer::zeros(self.total_tokens() * hidden);
        for (row, from) in self.computed_rows(queries).zip(rows.chunks_exact(hidden)) {
            all[row * hidden..(row + 1) * hidden].copy_from_slice(from);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::SequenceId;
    use proptest::prelude::*;

    fn batch_of(lengths: &[usize]) -> PackedBatch {
        let mut batch = PackedBatch::new();
        for (i, &len) in lengths.iter().enumerate() {
            batch.push(&vec![1; len], 0, SequenceId { view: 0, sentence: i as u32 });
        }
        batch
    }

    proptest! {
        #[test]
        fn chunks_hold_every_sequence_once_in_about_equal_parts(
            lengths in prop_oneof![
                prop::collection::vec(1usize..600, 1..400),
                prop::collection::vec(1usize..60, 1..1000),
            ]
        ) {
            let batch = batch_of(&lengths);
            let chunks = chunks_of(&batch);
            let mut seen: Vec<usize> = chunks.iter().flat_map(|c| c.sequences.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for chunk in &chunks {
                prop_assert!(chunk.total_tokens() <= CHUNK_TOKENS || chunk.sequences.len() == 1);
                let lengths: Vec<usize> = chunk.cu_seqlens.windows(2).map(|w| w[1] - w[0]).collect();
                prop_assert!(lengths.is_sorted_by(|a, b| a >= b));
            }
        }

        #[test]
        fn short_sequences_make_pairs_of_equal_chunks(count in 300usize..3000) {
            let chunks = chunks_of(&batch_of(&vec![9; count]));
            prop_assert!(chunks.len().is_multiple_of(CHUNKS_TOGETHER));
            let sizes = chunks.iter().map(Chunk::total_tokens);
            prop_assert!(sizes.clone().max().unwrap() - sizes.clone().min().unwrap() <= 9);
            prop_assert!(sizes.sum::<usize>() > chunks.len() * CHUNK_TOKENS * 4 / 5);
        }
    }

    #[test]
    fn few_tokens_are_shared_between_threads_and_very_few_are_not() {
        assert_eq!(chunks_of(&batch_of(&[8; 32])).len(), 4);
        assert_eq!(chunks_of(&batch_of(&[8; 20])).len(), 2);
        assert_eq!(chunks_of(&batch_of(&[8; 4])).len(), 1);
        assert_eq!(chunks_of(&batch_of(&[32; 32])).len(), 4);
    }
}
