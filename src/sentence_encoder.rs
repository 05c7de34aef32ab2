//! A model's folder in use: text in, embeddings out.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use clap::Args;
use ndarray::{Array2, Axis};
use thiserror::Error;

use crate::encoder::{Encoder, EncoderConfig, PackedBatch, Parameters, Pass, Precision, SequenceId};
use crate::model::PoolingChoice;
use crate::model_folder::{
    Contents, FolderError, ModelFolder, ModulesError, Settings, WeightsError, modules, read_parameters,
};
use crate::prompt::{Prompt, Prompted};
use crate::tokenize::{TokenizeError, Tokenizer};

/// Rows that go through the encoder at once; its own buffers are smaller still.
const TOKENS_AT_ONCE: usize = 1 << 14;

/// Flags that override a folder's own settings.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// auto, mean, cls, mean-padded or first-last-avg
    #[arg(long, default_value = "auto", value_name = "HOW")]
    pub pooling: PoolingChoice,
    /// Truncate sentences to this many tokens [default: the folder's own limit]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
}

/// A model folder, loaded.
#[derive(Clone)]
pub struct SentenceEncoder {
    /// Configuration and pooling.
    pub encoder: Encoder,
    /// The encoder's weights.
    pub parameters: Parameters,
    /// Shared with threads that prepare batches.
    pub tokenizer: Arc<Tokenizer>,
    /// Tokens of a sentence, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// Whether embeddings are scaled to length 1 at the end.
    pub normalize: bool,
    /// What is put before each sentence.
    pub prompt: Prompt,
    /// The folder's prompts, and other settings of embeddings as a whole.
    pub settings: Arc<Settings>,
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ModelError {
    #[error("{0} is not a folder; --model takes a folder, builtin, or a Hugging Face id")]
    NotAFolder(String),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// More values of an embedding were asked for than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("--dimensions is {asked}, but embeddings of this model have {most} values; ask for at most that")]
pub struct TooManyDimensions {
    /// What was asked for.
    pub asked: usize,
    /// What there is.
    pub most: usize,
}

impl SentenceEncoder {
    /// Loads a Hugging Face or sentence-transformers folder.
    pub fn load(folder: &Path, overrides: Overrides, device: &Device) -> Result<Self, ModelError> {
        if !folder.is_dir() {
            return Err(ModelError::NotAFolder(folder.display().to_string()));
        }
        let folder = ModelFolder::read(folder)?;
        let most = folder.config.max_sequence_length();
        if let Some(asked) = overrides.max_length.filter(|&asked| asked > most) {
            return Err(ModelError::TooLong { asked, most });
        }
        let max_length = overrides.max_length.unwrap_or(folder.max_length());
        let pooling = overrides.pooling.0.unwrap_or(folder.pooling());
        let ModelFolder { sentence, transformer, config, tokenizer, .. } = folder;
        let mut encoder = Encoder::new(config, pooling);
        encoder.modules = Arc::new(modules::read(&sentence, encoder.config.dimensions.hidden_size)?);
        let parameters = read_parameters(&transformer, &encoder.layout(), DType::F32, device)?;
        Ok(SentenceEncoder {
            encoder,
            parameters,
            tokenizer: Arc::new(tokenizer),
            max_length,
            // A truncation comes last of all, and the modules have what is before it.
            normalize: sentence.normalize && sentence.settings.truncate_dim.is_none(),
            prompt: Prompt {
                text: sentence.settings.default_prompt().to_owned(),
                left_out: sentence.leaves_prompt_out,
            },
            settings: Arc::new(sentence.settings),
        })
    }

    /// The same model, encoding on the CPU in `precision`: its weights are converted once, now.
    ///
    /// # Errors
    /// Weights that are not on the CPU.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self, ModelError> {
        self.encoder = self.encoder.encoding_in(precision, &self.parameters)?;
        Ok(self)
    }

    /// What is written of it into a folder. `source` is the folder of the transformer that it was loaded from.
    pub fn contents<'a>(&'a self, source: &'a Path) -> Contents<'a> {
        Contents {
            encoder: &self.encoder,
            tokenizer: &self.tokenizer,
            max_length: self.max_length,
            normalize: self.normalize,
            leaves_prompt_out: self.prompt.left_out,
            settings: &self.settings,
            source,
        }
    }

    /// The same encoder with another prompt.
    pub fn with_prompt(&self, text: &str) -> Self {
        let prompt = Prompt { text: text.to_owned(), ..self.prompt };
        SentenceEncoder { prompt, ..self.clone() }
    }

    /// Scales embeddings to length 1, or does not, whatever the folder's settings.
    pub fn set_normalize(&mut self, always: bool, never: bool) {
        self.normalize = (self.normalize || always) && !never;
        if never {
            Arc::make_mut(&mut self.encoder.modules).without_last_normalize();
        }
    }

    /// Keeps the first `dimensions` values of an embedding, in place of a truncation that the folder asks for, and
    /// scales them to length 1 where the folder normalises: what truncate_dim with normalize_embeddings gives in
    /// sentence-transformers. To be called before [`SentenceEncoder::set_normalize`], which may leave the scaling out.
    ///
    /// # Errors
    /// More than embeddings have without a truncation.
    pub fn set_dimensions(&mut self, dimensions: usize) -> Result<(), TooManyDimensions> {
        let most = self.encoder.modules.width_before_truncation(self.encoder.config.dimensions.hidden_size);
        if dimensions > most {
            return Err(TooManyDimensions { asked: dimensions, most });
        }
        // Where all of them are kept already, embeddings stay as they are to the bit.
        if dimensions < most || self.width() < most {
            self.normalize |= self.encoder.modules.ends_with_normalize();
            Arc::make_mut(&mut self.encoder.modules).truncate(dimensions);
        }
        Ok(())
    }

    /// The width of embeddings.
    pub fn width(&self) -> usize {
        self.encoder.width()
    }

    /// Embeddings `[sentences, width]` of the sentences behind the prompt, in the order given. Sentences of similar
    /// length go through together; a row does not depend on which others are there.
    pub fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, ModelError> {
        let Prompted { tokens, left_out } =
            self.prompt.tokenize(&self.tokenizer, sentences, self.max_length)?;
        let mut embeddings = Array2::zeros((sentences.len(), self.width()));
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let mut batch = PackedBatch::new();
        let mut members = Vec::new();
        for &i in &order {
            self.encoder.push(
                &mut batch,
                &tokens[i],
                SequenceId { view: 0, sentence: i as u32 },
                self.max_length,
            );
            batch.leave_out_of_last(left_out);
            members.push(i);
            if batch.total_tokens() >= TOKENS_AT_ONCE {
                self.encode_packed(&std::mem::take(&mut batch), &members, &mut embeddings)?;
                batch = PackedBatch::new();
                members.clear();
            }
        }
        if !batch.is_empty() {
            self.encode_packed(&batch, &members, &mut embeddings)?;
        }
        Ok(embeddings)
    }

    fn encode_packed(
        &self,
        batch: &PackedBatch,
        rows: &[usize],
        into: &mut Array2<f32>,
    ) -> Result<(), ModelError> {
        let embeddings = self.encoder.embed(&self.parameters, batch, None, &Pass::inference())?;
        let embeddings = self.encoder.modules.apply(embeddings)?;
        let values: Vec<f32> = embeddings.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        let width = into.ncols();
        for (&row, values) in rows.iter().zip(values.chunks_exact(width)) {
            let mut target = into.index_axis_mut(Axis(0), row);
            let norm = if self.normalize { norm(values).max(1e-12) } else { 1.0 };
            target.iter_mut().zip(values).for_each(|(t, v)| *t = v / norm);
        }
        Ok(())
    }
}

/// Admits to a download what [`SentenceEncoder::load`] would read: a model's small files are read as it reads them.
pub struct Loadable;

impl crate::hub::Admission for Loadable {
    fn configuration(&self, transformer: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        EncoderConfig::from_folder(transformer)?;
        Ok(())
    }

    fn description(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        ModelFolder::read(folder)?;
        Ok(())
    }
}

/// The length of an embedding.
pub(crate) fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    values.into_iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

impl sts_eval::Encode for SentenceEncoder {
    type Error = ModelError;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, ModelError> {
        SentenceEncoder::encode(self, sentences)
    }
}
