//! The two operands of a narrow product, as kernels read them.

use crate::backend::cpu::buffers::Buffer;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use std::ops::Range;

/// Columns of a panel: two vectors of AVX-512, or two tiles of AMX.
pub(super) const PANEL: usize = 32;
/// Words of a row of AMX's tiles: depths are multiples of it, filled up with zeros.
pub(super) const STEP: usize = 16;
/// Rows that are there for kernels to read, in multiples; those behind the last have unspecified values.
pub(super) const ROWS: usize = 32;

/// Words that hold `values` values of the depth, `each` in a word; at least one step.
pub(super) fn words_of(values: usize, each: usize) -> usize {
    values.div_ceil(each).max(1).next_multiple_of(STEP)
}

/// A left operand `[rows, depth]`, row by row.
pub(crate) struct Left {
    values: Buffer,
    rows: usize,
    /// In words.
    depth: usize,
    /// Words from row to row: an odd number of cache lines, so that rows do not evict one another.
    stride: usize,
}

impl Left {
    /// Unspecified values.
    pub(super) fn new(rows: usize, depth: usize) -> Self {
        let stride = ((depth / STEP) | 1) * STEP;
        let values = Buffer::unspecified(rows.next_multiple_of(ROWS) * stride);
        Left { values, rows, depth, stride }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn words_mut(&mut self) -> &mut [u32] {
        cast_slice_mut(&mut self.values)
    }

    /// All rows.
    pub(super) fn whole(&self) -> LeftRows<'_> {
        self.range(0..self.rows)
    }

    /// Some rows. The first is a multiple of [`ROWS`].
    pub(super) fn range(&self, rows: Range<usize>) -> LeftRows<'_> {
        assert!(rows.start.is_multiple_of(ROWS) && rows.start <= rows.end && rows.end <= self.rows);
        let words = &cast_slice(&self.values)[rows.start * self.stride..];
        LeftRows { words, rows: rows.len(), depth: self.depth, stride: self.stride }
    }
}

/// Some rows of a left operand, and what fills them up to a multiple of [`ROWS`].
#[derive(Clone, Copy)]
pub(super) struct LeftRows<'a> {
    pub words: &'a [u32],
    pub rows: usize,
    pub depth: usize,
    pub stride: usize,
}

impl LeftRows<'_> {
    /// Some of these rows. The first is a multiple of [`ROWS`].
    pub fn range(self, rows: Range<usize>) -> Self {
        assert!(rows.start.is_multiple_of(ROWS) && rows.start <= rows.end && rows.end <= self.rows);
        LeftRows { words: &self.words[rows.start * self.stride..], rows: rows.len(), ..self }
    }
}

/// A right operand `[depth, columns]`: panels of [`PANEL`] columns, each word by word of the depth, filled up with zeros.
pub(crate) struct Panels {
    values: Buffer,
    columns: usize,
    /// In words.
    depth: usize,
}

impl Panels {
    /// Unspecified values.
    pub(super) fn new(depth: usize, columns: usize) -> Self {
        let values = Buffer::unspecified(columns.next_multiple_of(PANEL) * depth);
        Panels { values, columns, depth }
    }

    pub(super) fn words_mut(&mut self) -> &mut [u32] {
        cast_slice_mut(&mut self.values)
    }

    /// All columns.
    pub(super) fn whole(&self) -> PanelColumns<'_> {
        self.range(0..self.columns)
    }

    /// Some columns. The first is a multiple of [`PANEL`].
    pub(super) fn range(&self, columns: Range<usize>) -> PanelColumns<'_> {
        assert!(columns.start.is_multiple_of(PANEL) && columns.start <= columns.end);
        assert!(columns.end <= self.columns);
        let words = &cast_slice(&self.values)[columns.start * self.depth..];
        PanelColumns { words, columns: columns.len(), depth: self.depth }
    }
}

/// Some columns of a right operand, from the first of a panel on.
#[derive(Clone, Copy)]
pub(super) struct PanelColumns<'a> {
    pub words: &'a [u32],
    pub columns: usize,
    pub depth: usize,
}
