//! A sentence encoder's graph as a file: the contract between what writes one ([`export`](crate::export)) and what runs
//! one ([`onnx`](crate::onnx)).
//!
//! [`proto`] is the part of ONNX's format that such a graph needs, [`header`] a file's metadata.

pub mod header;
pub mod proto;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The graph's inputs, int64 `[batch, sequence]`.
pub const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// The output of the last layer, f32 `[batch, sequence, hidden]`.
pub const LAST_HIDDEN_STATE: &str = "last_hidden_state";

/// The sentences' embeddings, f32 `[batch, width]`.
pub const SENTENCE_EMBEDDING: &str = "sentence_embedding";

/// What a head gives, f32 `[batch, outputs]`.
pub const LOGITS: &str = "logits";

/// In what numbers a graph computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// As trained.
    F32,
    /// Weights and hidden states in f16; LayerNorm's sums, pooling and the outputs in f32.
    F16,
    /// Linear layers in eight bits: weights by columns, activations by each batch's own range.
    Int8,
}

impl Precision {
    /// All, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

    /// As it is written on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }

    /// The graph's place in an exported folder, as the hub's tools look for it.
    pub fn file(self) -> &'static str {
        match self {
            Precision::F32 => "onnx/model.onnx",
            Precision::F16 => "onnx/model_fp16.onnx",
            Precision::Int8 => "onnx/model_int8.onnx",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Precision::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| format!("precision {name:?} is not known; f32, f16 and int8 are"))
    }
}

/// What the file of weights is called, next to a graph's: `model.onnx_data`.
pub fn data_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("_data");
    path.with_file_name(name)
}
