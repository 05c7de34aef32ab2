//! What candle's graph keeps of a pass: the result of every operation of `backend/reference/forward.rs`, in f32.

use super::{Part, TrainOptions};
use crate::model::{Activation, EncoderConfig};

/// Gradients of the leaves. Leaves themselves are copies, one set a pass.
pub(super) const SETS: u64 = 1;

/// Results of a LayerNorm as wide as its input, and of a dropout: its factors and what they give.
const NORM: u64 = 5;
const DROPOUT: u64 = 2;
/// Of a linear layer: the product, and the sum with the bias.
const LINEAR: u64 = 2;

/// One pass.
pub(super) struct Pass<'a> {
    pub model: &'a EncoderConfig,
    pub options: &'a TrainOptions,
    pub part: Part,
}

impl Pass<'_> {
    /// Bytes that are kept until the gradient is there.
    pub fn kept(&self) -> u64 {
        let layers = self.model.dimensions.num_hidden_layers as u64;
        // A quarter more, as measured: batches are padded to their own longest sentence, and buffers outlive their use.
        5 * (self.embeddings() + layers * (self.attention() + self.rest_of_layer()))
    }

    /// Bytes of gradients that are there at the same time where most are, in the last layer.
    pub fn on_the_way_back(&self) -> u64 {
        4 * (4 * self.scores() + 4 * self.grid() + 4 * self.part.tokens * self.inner())
    }

    fn hidden(&self) -> u64 {
        self.model.dimensions.hidden_size as u64
    }

    fn inner(&self) -> u64 {
        self.model.dimensions.intermediate_size as u64
    }

    fn dropout(&self) -> u64 {
        if self.options.dropout > 0.0 { DROPOUT } else { 0 }
    }

    /// Values of hidden states on the padded grid that attention works on.
    fn grid(&self) -> u64 {
        self.part.sequences * self.part.longest * self.hidden()
    }

    /// Values of all heads' scores.
    fn scores(&self) -> u64 {
        let heads = self.model.num_attention_heads as u64;
        self.part.sequences * heads * self.part.longest * self.part.longest
    }

    fn embeddings(&self) -> u64 {
        // Words, noise, their sum, positions, and that sum; token types.
        let sums = 5 + u64::from(self.model.has_token_types());
        self.part.tokens * self.hidden() * (sums + NORM + self.dropout())
    }

    fn attention(&self) -> u64 {
        // Query, key and value go onto the grid, are laid out by heads, and come back once.
        let rows = 3 * LINEAR + 1;
        let grids = 3 * 2 + 2 + u64::from(self.options.drophead > 0.0);
        // The product, scaled, with the keys' bias; shifted, exp, divided.
        let scores = 6 + self.dropout() + u64::from(self.model.relative_bias().is_some());
        self.part.tokens * self.hidden() * rows + self.grid() * grids + self.scores() * scores
    }

    fn rest_of_layer(&self) -> u64 {
        // Twice a linear layer, dropout, the sum with what is passed by, and a norm.
        let halves = 2 * (LINEAR + self.dropout() + 1 + NORM);
        self.part.tokens * (self.hidden() * halves + self.inner() * (LINEAR + self.activation()))
    }

    fn activation(&self) -> u64 {
        match self.model.activation {
            Activation::Relu | Activation::Silu => 1,
            Activation::QuickGelu => 3,
            Activation::Gelu => 5,
            Activation::GeluTanh => 8,
        }
    }
}
