//! A model's folder, as transformers and sentence-transformers keep it: read, and written.
//!
//! Reading goes from the small files to the large ones. What changes embeddings is followed or refused by name, before
//! any weights are read:
//!
//! 1. [`sentence`]: modules.json and the files that it points at: where the transformer lies, pooling, the modules
//!    after it, prompts.
//! 2. [`config`]: the transformer's config.json, as an [`EncoderConfig`].
//! 3. [`tokenizer`]: tokenizer.json or an older vocabulary with its settings, as a [`Tokenizer`].
//! 4. [`weights`]: the transformer's tensors, from safetensors or PyTorch's pickle, whole or in shards; [`modules`]:
//!    those of the modules after pooling.
//!
//! [`ModelFolder`] holds 1 to 3. [`mod@write`] writes all of it again, for sentence-transformers and transformers to load.
//! Weights and tokenizers are types of rooms below, which know nothing of files.

pub mod config;
pub mod head;
pub mod modules;
pub mod sentence;
pub mod tokenizer;
pub mod weights;
pub mod words;
pub mod write;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::{EncoderConfig, Pooling};
use crate::tokenize::{TokenizeError, Tokenizer};
pub use config::ConfigError;
pub use modules::ModulesError;
pub use sentence::{
    ModuleConfig, ModuleKind, PoolingMode, SETTINGS, SentenceFolder, SentenceFolderError, Settings,
    TRANSFORMER_CONFIGS, UnknownPrompt,
};
pub use weights::{WEIGHTS, WeightsError, read_parameters};
pub use write::{Contents, SaveError};

/// A folder's small files, read.
pub struct ModelFolder {
    /// modules.json and the files that it points at.
    pub sentence: SentenceFolder,
    /// Where the transformer's own files are.
    pub transformer: PathBuf,
    /// The pooling that config.json notes, see [`config::POOLING_KEY`].
    pub noted_pooling: Option<Pooling>,
    /// That of the transformer.
    pub config: EncoderConfig,
    /// That of the transformer's folder.
    pub tokenizer: Tokenizer,
}

/// A small file that is missing, malformed, or asks for what is not supported.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum FolderError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Sentence(#[from] SentenceFolderError),
}

impl ModelFolder {
    /// Reads all small files of a folder, and checks that they belong together.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        let sentence = SentenceFolder::read(folder)?;
        let transformer = sentence.transformer_in(folder);
        let config = EncoderConfig::from_folder(&transformer)?;
        let tokenizer = Tokenizer::from_folder(&transformer)?;
        tokenizer.fits(config.dimensions.vocab_size)?;
        let noted_pooling = config::noted_pooling(&transformer)?;
        Ok(ModelFolder { sentence, transformer, noted_pooling, config, tokenizer })
    }

    /// The pooling that the folder asks for, else the one that its kind of model is known for.
    pub fn pooling(&self) -> Pooling {
        self.noted_pooling.unwrap_or(match self.sentence.pooling {
            Some(PoolingMode::Mean) => Pooling::Mean,
            Some(PoolingMode::Cls) => Pooling::Cls,
            None => self.config.architecture.description().defaults.pooling,
        })
    }

    /// Tokens of a sentence, special ones included, beyond which it is cut.
    pub fn max_length(&self) -> usize {
        let most = self.config.max_sequence_length();
        let asked = self.sentence.max_seq_length.or(self.tokenizer.max_length_of_folder());
        asked.map_or(most, |asked| asked.min(most))
    }
}
