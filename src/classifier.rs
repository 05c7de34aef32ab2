//! A model with a head in use: a text or a pair in, logits out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use thiserror::Error;

use crate::batch::{PackedBatch, Pass, SequenceId};
use crate::encoder::Encoder;
use crate::model::{Head, Pooling};
use crate::model_folder::head::{
    ClassifierContents, HeadError, Outputs, read_classifier, read_outputs, read_with_head,
};
use crate::model_folder::{FolderError, ModelFolder};
use crate::objective::head;
use crate::objective::{Leaf, OwnWeights};
use crate::tokenize::{TokenizeError, Tokenizer, Tokens};
use crate::weights::Parameters;

/// Rows that go through the encoder at once.
const TOKENS_AT_ONCE: usize = 1 << 14;

/// An encoder with a head that classifies texts or pairs, or gives each a value.
#[derive(Clone)]
pub struct Classifier {
    /// Its embedding is the first token's hidden state, without modules.
    pub encoder: Encoder,
    /// On the encoder.
    pub head: Head,
    /// What the head's outputs mean.
    pub outputs: Outputs,
    /// The encoder's weights, and the head's in the last group.
    pub parameters: Parameters,
    /// Shared with threads that prepare batches.
    pub tokenizer: Arc<Tokenizer>,
    /// Tokens of a text or a pair, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// Where the files of the encoder are.
    pub source: PathBuf,
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ClassifierError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// A text, and the second one of a pair.
pub type Texts<'a> = (&'a str, Option<&'a str>);

impl Classifier {
    /// Loads a folder that `mirror finetune` or transformers wrote.
    ///
    /// # Errors
    /// A folder without a head, or whose files cannot be read; a length that the model has no positions for.
    pub fn load(folder: &Path, max_length: Option<usize>, device: &Device) -> Result<Self, ClassifierError> {
        let folder = ModelFolder::read(folder)?;
        let outputs = read_outputs(&folder.transformer)?;
        let head = folder.config.sequence_head(outputs.count());
        let parameters = read_classifier(&folder.transformer, &folder.config, &head, device)?;
        Classifier::of(folder, head, outputs, parameters, max_length)
    }

    /// Loads an encoder's folder to be trained with a head for `outputs`, whose layers are the folder's where it has
    /// them and `is_new` is not asked for, else drawn anew by `seed`. Gives the names of the head's tensors that were
    /// taken, too.
    ///
    /// # Errors
    /// A folder whose files cannot be read or whose head has another size; a length that the model has no positions for.
    pub fn load_for(
        folder: &Path,
        outputs: Outputs,
        (seed, is_new): (u64, bool),
        max_length: usize,
        device: &Device,
    ) -> Result<(Self, Vec<String>), ClassifierError> {
        let folder = ModelFolder::read(folder)?;
        let head = folder.config.sequence_head(outputs.count());
        let initial = head::initial(&head, seed)?;
        let (parameters, taken) =
            read_with_head(&folder.transformer, &folder.config, &head, &initial, is_new, device)?;
        Ok((Classifier::of(folder, head, outputs, parameters, Some(max_length))?, taken))
    }

    fn of(
        folder: ModelFolder,
        head: Head,
        outputs: Outputs,
        parameters: Parameters,
        max_length: Option<usize>,
    ) -> Result<Self, ClassifierError> {
        let most = folder.config.max_sequence_length();
        if let Some(asked) = max_length.filter(|&asked| asked > most) {
            return Err(ClassifierError::TooLong { asked, most });
        }
        let max_length = max_length.unwrap_or(folder.max_length());
        let ModelFolder { transformer, config, tokenizer, .. } = folder;
        let encoder = Encoder::new(config, Pooling::Cls);
        let tokenizer = Arc::new(tokenizer);
        Ok(Classifier { encoder, head, outputs, parameters, tokenizer, max_length, source: transformer })
    }

    /// What is written of it into a folder.
    pub fn contents(&self) -> ClassifierContents<'_> {
        ClassifierContents {
            config: &self.encoder.config,
            outputs: &self.outputs,
            tokenizer: &self.tokenizer,
            max_length: self.max_length,
            source: &self.source,
        }
    }

    /// The head's outputs for each text or pair, in the order given. Those of similar length go through together; a row
    /// does not depend on which others are there.
    ///
    /// # Errors
    /// Text that cannot be tokenized, an operation that fails.
    pub fn logits(&self, texts: &[Texts]) -> Result<Vec<Vec<f64>>, ClassifierError> {
        let tokens = self.tokenizer.encode_pairs(texts, self.max_length)?;
        let own = OwnWeights::constants(&self.encoder, &self.parameters)?;
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].ids.len()));
        let mut logits = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (members, behind) = rest.split_at(members_at_once(rest, &tokens));
            for (&place, row) in members.iter().zip(self.logits_of(members, &tokens, &own)?) {
                logits[place] = row;
            }
            rest = behind;
        }
        Ok(logits)
    }

    fn logits_of(
        &self,
        members: &[usize],
        tokens: &[Tokens],
        own: &OwnWeights,
    ) -> Result<Vec<Vec<f64>>, ClassifierError> {
        let mut batch = PackedBatch::new();
        for &place in members {
            let id = SequenceId { view: 0, sentence: place as u32 };
            self.encoder.push_typed(&mut batch, &tokens[place], id, self.max_length);
        }
        let pass = Pass::inference();
        let embeddings = self.encoder.embed(&self.parameters, &batch, None, &pass)?;
        let embeddings = &own.in_place(&embeddings)?;
        let leaf = Leaf { embeddings, own, batch: &batch, pass: &pass };
        Ok(head::forward(&self.head, &leaf)?.to_vec2()?)
    }
}

/// How many of the first texts make a batch: at least one.
fn members_at_once(places: &[usize], tokens: &[Tokens]) -> usize {
    let mut rows = 0;
    let fits = |&&place: &&usize| {
        rows += tokens[place].ids.len();
        rows <= TOKENS_AT_ONCE
    };
    places.iter().take_while(fits).count().max(1)
}

/// Probabilities of classes from their logits.
pub fn probabilities(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| (logit - most).exp() / sum).collect()
}

/// The place of the largest value: the first of equal ones.
pub fn largest(values: &[f64]) -> usize {
    let place = values.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
    place.map_or(0, |(place, _)| place)
}
