//! A sentence encoder as an ONNX graph, in a folder that third-party tools load as it is.
//!
//! 1. [`encoder`] and [`pooling`] put the model into a graph, layer by layer, with [`graph`] for nodes and
//!    [`weights`] for constants; [`mod@file`] writes it ([`onnx_file::proto`](crate::onnx_file::proto) is the part of
//!    the format that it needs).
//! 2. [`folder`] writes what belongs beside it: tokenizer, configuration, pooling modules.
//! 3. [`verify`] runs both, the model here and the file by ONNX Runtime, and measures how far apart they are.
//!
//! [`classifier`] does the same for a model with a head, whose graph gives `logits`.
//!
//! The graph takes `input_ids`, `attention_mask` and, of a model that has token types, `token_type_ids`, int64
//! `[batch, sequence]`, and gives
//! `last_hidden_state`, f32 `[batch, sequence, hidden]`, and `sentence_embedding`, f32 `[batch, width]`,
//! pooled, through the modules after pooling, and normalised, as the model says.

use std::path::{Path, PathBuf};

use candle_core::Result;

use crate::encoder::{Encoder, Parameters, Pooling};
pub use crate::onnx_file::Precision;
use crate::onnx_file::data_file;
use crate::onnx_file::header::WEIGHTS_SHA256;
use crate::sentence_encoder::SentenceEncoder;

pub mod card;
pub mod classifier;
pub mod encoder;
pub mod file;
pub mod folder;
pub mod graph;
mod modules;
pub mod pooling;
mod relative;
pub mod sentences;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod weights;

pub use file::LARGEST_FILE;
pub use folder::{ExportError, write_folder};

/// The operator sets that graphs can be written for. Before 13 axes were given otherwise; what came after
/// 23 is younger than most tools.
pub const OPSETS: std::ops::RangeInclusive<u32> = 13..=23;

/// The first operator set with LayerNormalization, which most tools have known for years.
pub const DEFAULT_OPSET: u32 = 17;

/// What a graph is made from: a sentence encoder without its tokenizer.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// What is written.
    pub encoder: &'a Encoder,
    /// Its weights.
    pub parameters: &'a Parameters,
    /// Tokens to which mean-padded pooling pads.
    pub max_length: usize,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
}

impl<'a> From<&'a SentenceEncoder> for Source<'a> {
    fn from(model: &'a SentenceEncoder) -> Self {
        Source {
            encoder: &model.encoder,
            parameters: &model.parameters,
            max_length: model.max_length,
            normalize: model.normalize,
        }
    }
}

/// The graph of a model. `opset` is one of [`OPSETS`].
pub fn build(model: Source, precision: Precision, opset: u32) -> Result<graph::GraphBuilder> {
    let config = &model.encoder.config;
    let mut graph = graph::GraphBuilder::new(opset);
    graph.metadata = vec![
        ("pooling", model.encoder.pooling.to_string()),
        ("normalized", model.normalize.to_string()),
        ("max_length", model.max_length.to_string()),
        ("precision", precision.to_string()),
        (WEIGHTS_SHA256, model.parameters.sha256()?),
    ];
    let mut encoder = encoder::EncoderGraph::new(graph, config, model.parameters, precision);
    let given = encoder.inputs();
    let padded = (model.encoder.pooling == Pooling::MeanPadded)
        .then(|| pooling::pad(&mut encoder.graph, &given, model.max_length, config.pad_token_id));
    let tokens = padded.as_ref().unwrap_or(&given);
    let states = encoder.hidden_states(tokens)?;
    Ok(pooling::outputs(
        encoder,
        &given,
        tokens,
        states,
        model.encoder.pooling,
        &model.encoder.modules,
        model.normalize,
    ))
}

/// Writes the graph of a model to `path`, with its weights in a file beside it where they are more than
/// `largest` bytes. Returns the files.
pub fn write_graph(
    model: Source,
    precision: Precision,
    opset: u32,
    path: &Path,
    largest: usize,
) -> std::result::Result<Vec<PathBuf>, ExportError> {
    let graph = build(model, precision, opset)?;
    let external = file::write(graph, path, largest)
        .map_err(|source| crate::output::OutputError::Write { path: path.to_owned(), source })?;
    let beside = external.then(|| data_file(path));
    Ok([path.to_owned()].into_iter().chain(beside).collect())
}
