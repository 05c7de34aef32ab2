//! The encoder: BERT and RoBERTa over packed batches. Weights are an argument, never hidden state.
//!
//! Two paths compute the same function. [`composed`] is plain candle operations: any device, any
//! dtype, and what the other is tested against. [`fused`] is hand-written forward and backward on
//! the CPU in f32. Either gives embeddings `[n, hidden]` and, when tracked, a [`Tape`] that turns
//! a gradient of the embeddings into one of the weights. Losses therefore see only embeddings.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use crate::modules::Modules;

pub mod composed;
pub mod config;
pub mod flat;
pub mod fused;
pub mod layout;
pub mod packed_batch;
pub mod parameters;
pub mod pooling;

pub use config::{Architecture, EncoderConfig};
pub use layout::Layout;
pub use packed_batch::{PackedBatch, Pass, SequenceId};
pub use parameters::Parameters;
pub use pooling::Pooling;

/// The way back from embeddings to weights, kept by a tracked forward pass. It may be walked more
/// than once, with another gradient each time.
pub trait Tape {
    /// The gradient of `sum(grad_embeddings · embeddings)`. `parameters` are those of the forward
    /// pass, `grad_embeddings` is `[n, hidden]`.
    fn backward(&self, parameters: &Parameters, grad_embeddings: &Tensor) -> Result<Parameters>;

    /// The gradient with respect to the noise on word embeddings, `[total_tokens, hidden]`.
    fn noise_gradient(&self, parameters: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor>;
}

/// A tracked forward pass: `[n, hidden]` embeddings (detached) and the way back.
pub struct Encoded {
    pub embeddings: Tensor,
    pub tape: Box<dyn Tape>,
}

/// Which implementation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Plain candle operations.
    Composed,
    /// Fused CPU operations where the parameters are f32 on the CPU, else composed.
    Fused,
}

/// An encoder without weights: what it computes, and how.
#[derive(Clone, Debug)]
pub struct Encoder {
    pub config: EncoderConfig,
    pub pooling: Pooling,
    pub path: Path,
    /// What comes after pooling, as it is: the loss sees what comes out.
    pub modules: Arc<Modules>,
}

impl Encoder {
    pub fn new(config: EncoderConfig, pooling: Pooling) -> Self {
        Encoder { config, pooling, path: Path::Fused, modules: Arc::default() }
    }

    pub fn layout(&self) -> Arc<Layout> {
        Arc::new(Layout::new(&self.config.dimensions))
    }

    /// The width of embeddings after all modules.
    pub fn width(&self) -> usize {
        self.modules.width(self.config.dimensions.hidden_size)
    }

    fn runs_fused(&self, parameters: &Parameters) -> bool {
        self.path == Path::Fused && parameters.device().is_cpu() && parameters.dtype() == DType::F32
    }

    /// Embeddings `[n, hidden]`, as pooled, without a graph. `noise` is `[total_tokens,
    /// hidden]`, added to the word embeddings.
    pub fn embed(
        &self,
        parameters: &Parameters,
        batch: &PackedBatch,
        noise: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let embed = if self.runs_fused(parameters) { fused::embed } else { composed::embed };
        embed(&self.config, parameters, batch, noise, pass, self.pooling)
    }

    /// As [`Encoder::embed`], with the way back.
    pub fn embed_tracked(
        &self,
        parameters: &Parameters,
        batch: &PackedBatch,
        noise: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Encoded> {
        let embed = if self.runs_fused(parameters) { fused::embed_tracked } else { composed::embed_tracked };
        embed(&self.config, parameters, batch, noise, pass, self.pooling)
    }

    /// Appends a tokenised sentence to a batch, padded where the pooling wants padding.
    pub fn push(&self, batch: &mut PackedBatch, tokens: &[u32], id: SequenceId, max_length: usize) {
        batch.push(tokens, self.config.position_offset(), id);
        if self.config.architecture == Architecture::Roberta {
            batch.renumber_last(self.config.pad_token_id);
        }
        if self.pooling == Pooling::MeanPadded && tokens.len() < max_length {
            let padding = max_length - tokens.len();
            batch.pad_last(padding, self.config.pad_token_id, |row| self.config.padding_position(row));
        }
    }
}
