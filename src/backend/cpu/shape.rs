//! Views of the flat weight buffers by name.

use super::layer_norm::Affine;
pub use crate::backend::shape::EncoderShape;
use crate::backend::shape::ShapeError;
use crate::batch::PackedBatch;

impl EncoderShape {
    /// Whether `weights` and `batch` fit this shape.
    pub fn check(&self, weights: &[&[f32]], batch: &PackedBatch) -> Result<(), ShapeError> {
        self.check_slices(weights)?;
        self.check_batch(batch)
    }

    /// Whether `weights` fit this shape.
    pub fn check_slices(&self, weights: &[&[f32]]) -> Result<(), ShapeError> {
        let lens: Vec<usize> = weights.iter().map(|values| values.len()).collect();
        self.check_groups(&lens)
    }
}

/// Splits a flat buffer at the given lengths, mutably or not.
macro_rules! views {
    ($split:ident, $flat:expr, $($name:ident: $len:expr),+ $(,)?) => {
        let rest = $flat;
        $(let ($name, rest) = rest.$split($len);)+
        assert!(rest.is_empty(), "a weight group has the length that its shape asks for");
    };
}

macro_rules! embedding_views {
    ($struct:ident, $split:ident, $slice:ty) => {
        pub(crate) struct $struct<'a> {
            /// `[vocab_size, hidden]`
            pub word: $slice,
            /// `[max_position_embeddings, hidden]`
            pub position: $slice,
            /// `[type_vocab_size, hidden]`
            pub token_type: $slice,
            pub norm_weight: $slice,
            pub norm_bias: $slice,
            /// `[relative_rows, heads]`
            pub relative_bias: $slice,
        }

        impl<'a> $struct<'a> {
            pub fn new(shape: &EncoderShape, flat: $slice) -> Self {
                let h = shape.hidden;
                views!($split, flat,
                    word: shape.vocab_size * h, position: shape.max_position_embeddings * h,
                    token_type: shape.type_vocab_size * h, norm_weight: h, norm_bias: h,
                    relative_bias: shape.relative_rows * shape.heads);
                $struct { word, position, token_type, norm_weight, norm_bias, relative_bias }
            }
        }
    };
}

macro_rules! layer_views {
    ($struct:ident, $split:ident, $slice:ty) => {
        /// Weights are `[out, in]`.
        pub(crate) struct $struct<'a> {
            pub query: $slice,
            /// Key and value together: `[2 · hidden, hidden]`.
            pub key_value: $slice,
            pub query_bias: $slice,
            pub key_value_bias: $slice,
            pub attention_output: $slice,
            pub attention_output_bias: $slice,
            pub attention_norm_weight: $slice,
            pub attention_norm_bias: $slice,
            pub intermediate: $slice,
            pub intermediate_bias: $slice,
            pub output: $slice,
            pub output_bias: $slice,
            pub output_norm_weight: $slice,
            pub output_norm_bias: $slice,
        }

        impl<'a> $struct<'a> {
            pub fn new(shape: &EncoderShape, flat: $slice) -> Self {
                let (h, i) = (shape.hidden, shape.intermediate);
                views!($split, flat,
                    query: h * h, key_value: 2 * h * h, query_bias: h, key_value_bias: 2 * h,
                    attention_output: h * h, attention_output_bias: h,
                    attention_norm_weight: h, attention_norm_bias: h,
                    intermediate: i * h, intermediate_bias: i, output: h * i, output_bias: h,
                    output_norm_weight: h, output_norm_bias: h);
                $struct {
                    query, key_value, query_bias, key_value_bias, attention_output, attention_output_bias,
                    attention_norm_weight, attention_norm_bias, intermediate, intermediate_bias, output,
                    output_bias, output_norm_weight, output_norm_bias,
                }
            }
        }
    };
}

embedding_views!(EmbeddingWeights, split_at, &'a [f32]);
embedding_views!(EmbeddingGradients, split_at_mut, &'a mut [f32]);
layer_views!(LayerWeights, split_at, &'a [f32]);
layer_views!(LayerGradients, split_at_mut, &'a mut [f32]);

impl EmbeddingWeights<'_> {
    pub fn norm(&self) -> Affine<'_> {
        Affine { weight: self.norm_weight, bias: self.norm_bias }
    }
}

impl LayerWeights<'_> {
    pub fn attention_norm(&self) -> Affine<'_> {
        Affine { weight: self.attention_norm_weight, bias: self.attention_norm_bias }
    }

    pub fn output_norm(&self) -> Affine<'_> {
        Affine { weight: self.output_norm_weight, bias: self.output_norm_bias }
    }
}
