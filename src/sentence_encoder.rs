//! A whole sentence encoder: tokenizer, encoder, weights, pooling and what its folder says of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use ndarray::{Array2, Axis};
use serde_json::Value;
use thiserror::Error;

use crate::checkpoint::modules::{self, ModulesError};
use crate::checkpoint::{WeightsError, read_parameters};
use crate::encoder::config::ConfigError;
use crate::encoder::{
    Architecture, Encoder, EncoderConfig, PackedBatch, Parameters, Pass, Pooling, SequenceId,
};
use crate::prompt::{Prompt, Prompted};
use crate::quote::shortened;
use crate::sentence_folder::{PoolingMode, SentenceFolder, SentenceFolderError, Settings};
use crate::tokenize::{TokenizeError, Tokenizer};

/// Rows that go through the encoder at once; its own buffers are smaller still.
const TOKENS_AT_ONCE: usize = 1 << 14;

/// Flags that override what a folder says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub pooling: Option<Pooling>,
    pub max_length: Option<usize>,
}

/// A model folder, loaded.
#[derive(Clone)]
pub struct SentenceEncoder {
    pub encoder: Encoder,
    pub parameters: Parameters,
    pub tokenizer: Arc<Tokenizer>,
    /// Tokens of a sentence, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// Whether embeddings are scaled to length 1 at the end.
    pub normalize: bool,
    /// What is put before each sentence.
    pub prompt: Prompt,
    /// The folder's prompts, and what else it says of embeddings as a whole.
    pub settings: Arc<Settings>,
}

#[derive(Debug, Error)]
pub enum ModelError {
    #[error("{0} is not a folder; --model takes a folder, builtin, or a Hugging Face id")]
    NotAFolder(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Folder(#[from] SentenceFolderError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// More values of an embedding were asked for than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("--dimensions is {asked}, but embeddings of this model have {most} values; ask for at most that")]
pub struct TooManyDimensions {
    pub asked: usize,
    pub most: usize,
}

/// What a folder's small files say, all of which is refused or followed before its weights are read.
struct Description {
    said: SentenceFolder,
    /// Where the transformer's own files are.
    transformer: PathBuf,
    /// The pooling that config.json notes.
    noted: Option<Pooling>,
    config: EncoderConfig,
    tokenizer: Tokenizer,
}

impl Description {
    fn read(folder: &Path) -> Result<Self, ModelError> {
        let said = SentenceFolder::read(folder)?;
        let transformer = said.transformer_in(folder);
        let config = EncoderConfig::from_folder(&transformer)?;
        let tokenizer = Tokenizer::from_folder(&transformer)?;
        tokenizer.fits(config.dimensions.vocab_size)?;
        let noted = noted_pooling(&transformer)?;
        Ok(Description { said, transformer, noted, config, tokenizer })
    }
}

impl SentenceEncoder {
    /// Loads a Hugging Face or sentence-transformers folder.
    pub fn load(folder: &Path, overrides: Overrides, device: &Device) -> Result<Self, ModelError> {
        if !folder.is_dir() {
            return Err(ModelError::NotAFolder(folder.display().to_string()));
        }
        let Description { said, transformer, noted, config, tokenizer } = Description::read(folder)?;
        let most = config.max_sequence_length();
        if let Some(asked) = overrides.max_length.filter(|&asked| asked > most) {
            return Err(ModelError::TooLong { asked, most });
        }
        let folder_length = said.max_seq_length.or(tokenizer.max_length_of_folder()).unwrap_or(most);
        let pooling = overrides.pooling.unwrap_or_else(|| default_pooling(&said, noted, &config));
        let mut encoder = Encoder::new(config, pooling);
        encoder.modules = Arc::new(modules::read(&said, encoder.config.dimensions.hidden_size)?);
        let parameters = read_parameters(&transformer, &encoder.layout(), DType::F32, device)?;
        Ok(SentenceEncoder {
            encoder,
            parameters,
            tokenizer: Arc::new(tokenizer),
            max_length: overrides.max_length.unwrap_or(folder_length.min(most)),
            // A truncation comes last of all, and the modules have what is before it.
            normalize: said.normalize && said.settings.truncate_dim.is_none(),
            prompt: Prompt {
                text: said.settings.default_prompt().to_owned(),
                left_out: said.leaves_prompt_out,
            },
            settings: Arc::new(said.settings),
        })
    }

    /// The same encoder with another prompt.
    pub fn with_prompt(&self, text: &str) -> Self {
        let prompt = Prompt { text: text.to_owned(), ..self.prompt };
        SentenceEncoder { prompt, ..self.clone() }
    }

    /// Scales embeddings to length 1, or does not, whatever the folder says.
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

/// What [`SentenceEncoder::load`] asks of a model's small files, read as it reads them.
pub struct Loadable;

impl crate::hub::Admission for Loadable {
    fn configuration(&self, transformer: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        EncoderConfig::from_folder(transformer)?;
        Ok(())
    }

    fn description(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Description::read(folder)?;
        Ok(())
    }
}

/// The length of an embedding.
pub(crate) fn norm<'a>(values: impl IntoIterator<Item = &'a f32>) -> f32 {
    values.into_iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

/// The key in config.json under which this program notes a pooling that 1_Pooling cannot express.
pub const POOLING_KEY: &str = "mirror_pooling";

fn default_pooling(said: &SentenceFolder, noted: Option<Pooling>, config: &EncoderConfig) -> Pooling {
    noted.unwrap_or(match (said.pooling, config.architecture) {
        (Some(PoolingMode::Mean), _) | (None, Architecture::Bert) => Pooling::Mean,
        (Some(PoolingMode::Cls), _) | (None, Architecture::Roberta) => Pooling::Cls,
    })
}

/// The pooling that a folder's config.json notes, where it is one that 1_Pooling cannot express.
///
/// # Errors
/// It notes something that is no pooling.
pub fn noted_pooling(transformer: &Path) -> Result<Option<Pooling>, SentenceFolderError> {
    let file = transformer.join("config.json");
    // A file that cannot be read, or is no JSON, is the encoder's configuration's to refuse.
    let json = std::fs::read(&file).ok().and_then(|text| crate::json::from_slice::<Value>(&text).ok());
    let Some(noted) = json.as_ref().and_then(|json| json.get(POOLING_KEY)).filter(|noted| !noted.is_null())
    else {
        return Ok(None);
    };
    let pooling = noted.as_str().and_then(|name| name.parse().ok());
    pooling.map(Some).ok_or_else(|| {
        let names = Pooling::ALL.map(Pooling::name).join(", ");
        let problem = format!("{POOLING_KEY:?} is {}, expected one of {names}", shortened(noted));
        SentenceFolderError { file, problem }
    })
}

impl sts_eval::Encode for SentenceEncoder {
    type Error = ModelError;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, ModelError> {
        SentenceEncoder::encode(self, sentences)
    }
}
