//! The README.md of an exported folder: what is in it and how to use it.

use std::fmt::Write;

use super::Precision;
use crate::encoder::Pooling;
use crate::sentence_encoder::SentenceEncoder;

/// A model card with the front matter that model hubs read.
pub fn card(model: &SentenceEncoder, precisions: &[Precision]) -> String {
    let mut card = String::from(
        "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\ntags:\n- sentence-transformers\n\
         - sentence-similarity\n- feature-extraction\n- onnx\n- transformers.js\n---\n\n# A sentence encoder as ONNX\n\n",
    );
    let (width, pooling) = (model.width(), model.encoder.pooling);
    let scaled = if model.normalize { ", scaled to length 1" } else { "" };
    let modules = match model.encoder.modules.is_empty() {
        true => String::new(),
        false => format!(", {}", model.encoder.modules),
    };
    let inputs = match model.encoder.config.has_token_types() {
        true => "`input_ids`, `attention_mask` and `token_type_ids`",
        false => "`input_ids` and `attention_mask`",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        card,
        "Maps a sentence of at most {} tokens to {width} numbers whose cosine tells how alike two sentences are. \
         Exported by `mirror {}`.\n\n\
         Each graph takes {inputs} (int64, `[batch, sequence]`) and gives \
         `sentence_embedding` (f32, `[batch, {width}]`: pooling `{pooling}`{modules}{scaled}) and `last_hidden_state`.\n\n\
         | graph | numbers |\n|---|---|",
        model.max_length,
        env!("CARGO_PKG_VERSION"),
    );
    for precision in precisions {
        let numbers = match precision {
            Precision::F32 => "f32",
            Precision::F16 => "f16 within, f32 outside",
            Precision::Int8 => "linear layers in int8 (dynamic, per channel), the rest in f32",
        };
        let _ = writeln!(card, "| `{}` | {numbers} |", precision.file());
    }
    if !model.prompt.text.is_empty() {
        let _ = writeln!(
            card,
            "\nIt wants the prompt {:?} before each sentence, which sentence-transformers and `mirror` put there; with \
             other clients it is for you to do.",
            model.prompt.text
        );
    }
    if matches!(pooling, Pooling::Mean | Pooling::Cls) {
        card.push_str(
            "\n```python\nfrom sentence_transformers import SentenceTransformer\n\n\
             model = SentenceTransformer(\"path/to/this/folder\", backend=\"onnx\")\n\
             embeddings = model.encode([\"A man is playing a guitar.\"])\n```\n",
        );
    } else {
        let _ = writeln!(
            card,
            "\nTake `sentence_embedding`: the pooling `{pooling}` is not one that sentence-transformers knows, which \
             would take the plain mean."
        );
    }
    card
}
