//! Sizes and choices of an encoder, as its config.json gives them.

use super::activation::Activation;
use super::architecture::{Architecture, PositionRule};
use super::head::{Head, WordHead};
use super::layout::{Dimensions, Layout};
use super::relative::RelativeBias;

/// What of `config.json` the encoder needs.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Decides names of tensors, positions and special tokens.
    pub architecture: Architecture,
    /// The sizes of its tensors.
    pub dimensions: Dimensions,
    /// Heads of each layer; divides the hidden size.
    pub num_attention_heads: usize,
    /// Between the two products of a feed-forward block.
    pub activation: Activation,
    /// What LayerNorm adds to the variance.
    pub layer_norm_eps: f64,
    /// The id that fills up sequences; RoBERTa's positions count from it.
    pub pad_token_id: u32,
}

impl EncoderConfig {
    /// Where the encoder's tensors lie, by the names that its architecture gives them.
    pub fn layout(&self) -> Layout {
        Layout::new(self.architecture, &self.dimensions)
    }

    /// The head with which transformers' class for the encoder classifies sequences; one output gives a value.
    pub fn sequence_head(&self, outputs: usize) -> Head {
        Head::of_sequences(self.architecture.description().head, self.dimensions.hidden_size, outputs)
    }

    /// The head with which transformers' class for the encoder predicts masked words.
    pub fn word_head(&self) -> WordHead {
        WordHead {
            hidden: self.dimensions.hidden_size,
            vocab_size: self.dimensions.vocab_size,
            activation: self.architecture.description().word_activation.unwrap_or(self.activation),
            layer_norm_eps: self.layer_norm_eps,
        }
    }

    /// Which position each token has.
    pub fn positions(&self) -> Positions {
        match self.architecture.description().positions {
            PositionRule::FromZero => Positions::FromZero,
            PositionRule::AfterPadding => Positions::Counted { padding: self.pad_token_id },
            PositionRule::After(padding) => Positions::Counted { padding },
        }
    }

    /// The position id of a sequence's first token.
    pub fn position_offset(&self) -> u32 {
        match self.positions() {
            Positions::FromZero => 0,
            Positions::Counted { padding } => padding + 1,
        }
    }

    /// What is added to attention's scores, by distance.
    pub fn relative_bias(&self) -> Option<RelativeBias> {
        self.architecture.description().relative_bias
    }

    /// Whether there are embeddings of token types.
    pub fn has_token_types(&self) -> bool {
        self.dimensions.type_vocab_size > 0
    }

    /// The longest sequence, special tokens included, that the position embeddings allow.
    pub fn max_sequence_length(&self) -> usize {
        self.dimensions.max_position_embeddings.saturating_sub(self.position_offset() as usize)
    }

    /// Hidden values of one attention head.
    pub fn head_size(&self) -> usize {
        self.dimensions.hidden_size / self.num_attention_heads
    }
}

/// Which position a token has, for a padding token that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Its place in the sequence, from 0.
    FromZero,
    /// Tokens other than `padding` are counted from `padding + 1`; those that are it have the position `padding`.
    Counted {
        /// The id of the padding token.
        padding: u32,
    },
}
