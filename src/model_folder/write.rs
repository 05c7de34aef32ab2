//! Writing a sentence encoder as a folder that sentence-transformers and transformers load as it is.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use thiserror::Error;

use super::config::POOLING_KEY;
use super::weights::read::read_pooler;
use super::weights::{WEIGHTS, WeightsError, tensors};
use super::{SETTINGS, Settings, modules};
use crate::encoder::Encoder;
use crate::model::Pooling;
use crate::output::{OutputError, write_json, write_whole, write_whole_with};
use crate::tokenize::{TokenizeError, Tokenizer};
use crate::weights::Parameters;

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum SaveError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot read {path} again: {source}")]
    Source { path: PathBuf, source: std::io::Error },
    #[error("{path} is not the JSON that it was: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
}

/// What the small files of a folder are written from.
pub struct Contents<'a> {
    /// Configuration, pooling and modules.
    pub encoder: &'a Encoder,
    /// Written as transformers reads it.
    pub tokenizer: &'a Tokenizer,
    /// Tokens of a sentence, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// Whether embeddings are scaled to length 1 at the end.
    pub normalize: bool,
    /// Whether pooling leaves out the tokens of a prompt.
    pub leaves_prompt_out: bool,
    /// Prompts, and what else is kept from the folder that training started from.
    pub settings: &'a Settings,
    /// The folder of the transformer that the encoder was loaded from, whose config.json is taken over.
    pub source: &'a Path,
}

impl Contents<'_> {
    /// Writes all files of a trained encoder. Each is written whole, the weights last: a folder with
    /// model.safetensors is complete.
    ///
    /// # Errors
    /// A file of the source cannot be read again, or one cannot be written.
    pub fn save(&self, weights: &Parameters, model_card: &str, folder: &Path) -> Result<(), SaveError> {
        self.write_small_files(folder, |config| {
            config["dtype"] = json!("float32");
            config["torch_dtype"] = json!("float32");
        })?;
        write_whole(&folder.join("README.md"), model_card.as_bytes())?;
        let pooler = read_pooler(self.source, &self.encoder.layout())?;
        let weights = [(String::new(), weights)];
        Ok(write_whole_with(&folder.join(WEIGHTS), |file| tensors::write(&weights, &pooler, file))?)
    }

    /// Writes all that clients need beside weights or graphs: the tokenizer, config.json with the changes that `adapt`
    /// makes to it, modules and settings.
    ///
    /// # Errors
    /// As [`Contents::save`].
    pub fn write_small_files(&self, folder: &Path, adapt: impl FnOnce(&mut Value)) -> Result<(), SaveError> {
        self.tokenizer.write_to(folder, self.max_length)?;
        let mut config = self.config()?;
        adapt(&mut config);
        write_json(&folder.join("config.json"), &config)?;
        self.write_modules(folder)
    }

    /// The source's config.json without a head, and with the pooling noted where 1_Pooling cannot say it.
    fn config(&self) -> Result<Value, SaveError> {
        let mut config = read_json(&self.source.join("config.json"))?;
        config["architectures"] = json!([self.encoder.config.architecture.description().class]);
        let pooling = self.encoder.pooling;
        match config.as_object_mut() {
            Some(fields) if matches!(pooling, Pooling::Mean | Pooling::Cls) => {
                fields.shift_remove(POOLING_KEY);
            }
            _ => config[POOLING_KEY] = json!(pooling.name()),
        }
        Ok(config)
    }

    /// The files by which sentence-transformers knows how to pool, and what comes before and after it.
    fn write_modules(&self, folder: &Path) -> Result<(), SaveError> {
        let mut listed = vec![
            json!({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}),
            json!({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}),
        ];
        listed.extend(modules::write(&self.encoder.modules, self.normalize, folder)?);
        let cls = self.encoder.pooling == Pooling::Cls;
        let mut pooling = json!({
            "word_embedding_dimension": self.encoder.config.dimensions.hidden_size,
            "pooling_mode_cls_token": cls,
            "pooling_mode_mean_tokens": !cls,
            "pooling_mode_max_tokens": false,
            "pooling_mode_mean_sqrt_len_tokens": false,
        });
        // Older versions do not know the key, so it is only there where it is needed.
        if self.leaves_prompt_out {
            pooling["include_prompt"] = json!(false);
        }
        let pooling_folder = folder.join("1_Pooling");
        std::fs::create_dir_all(&pooling_folder)
            .map_err(|source| OutputError::Write { path: pooling_folder.clone(), source })?;
        write_json(&folder.join("modules.json"), &json!(listed))?;
        write_json(&pooling_folder.join("config.json"), &pooling)?;
        // The tokenizer's own settings say whether text is lower-cased.
        let transformer = json!({"max_seq_length": self.max_length, "do_lower_case": false});
        write_json(&folder.join("sentence_bert_config.json"), &transformer)?;
        let mut settings = self.settings.all.clone();
        settings.entry("similarity_fn_name").or_insert_with(|| json!("cosine"));
        Ok(write_json(&folder.join(SETTINGS), &settings)?)
    }
}

pub(crate) fn read_json(path: &Path) -> Result<Value, SaveError> {
    let text = std::fs::read(path).map_err(|source| SaveError::Source { path: path.to_owned(), source })?;
    crate::json::from_slice(&text).map_err(|source| SaveError::Json { path: path.to_owned(), source })
}
