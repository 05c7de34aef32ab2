//! The encoder over packed batches. Weights are an argument, never hidden state.
//!
//! An [`Encoder`] describes what is computed; a [`Backend`] computes it. Either pass gives embeddings `[n, hidden]`
//! and, when tracked, a [`Tape`] that turns a gradient of the embeddings into one of the weights. Losses
//! therefore see only embeddings.

mod accumulation;

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::backend::{self, Backend, Input, Readout};
pub use crate::backend::{Encoded, Precision, Tape, product_seconds};
pub use crate::batch::{PackedBatch, Pass, SequenceId};
use crate::model::Positions;
pub use crate::model::{Architecture, EncoderConfig, Layout, Pooling, layout};
use crate::modules::Modules;
use crate::tokenize::Tokens;
pub use crate::weights::Parameters;

/// An encoder without weights.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// What the encoder is built of.
    pub config: EncoderConfig,
    /// How the last layer's rows become an embedding.
    pub pooling: Pooling,
    /// Who computes; `None` leaves it to the weights.
    backend: Option<Arc<dyn Backend>>,
    /// In how many parts a batch goes through.
    parts: usize,
    /// What comes after pooling, as it is: the loss sees what comes out.
    pub modules: Arc<Modules>,
}

impl Encoder {
    /// Passes go to the backend that suits the weights; [`Self::on`] names one.
    pub fn new(config: EncoderConfig, pooling: Pooling) -> Self {
        Encoder { config, pooling, backend: None, parts: 1, modules: Arc::default() }
    }

    /// The same encoder, computed by `backend` whatever the weights: in another precision than theirs, or in tests,
    /// which hold one backend against another.
    pub fn on(self, backend: Arc<dyn Backend>) -> Self {
        Encoder { backend: Some(backend), ..self }
    }

    /// The same encoder, whose layers multiply in `precision`, for training: weights are converted in each pass. int8 has no way back, and is left out as f32 is.
    pub fn training_in(self, precision: Precision) -> Self {
        Encoder { backend: backend::training(precision).or(self.backend), ..self }
    }

    /// The same encoder, for encoding with `weights` alone: its layers multiply in `precision`, for which they are
    /// converted once.
    ///
    /// # Errors
    /// Weights that are not this encoder's, or not f32; int8 anywhere but on the CPU.
    pub fn encoding_in(self, precision: Precision, weights: &Parameters) -> Result<Self> {
        let prepared = backend::prepared(precision, &self.config, weights)?;
        Ok(Encoder { backend: prepared.or(self.backend), ..self })
    }

    /// Where this encoder computes in less than the precision of its weights, one that does not: for what fewer bits
    /// do not resolve.
    pub fn unrounded(&self) -> Option<Self> {
        let rounds = self.backend.as_ref().is_some_and(|backend| backend.rounds());
        rounds.then(|| Encoder { backend: None, ..self.clone() })
    }

    /// The same encoder, through which a batch goes in so many parts, one after another: a step needs the memory of
    /// one part, and its passes with a way back go forward twice.
    pub fn in_parts(self, parts: usize) -> Self {
        Encoder { parts, ..self }
    }

    /// Where each weight lies in [`Parameters`] of this encoder.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::new(self.config.layout())
    }

    /// The width of embeddings after all modules.
    pub fn width(&self) -> usize {
        self.modules.width(self.config.dimensions.hidden_size)
    }

    /// Embeddings `[n, hidden]`, as pooled, or the hidden states of the batch's chosen rows, without a graph. `noise` is `[total_tokens,
    /// hidden]`, added to the word embeddings.
    pub fn embed(
        &self,
        weights: &Parameters,
        batch: &PackedBatch,
        noise: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor> {
        if self.parts > 1 {
            return accumulation::embed(self, weights, batch, noise, pass);
        }
        self.backend(weights).embed(weights, &self.input(batch, noise, pass))
    }

    /// As [`Encoder::embed`], with the way back.
    pub fn embed_tracked(
        &self,
        weights: &Parameters,
        batch: &PackedBatch,
        noise: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Encoded> {
        if self.parts > 1 {
            return accumulation::embed_tracked(self, weights, batch, noise, pass);
        }
        self.backend(weights).embed_tracked(weights, &self.input(batch, noise, pass))
    }

    fn backend(&self, weights: &Parameters) -> &dyn Backend {
        self.backend.as_deref().unwrap_or_else(|| backend::of(weights))
    }

    fn input<'a>(&'a self, batch: &'a PackedBatch, noise: Option<&'a Tensor>, pass: &'a Pass) -> Input<'a> {
        Input { config: &self.config, readout: Readout::of(self.pooling, batch), batch, noise, pass }
    }

    /// Appends a text or a pair of texts to a batch, with the types of its tokens where the encoder is given them.
    pub fn push_typed(&self, batch: &mut PackedBatch, tokens: &Tokens, id: SequenceId, max_length: usize) {
        self.push(batch, &tokens.ids, id, max_length);
        if self.config.architecture.description().types_pairs {
            batch.set_types_of_last(&tokens.types);
        }
    }

    /// Appends a tokenised sentence to a batch, padded where the pooling wants padding.
    pub fn push(&self, batch: &mut PackedBatch, tokens: &[u32], id: SequenceId, max_length: usize) {
        batch.push(tokens, self.config.position_offset(), id);
        if self.pooling == Pooling::MeanPadded && tokens.len() < max_length {
            batch.pad_last(max_length - tokens.len(), self.config.pad_token_id, |row| row as u32);
        }
        if let Positions::Counted { padding } = self.config.positions() {
            batch.renumber_last(padding);
        }
    }
}
