//! A model that predicts masked words, in training.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use thiserror::Error;

use super::masking::{Masked, Masking};
use crate::batch::{PackedBatch, Pass, SequenceId};
use crate::encoder::Encoder;
use crate::model::{Pooling, WordHead};
use crate::model_folder::words::{MaskedLmContents, WordHeadError, read_with_word_head};
use crate::model_folder::{FolderError, ModelFolder};
use crate::objective::{Leaf, MaskedWords, Objective, OwnWeights, masked};
use crate::tokenize::Tokenizer;
use crate::weights::Parameters;

/// Rows that go through the encoder at once where words are only predicted.
const TOKENS_AT_ONCE: usize = 1 << 13;

/// An encoder with a head for masked words.
pub struct MaskedModel {
    /// Its pooling is not used.
    pub encoder: Encoder,
    pub head: WordHead,
    /// The encoder's weights, and the head's in the last group.
    pub parameters: Parameters,
    /// Shared with threads that prepare batches.
    pub tokenizer: Arc<Tokenizer>,
    /// Where the files of the encoder are.
    pub source: PathBuf,
    /// Whether the head is that of the model's folder.
    pub head_is_of_folder: bool,
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum MaskedModelError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Head(#[from] WordHeadError),
}

/// Masked sentences as a batch, and what is asked of it.
pub struct MaskedBatch {
    pub packed: PackedBatch,
    pub objective: MaskedWords,
}

impl MaskedBatch {
    /// Of sentences in their order.
    pub fn new(
        encoder: &Encoder,
        head: &WordHead,
        sentences: impl IntoIterator<Item = Masked>,
        max_length: usize,
    ) -> Self {
        let (mut packed, mut targets, mut chosen) = (PackedBatch::new(), Vec::new(), Vec::new());
        for (sentence, masked) in (0..).zip(sentences) {
            let first = packed.total_tokens();
            encoder.push(&mut packed, &masked.ids, SequenceId { view: 0, sentence }, max_length);
            chosen.extend(masked.chosen.iter().map(|place| first + place));
            targets.extend(masked.targets);
        }
        packed.chosen = Some(chosen);
        MaskedBatch { packed, objective: MaskedWords { head: head.clone(), targets } }
    }
}

impl MaskedModel {
    /// Loads an encoder's folder, with its head for masked words where it has one and `is_new` is not asked for, else with
    /// one drawn by `seed`.
    ///
    /// # Errors
    /// A folder whose files cannot be read, or whose head has another size.
    pub fn load(
        folder: &Path,
        (seed, is_new): (u64, bool),
        device: &Device,
    ) -> Result<Self, MaskedModelError> {
        let ModelFolder { transformer, config, tokenizer, .. } = ModelFolder::read(folder)?;
        let head = config.word_head();
        let initial =
            |spec: &crate::model::layout::TensorSpec| masked::initial(&head, seed, spec.part, spec.kind);
        let (parameters, head_is_of_folder) =
            read_with_word_head(&transformer, &config, &head, is_new, initial, device)?;
        let encoder = Encoder::new(config, Pooling::Mean);
        let tokenizer = Arc::new(tokenizer);
        Ok(MaskedModel { encoder, head, parameters, tokenizer, source: transformer, head_is_of_folder })
    }

    /// What is written of it into a folder.
    pub fn contents(&self, max_length: usize) -> MaskedLmContents<'_> {
        let (config, tokenizer, source) = (&self.encoder.config, &*self.tokenizer, &*self.source);
        MaskedLmContents { config, tokenizer, max_length, source }
    }

    /// Masked lines as batches to measure on, those of similar length together.
    ///
    /// # Errors
    /// Text that cannot be tokenized.
    pub fn batches(
        &self,
        masking: &Masking,
        lines: &[(u64, &str)],
        max_length: usize,
    ) -> Result<Vec<MaskedBatch>, crate::tokenize::TokenizeError> {
        let masked = |&(line, text): &(u64, &str)| masking.held_out(&self.tokenizer, text, line, max_length);
        let mut masked = lines.iter().map(masked).collect::<Result<Vec<_>, _>>()?;
        masked.sort_by_key(|sentence| std::cmp::Reverse(sentence.ids.len()));
        let mut batches = Vec::new();
        let mut rest = masked.into_iter().peekable();
        while rest.peek().is_some() {
            let mut tokens = 0;
            let mut members = Vec::new();
            while let Some(sentence) =
                rest.next_if(|next| members.is_empty() || tokens + next.ids.len() <= TOKENS_AT_ONCE)
            {
                tokens += sentence.ids.len();
                members.push(sentence);
            }
            batches.push(MaskedBatch::new(&self.encoder, &self.head, members, max_length));
        }
        Ok(batches)
    }

    /// The sum of the cross entropies of all masked tokens without dropout, and their number.
    ///
    /// # Errors
    /// An operation that fails.
    pub fn cross_entropy(&self, batches: &[MaskedBatch]) -> candle_core::Result<(f64, u64)> {
        let mut found = (0.0, 0);
        for MaskedBatch { packed, objective } in
            batches.iter().filter(|batch| batch.packed.total_outputs() > 0)
        {
            let own = OwnWeights::constants_sharing(&self.encoder, &self.parameters, objective.shared())?;
            let pass = Pass::inference();
            let states = self.encoder.embed(&self.parameters, packed, None, &pass)?;
            let embeddings = &own.in_place(&states)?;
            let words = objective.words(&Leaf { embeddings, own: &own, batch: packed, pass: &pass })?;
            found.0 += words.losses_of_rows()?.sum_all()?.to_scalar::<f64>()?;
            found.1 += packed.total_outputs() as u64;
        }
        Ok(found)
    }
}
