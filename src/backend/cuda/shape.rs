//! Where the tensors of a layer lie in its flat buffer, as [`Layout`](crate::model::Layout) has them.

use std::ops::Range;

use crate::backend::shape::EncoderShape;

/// Offsets in a layer's flat buffer.
#[derive(Clone, Copy, Debug)]
pub struct LayerOffsets {
    /// `[3 · hidden, hidden]`: queries, keys, values.
    pub projections: usize,
    pub projection_biases: usize,
    pub attention_output: usize,
    /// The bias, then the LayerNorm's weight and bias: three vectors of `hidden`.
    pub attention_vectors: usize,
    pub intermediate: usize,
    pub intermediate_bias: usize,
    pub output: usize,
    /// As `attention_vectors`.
    pub output_vectors: usize,
}

impl LayerOffsets {
    pub fn new(shape: &EncoderShape) -> Self {
        let (h, i) = (shape.hidden, shape.intermediate);
        let mut end = 0;
        let mut next = |len: usize| {
            let start = end;
            end += len;
            start
        };
        let offsets = LayerOffsets {
            projections: next(3 * h * h),
            projection_biases: next(3 * h),
            attention_output: next(h * h),
            attention_vectors: next(3 * h),
            intermediate: next(i * h),
            intermediate_bias: next(i),
            output: next(h * i),
            output_vectors: next(3 * h),
        };
        debug_assert_eq!(end, shape.group_len(1));
        offsets
    }
}

/// Offsets in the flat buffer of the embeddings.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingOffsets {
    pub position: usize,
    pub token_type: usize,
    /// The LayerNorm's weight, then its bias.
    pub norm: usize,
}

impl EmbeddingOffsets {
    pub fn new(shape: &EncoderShape) -> Self {
        let h = shape.hidden;
        let position = shape.vocab_size * h;
        let token_type = position + shape.max_position_embeddings * h;
        let norm = token_type + shape.type_vocab_size * h;
        EmbeddingOffsets { position, token_type, norm }
    }
}

/// Columns of a layer's partial sums, which end in its flat buffer: one row for each stripe of rows.
#[derive(Clone, Copy, Debug)]
pub struct PartialColumns {
    hidden: usize,
    intermediate: usize,
}

impl PartialColumns {
    pub fn new(shape: &EncoderShape) -> Self {
        PartialColumns { hidden: shape.hidden, intermediate: shape.intermediate }
    }

    pub fn output_vectors(&self) -> Range<usize> {
        0..3 * self.hidden
    }

    pub fn attention_vectors(&self) -> Range<usize> {
        3 * self.hidden..6 * self.hidden
    }

    pub fn projection_biases(&self) -> Range<usize> {
        6 * self.hidden..9 * self.hidden
    }

    pub fn intermediate_bias(&self) -> Range<usize> {
        9 * self.hidden..9 * self.hidden + self.intermediate
    }

    pub fn len(&self) -> usize {
        9 * self.hidden + self.intermediate
    }
}
