//! An exported folder in use: text in, embeddings out, computed by ONNX Runtime.
//!
//! [`library`] finds and loads ONNX Runtime, which this program does not carry; [`session`] is a graph that
//! runs; [`OnnxEncoder`] is a folder: tokenizer, graph, length.

mod belongs;
pub mod encoder;
pub mod library;
mod outside;
pub mod session;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model_folder::{FolderError, ModulesError};
use crate::tokenize::TokenizeError;

pub use encoder::OnnxEncoder;
pub use library::Runtime;
pub use session::Graph;

/// The oldest ONNX Runtime whose interface this program speaks.
pub const OLDEST: &str = "1.24";

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum OnnxError {
    #[error(
        "ONNX Runtime is not on this machine: run scripts/fetch-onnxruntime, or name its library with --onnxruntime \
         or ORT_DYLIB_PATH"
    )]
    NoLibrary,
    #[error(
        "{path} cannot be used as ONNX Runtime: {reason}; a library of version {OLDEST} or later is needed"
    )]
    Library { path: PathBuf, reason: String },
    #[error("{path} is not a graph that ONNX Runtime loads: {reason}")]
    Graph { path: PathBuf, reason: String },
    #[error("{path} has the {what} {found}, but a sentence encoder has {expected}; mirror export writes one")]
    Interface { path: PathBuf, what: &'static str, found: String, expected: &'static str },
    #[error("{folder} has no {file}{}; mirror export writes one", others(found))]
    NoGraph { folder: PathBuf, file: &'static str, found: Vec<&'static str> },
    #[error(
        "{graph} was made from other weights than {weights}, which lies beside it; export it again with: {again}, or \
         remove it"
    )]
    Stale { graph: PathBuf, weights: PathBuf, again: String },
    #[error("{folder} is not a folder; --backend onnx takes a folder that mirror export wrote")]
    NotAFolder { folder: PathBuf },
    #[error("{path} fails on these sentences: {reason}")]
    Run { path: PathBuf, reason: String },
    #[error("--max-length is {asked}, but this graph was exported for {most} tokens at most")]
    TooLong { asked: usize, most: usize },
    #[error(
        "--max-length is {asked}, but this graph averages over {padded} tokens, padding included (its pooling is \
         mean-padded); export again with --max-length"
    )]
    Padded { asked: usize, padded: usize },
    #[error(
        "the prompt {} is left out of pooling, which this graph cannot do with its own pooling; export with --pooling mean or \
         cls, or give --prompt \"\"",
        crate::quote::quoted(prompt)
    )]
    PromptPooled { prompt: String },
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Folder(#[from] FolderError),
}

fn others(found: &[&str]) -> String {
    match found {
        [] => String::new(),
        found => format!(", but {}", found.join(" and ")),
    }
}

/// A message of ONNX Runtime or of the dynamic loader, which may take several lines, in one.
fn one_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.trim_end_matches('.').chars().take(400).collect()
}

fn graph_error(path: &Path, error: &impl std::fmt::Display) -> OnnxError {
    let text = one_line(error);
    // Before it stand the path, again, and a line of ONNX Runtime's source.
    let reason = text.split_once("failed:").map_or(text.as_str(), |(_, reason)| reason);
    let reason = match reason.contains("onnxruntime_src") {
        true => reason.rsplit_once(") ").map_or(reason, |(_, reason)| reason),
        false => reason,
    };
    OnnxError::Graph { path: path.to_owned(), reason: reason.trim().to_owned() }
}
