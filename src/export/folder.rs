//! What lies beside the graphs: all that a client needs to get from text to the graph's inputs, and from
//! its outputs to an embedding.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use thiserror::Error;

use super::{Precision, write_graph};
use crate::classifier::ClassifierError;
use crate::encoder::Pooling;
use crate::model_folder::SaveError;
use crate::model_folder::write::read_json;
use crate::onnx::OnnxError;
use crate::output::{OutputError, write_json};
use crate::sentence_encoder::SentenceEncoder;
use crate::tokenize::TokenizeError;

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ExportError {
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Onnx(Box<OnnxError>),
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// What to export, and how.
pub struct Export<'a> {
    /// What is written as graphs.
    pub model: &'a SentenceEncoder,
    /// The folder that the model was loaded from, whose config.json is taken over.
    pub source: &'a Path,
    /// One graph each.
    pub precisions: &'a [Precision],
    /// The version of ONNX's operators that graphs are written for.
    pub opset: u32,
    /// Bytes of weights beyond which they go to a file of their own.
    pub largest_file: usize,
}

/// Writes the graphs and all files beside them into an empty folder. Returns the graphs' files.
pub fn write_folder(export: &Export, folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let graphs = folder.join("onnx");
    fs::create_dir(&graphs).map_err(|source| OutputError::Write { path: graphs.clone(), source })?;
    let mut files = Vec::new();
    for &precision in export.precisions {
        let path = folder.join(precision.file());
        files.extend(write_graph(export.model.into(), precision, export.opset, &path, export.largest_file)?);
    }
    export.model.contents(export.source).write_small_files(folder, |config| {
        mark_external(config, export.model.encoder.config.pad_token_id, &files);
    })?;
    limit_length(export.model.max_length, folder)?;
    Ok(files)
}

/// Cuts at the model's own length whichever file a client asks for it: some read tokenizer.json's truncation, some
/// tokenizer_config.json's model_max_length.
pub(super) fn limit_length(max_length: usize, folder: &Path) -> Result<(), SaveError> {
    let path = folder.join("tokenizer_config.json");
    let mut config = read_json(&path)?;
    config["model_max_length"] = json!(max_length);
    Ok(write_json(&path, &config)?)
}

/// What clients of graphs look for in config.json.
pub(super) fn mark_external(config: &mut Value, pad_token_id: u32, files: &[PathBuf]) {
    config["pad_token_id"] = json!(pad_token_id);
    // transformers.js fetches a separate file of weights only where this says that there is one.
    let external: Vec<&str> =
        files.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix("_data")).collect();
    if !external.is_empty() {
        let chunks: serde_json::Map<String, Value> =
            external.into_iter().map(|name| (name.to_owned(), json!(1))).collect();
        config["transformers.js_config"] = json!({ "use_external_data_format": chunks });
    }
}

/// Warnings of a pooling that clients do not know, or cannot take from the graph.
pub fn pooling_warnings(model: &SentenceEncoder) -> Vec<String> {
    let pooling = model.encoder.pooling;
    let unknown = match pooling {
        Pooling::Mean | Pooling::Cls => None,
        Pooling::MeanPadded | Pooling::FirstLastAvg => Some(format!(
            "the pooling {pooling} is in the graph's sentence_embedding; a client that pools last_hidden_state \
             itself (sentence-transformers) takes the plain mean instead"
        )),
    };
    // The graph's inputs say which tokens to attend to, and nothing of a prompt.
    let prompt = model.prompt.left_out.then(|| {
        "1_Pooling leaves a prompt's tokens out, but the graph's sentence_embedding is pooled over all; \
         sentence-transformers and mirror pool last_hidden_state themselves, and leave them out"
            .to_owned()
    });
    let modules = (!model.encoder.modules.is_empty()).then(|| {
        "the modules after pooling are in the graph's sentence_embedding; a client that pools last_hidden_state itself \
         and is not sentence-transformers goes without them"
            .to_owned()
    });
    unknown.into_iter().chain(prompt).chain(modules).collect()
}
