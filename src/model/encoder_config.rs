//! Sizes and choices of an encoder, as its config.json gives them.

use super::activation::Activation;
use super::layout::Dimensions;

/// The two families; they differ in position ids, defaults and the tokenizer, not in the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// BERT and what is built like it; positions count from 0.
    Bert,
    /// RoBERTa and the models built like it (XLM-RoBERTa, CamemBERT).
    Roberta,
}

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
    /// The position id of a sequence's first token. RoBERTa counts from `pad_token_id + 1`.
    pub fn position_offset(&self) -> u32 {
        match self.architecture {
            Architecture::Bert => 0,
            Architecture::Roberta => self.pad_token_id + 1,
        }
    }

    /// The position id of a padding row `row` rows into its sequence: RoBERTa gives all of them
    /// `pad_token_id`, BERT counts on.
    pub fn padding_position(&self, row: usize) -> u32 {
        match self.architecture {
            Architecture::Bert => row as u32,
            Architecture::Roberta => self.pad_token_id,
        }
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
