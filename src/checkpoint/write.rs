//! Writing a sentence encoder as a folder that sentence-transformers and transformers load as it is.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::read::{WeightsError, read_pooler};
use super::tensors;
use crate::encoder::Pooling;
use crate::output::{OutputError, write_whole, write_whole_with};
use crate::sentence_encoder::{POOLING_KEY, SentenceEncoder};
use crate::sentence_folder::SETTINGS;
use crate::tokenize::TokenizeError;

#[derive(Debug, Error)]
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
    #[error("cannot write the configuration: {0}")]
    Toml(#[from] toml::ser::Error),
}

/// What is saved.
pub struct Saved<'a> {
    pub encoder: &'a SentenceEncoder,
    /// The folder that training started from.
    pub source: &'a Path,
    /// README.md, in Markdown.
    pub model_card: &'a str,
}

/// The name of the resolved configuration in an output folder.
pub const CONFIGURATION: &str = "train.toml";

/// The weights' name in an output folder: a folder that has it is complete.
pub const WEIGHTS: &str = "model.safetensors";

/// Writes all files of a trained sentence encoder. Each is written whole, the weights last: a folder
/// with model.safetensors is complete.
pub fn save(saved: &Saved, folder: &Path) -> Result<(), SaveError> {
    let encoder = saved.encoder;
    encoder.tokenizer.write_to(folder, encoder.max_length)?;
    write_json(&folder.join("config.json"), &config(saved)?)?;
    write_modules(encoder, folder)?;
    write_whole(&folder.join("README.md"), saved.model_card.as_bytes())?;
    let pooler = read_pooler(saved.source, &encoder.encoder.layout())?;
    let weights = [(String::new(), &encoder.parameters)];
    Ok(write_whole_with(&folder.join(WEIGHTS), |file| tensors::write(&weights, &pooler, file))?)
}

/// Saves the resolved configuration, which `--config` takes back.
pub fn write_configuration(options: &impl Serialize, folder: &Path) -> Result<(), SaveError> {
    let text = toml::to_string(options)?;
    Ok(write_whole(&folder.join(CONFIGURATION), text.as_bytes())?)
}

pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), SaveError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| SaveError::Json { path: path.to_owned(), source })?;
    Ok(write_whole(path, format!("{text}\n").as_bytes())?)
}

pub(crate) fn read_json(path: &Path) -> Result<Value, SaveError> {
    let text = std::fs::read(path).map_err(|source| SaveError::Source { path: path.to_owned(), source })?;
    crate::json::from_slice(&text).map_err(|source| SaveError::Json { path: path.to_owned(), source })
}

/// The source's config.json with what is no longer true of it changed: the weights are f32.
fn config(saved: &Saved) -> Result<Value, SaveError> {
    let mut config = base_config(saved.encoder, saved.source)?;
    config["dtype"] = json!("float32");
    config["torch_dtype"] = json!("float32");
    Ok(config)
}

/// The source's config.json without a head, and with the pooling noted where 1_Pooling cannot say it.
pub(crate) fn base_config(encoder: &SentenceEncoder, source: &Path) -> Result<Value, SaveError> {
    let mut config = read_json(&source.join("config.json"))?;
    config["architectures"] = json!([encoder.encoder.config.architecture.description().class]);
    let pooling = encoder.encoder.pooling;
    match config.as_object_mut() {
        Some(fields) if matches!(pooling, Pooling::Mean | Pooling::Cls) => {
            fields.shift_remove(POOLING_KEY);
        }
        _ => config[POOLING_KEY] = json!(pooling.name()),
    }
    Ok(config)
}

/// The files by which sentence-transformers knows how to pool, and what comes before and after it.
pub(crate) fn write_modules(encoder: &SentenceEncoder, folder: &Path) -> Result<(), SaveError> {
    let mut modules = vec![
        json!({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}),
        json!({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}),
    ];
    modules.extend(super::modules::write(&encoder.encoder.modules, encoder.normalize, folder)?);
    let cls = encoder.encoder.pooling == Pooling::Cls;
    let mut pooling = json!({
        "word_embedding_dimension": encoder.encoder.config.dimensions.hidden_size,
        "pooling_mode_cls_token": cls,
        "pooling_mode_mean_tokens": !cls,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
    });
    // Older versions do not know the key, so it is only there where it is needed.
    if encoder.prompt.left_out {
        pooling["include_prompt"] = json!(false);
    }
    let pooling_folder = folder.join("1_Pooling");
    std::fs::create_dir_all(&pooling_folder)
        .map_err(|source| OutputError::Write { path: pooling_folder.clone(), source })?;
    write_json(&folder.join("modules.json"), &json!(modules))?;
    write_json(&pooling_folder.join("config.json"), &pooling)?;
    // The tokenizer's own settings say whether text is lower-cased.
    let transformer = json!({"max_seq_length": encoder.max_length, "do_lower_case": false});
    write_json(&folder.join("sentence_bert_config.json"), &transformer)?;
    let mut settings = encoder.settings.all.clone();
    settings.entry("similarity_fn_name").or_insert_with(|| json!("cosine"));
    write_json(&folder.join(SETTINGS), &Value::Object(settings))
}
