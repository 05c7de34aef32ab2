//! Sequences without padding: the rows of all sequences one after another, with offsets.

use super::pass::SequenceId;

/// A batch of token sequences, packed: `[total_tokens]` rows and `n + 1` offsets.
#[derive(Clone, Debug, Default)]
pub struct PackedBatch {
    /// `[total_tokens]`
    pub token_ids: Vec<u32>,
    /// `[total_tokens]`
    pub position_ids: Vec<u32>,
    /// `[total_tokens]`: which text of a pair a token belongs to, for encoders that are given it. Otherwise 0.
    pub token_types: Vec<u32>,
    /// `[n + 1]`: sequence `i` is the rows `cu_seqlens[i] .. cu_seqlens[i + 1]`.
    pub cu_seqlens: Vec<usize>,
    /// `[n]`: how many of a sequence's first rows are attended to. Less than its rows only where
    /// `mean-padded` pooling carries padding along.
    pub key_lens: Vec<usize>,
    /// Rows whose hidden states a pass ends in, ascending, in place of an embedding for each sequence.
    pub chosen: Option<Vec<usize>>,
    /// `[n]`: how many of a sequence's first rows pooling leaves out, a prompt's.
    pub unpooled: Vec<usize>,
    /// `[n]`
    pub ids: Vec<SequenceId>,
}

impl PackedBatch {
    /// A batch without sequences.
    pub fn new() -> Self {
        PackedBatch { cu_seqlens: vec![0], ..PackedBatch::default() }
    }

    /// Appends a sequence whose every row is attended to, at positions from `position_offset`.
    pub fn push(&mut self, tokens: &[u32], position_offset: u32, id: SequenceId) {
        self.token_ids.extend_from_slice(tokens);
        self.position_ids.extend((0..tokens.len() as u32).map(|p| p + position_offset));
        self.token_types.resize(self.token_ids.len(), 0);
        self.cu_seqlens.push(self.token_ids.len());
        self.key_lens.push(tokens.len());
        self.unpooled.push(0);
        self.ids.push(id);
    }

    /// Gives the tokens of the last sequence their types, as many as there are.
    pub fn set_types_of_last(&mut self, types: &[u32]) {
        if let Some(last) = self.len().checked_sub(1) {
            self.rows(last).zip(types).for_each(|(row, &of_token)| self.token_types[row] = of_token);
        }
    }

    /// Has pooling leave out the first `rows` of the last sequence. All of them may be left out.
    pub fn leave_out_of_last(&mut self, rows: usize) {
        if let (Some(last), Some(unpooled)) = (self.ids.len().checked_sub(1), self.unpooled.last_mut()) {
            *unpooled = rows.min(self.cu_seqlens[last + 1] - self.cu_seqlens[last]);
        }
    }

    /// Numbers the last sequence as [`Positions::Counted`](crate::model::Positions) says: from `padding + 1`, but
    /// tokens that are `padding`, be they of the text itself, have the position `padding` and are not counted.
    pub fn renumber_last(&mut self, padding: u32) {
        let Some(last) = self.len().checked_sub(1) else { return };
        let mut next = padding;
        for row in self.rows(last) {
            let is_pad = self.token_ids[row] == padding;
            next += u32::from(!is_pad);
            self.position_ids[row] = if is_pad { padding } else { next };
        }
    }

    /// Appends `count` padding rows to the last sequence: rows that are computed and pooled but
    /// not attended to.
    pub fn pad_last(&mut self, count: usize, pad_token_id: u32, position_of: impl Fn(usize) -> u32) {
        let real = self.key_lens.last().copied().unwrap_or(0);
        for i in 0..count {
            self.token_ids.push(pad_token_id);
            self.position_ids.push(position_of(real + i));
        }
        self.token_types.resize(self.token_ids.len(), 0);
        if let Some(end) = self.cu_seqlens.last_mut() {
            *end = self.token_ids.len();
        }
    }

    /// The sequences of a range, as a batch of their own.
    pub fn slice(&self, sequences: std::ops::Range<usize>) -> PackedBatch {
        let (first, last) = (self.cu_seqlens[sequences.start], self.cu_seqlens[sequences.end]);
        let offsets = &self.cu_seqlens[sequences.start..=sequences.end];
        PackedBatch {
            token_ids: self.token_ids[first..last].to_vec(),
            position_ids: self.position_ids[first..last].to_vec(),
            token_types: self.token_types[first..last].to_vec(),
            cu_seqlens: offsets.iter().map(|offset| offset - first).collect(),
            key_lens: self.key_lens[sequences.clone()].to_vec(),
            unpooled: self.unpooled[sequences.clone()].to_vec(),
            chosen: self
                .chosen
                .as_ref()
                .map(|rows| rows[self.outputs(sequences.clone())].iter().map(|row| row - first).collect()),
            ids: self.ids[sequences].to_vec(),
        }
    }

    /// Up to `count` ranges of sequences, one after another, with about as many tokens each.
    pub fn parts(&self, count: usize) -> Vec<std::ops::Range<usize>> {
        let (count, total) = (count.max(1), self.total_tokens());
        let mut ends: Vec<usize> = (1..=count)
            .map(|part| self.cu_seqlens.partition_point(|&end| end * count <= part * total) - 1)
            .collect();
        ends.dedup();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, &end)| start..end).filter(|part| !part.is_empty()).collect()
    }

    /// Rows of what a pass ends in: an embedding for each sequence, or the hidden states of chosen rows.
    pub fn total_outputs(&self) -> usize {
        self.outputs(0..self.len()).len()
    }

    /// Those of some sequences, one after another.
    pub fn outputs(&self, sequences: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let Some(rows) = &self.chosen else { return sequences };
        let before = |sequence: usize| rows.partition_point(|&row| row < self.cu_seqlens[sequence]);
        before(sequences.start)..before(sequences.end)
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Tokens of all sequences: the rows of a packed matrix.
    pub fn total_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// Rows of sequence `i`.
    pub fn rows(&self, i: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[i]..self.cu_seqlens[i + 1]
    }

    /// Rows of sequence `i` that pooling sees.
    pub fn pooled_rows(&self, i: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[i] + self.unpooled[i]..self.cu_seqlens[i + 1]
    }

    /// The row of sequence `i` that stands for it where one row does: the first that pooling sees, or the first of
    /// all where it sees none.
    pub fn first_pooled_row(&self, i: usize) -> usize {
        let rows = self.pooled_rows(i);
        if rows.is_empty() { self.cu_seqlens[i] } else { rows.start }
    }

    /// Tokens of sequence `i`.
    pub fn seqlen(&self, i: usize) -> usize {
        self.cu_seqlens[i + 1] - self.cu_seqlens[i]
    }

    /// Tokens of the longest sequence; 0 without one.
    pub fn max_seqlen(&self) -> usize {
        (0..self.len()).map(|i| self.seqlen(i)).max().unwrap_or(0)
    }
}
