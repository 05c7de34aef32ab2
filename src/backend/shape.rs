//! The encoder's sizes, and whether weights and a batch fit them: what fused operations take for granted.

use crate::batch::PackedBatch;
use crate::model::{Activation, EncoderConfig, RelativeBias};

/// The sizes and choices of a checkpoint's configuration that the computation depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderShape {
    pub hidden: usize,
    pub heads: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub activation: Activation,
    pub layer_norm_eps: f32,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    /// 0 where there are no token types.
    pub type_vocab_size: usize,
    pub relative: Option<RelativeBias>,
    /// Rows of its table, `[relative_rows, heads]`; 0 where there is none.
    pub relative_rows: usize,
}

/// Why weights or a batch cannot be computed with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShapeError {
    #[error("the hidden size {hidden} is not a multiple of the number of attention heads, {heads}")]
    Heads { hidden: usize, heads: usize },
    #[error("weight group {group} has {found} values; the configuration's sizes ask for {expected}")]
    Weights { group: usize, found: usize, expected: usize },
    #[error(
        "there are {found} weight groups; {expected} are needed, one for the embeddings and one for each layer"
    )]
    Groups { found: usize, expected: usize },
    #[error(
        "token id {id} is outside of the model's vocabulary of {vocab_size}; use the checkpoint's own tokenizer"
    )]
    Token { id: u32, vocab_size: usize },
    #[error(
        "position {position} is beyond the model's {positions} position embeddings; lower the maximum length"
    )]
    Position { position: u32, positions: usize },
    #[error("token type {of_token} is beyond the model's {types} types")]
    TokenType { of_token: u32, types: usize },
}

impl From<&EncoderConfig> for EncoderShape {
    fn from(config: &EncoderConfig) -> Self {
        let d = &config.dimensions;
        EncoderShape {
            hidden: d.hidden_size,
            heads: config.num_attention_heads,
            intermediate: d.intermediate_size,
            layers: d.num_hidden_layers,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps as f32,
            vocab_size: d.vocab_size,
            max_position_embeddings: d.max_position_embeddings,
            type_vocab_size: d.type_vocab_size,
            relative: config.relative_bias(),
            relative_rows: d.relative_bias[0],
        }
    }
}

impl EncoderShape {
    /// The encoder's groups among those of some weights; [`EncoderShape::check`] refuses too few.
    pub fn groups<'a, T>(&self, groups: &'a [T]) -> &'a [T] {
        &groups[..groups.len().min(self.layers + 1)]
    }

    /// What attention's products of queries and keys are multiplied by.
    pub fn score_scale(&self) -> f32 {
        1.0 / ((self.hidden / self.heads) as f32).sqrt()
    }

    /// Elements in each weight group, embeddings first.
    pub fn group_len(&self, group: usize) -> usize {
        let (h, i) = (self.hidden, self.intermediate);
        if group == 0 {
            let rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size + 2;
            rows * h + self.relative_rows * self.heads
        } else {
            4 * h * h + 2 * h * i + 9 * h + i
        }
    }

    /// Whether the ids of `batch` lie within the tables.
    pub fn check_batch(&self, batch: &PackedBatch) -> Result<(), ShapeError> {
        if let Some(&id) = batch.token_ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(ShapeError::Token { id, vocab_size: self.vocab_size });
        }
        let positions = self.max_position_embeddings;
        if let Some(&position) = batch.position_ids.iter().find(|&&p| p as usize >= positions) {
            return Err(ShapeError::Position { position, positions });
        }
        // A model without types has tokens of type 0.
        let types = self.type_vocab_size.max(1);
        if let Some(&of_token) = batch.token_types.iter().find(|&&t| t as usize >= types) {
            return Err(ShapeError::TokenType { of_token, types });
        }
        Ok(())
    }

    /// Whether weight groups of these lengths fit this shape.
    pub fn check_groups(&self, lens: &[usize]) -> Result<(), ShapeError> {
        if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) {
            return Err(ShapeError::Heads { hidden: self.hidden, heads: self.heads });
        }
        if lens.len() != self.layers + 1 {
            return Err(ShapeError::Groups { found: lens.len(), expected: self.layers + 1 });
        }
        for (group, &found) in lens.iter().enumerate() {
            let expected = self.group_len(group);
            if found != expected {
                return Err(ShapeError::Weights { group, found, expected });
            }
        }
        Ok(())
    }
}
