//! sentence_bert_config.json: the transformer module's settings beside its own config.json.

use std::path::Path;

use serde_json::{Map, Value};

use super::json::{flag, read_object, size};
use super::{SentenceFolder, SentenceFolderError};
use crate::quote::{quoted, shortened};

/// Names under which sentence-transformers has kept the transformer module's settings.
pub const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Arguments for loading weights that change how numbers are computed or stored, but not which function.
const HARMLESS_TO_WEIGHTS: [&str; 8] = [
    "trust_remote_code",
    "torch_dtype",
    "dtype",
    "attn_implementation",
    "add_pooling_layer",
    "use_safetensors",
    "low_cpu_mem_usage",
    "device_map",
];

/// Arguments for loading a tokenizer that leave a sentence's own tokens as they are.
const HARMLESS_TO_TOKENS: [&str; 4] =
    ["trust_remote_code", "use_fast", "clean_up_tokenization_spaces", "model_max_length"];

/// What a setting may be.
enum Allowed {
    /// It is read elsewhere, or makes no difference to embeddings.
    Anything,
    /// Nothing at all.
    Nothing,
    /// This text.
    Text(&'static str),
    /// Arguments of these names.
    Arguments(&'static [&'static str]),
}

fn allowed(key: &str) -> Allowed {
    match key {
        "max_seq_length" | "do_lower_case" | "unpad_inputs" | "modality_config" => Allowed::Anything,
        "transformer_task" => Allowed::Text("feature-extraction"),
        "module_output_name" => Allowed::Text("token_embeddings"),
        "model_args" | "model_kwargs" => Allowed::Arguments(&HARMLESS_TO_WEIGHTS),
        "tokenizer_args" | "processor_kwargs" => Allowed::Arguments(&HARMLESS_TO_TOKENS),
        "config_args" | "config_kwargs" => Allowed::Arguments(&["trust_remote_code"]),
        // query_length and the like, and what sentence-transformers itself would refuse.
        _ => Allowed::Nothing,
    }
}

/// The settings in `dir`/`transformer`: length and case. Others that change embeddings are refused.
pub(super) fn read(dir: &Path, transformer: &str) -> Result<SentenceFolder, SentenceFolderError> {
    let mut folder = SentenceFolder { transformer: transformer.into(), ..SentenceFolder::default() };
    for name in TRANSFORMER_CONFIGS {
        let file = dir.join(transformer).join(name);
        let Some(config) = read_object(&file)? else { continue };
        check(&file, &config)?;
        // The tokenizer's own argument wins, as in sentence-transformers.
        let of_tokenizer = ["processor_kwargs", "tokenizer_args"].into_iter().find_map(|key| {
            config.get(key)?.as_object().filter(|arguments| arguments.contains_key("model_max_length"))
        });
        folder.max_seq_length = match of_tokenizer {
            Some(arguments) => size(&file, "model_max_length", arguments)?,
            None => size(&file, "max_seq_length", &config)?,
        };
        folder.do_lower_case = flag(&file, "do_lower_case", &config)?;
        break;
    }
    Ok(folder)
}

fn check(file: &Path, config: &Map<String, Value>) -> Result<(), SentenceFolderError> {
    for (key, value) in config {
        let fits = match (allowed(key), value) {
            (Allowed::Anything, _) | (_, Value::Null) => true,
            (Allowed::Text(expected), Value::String(text)) => text == expected,
            (Allowed::Arguments(known), Value::Object(arguments)) => {
                if let Some(odd) = arguments.keys().find(|name| !known.contains(&name.as_str())) {
                    return Err(refused(file, &format!("{key}.{odd}"), &arguments[odd]));
                }
                true
            }
            (_, Value::Object(map)) => map.is_empty(),
            _ => false,
        };
        if !fits {
            return Err(refused(file, key, value));
        }
    }
    match config.get("modality_config") {
        None | Some(Value::Null) => Ok(()),
        Some(modalities) if is_plain_text(modalities) => Ok(()),
        Some(modalities) => Err(refused(file, "modality_config", modalities)),
    }
}

/// Whether the input is text alone, and the output the last hidden states.
fn is_plain_text(modalities: &Value) -> bool {
    let Some(modalities) = modalities.as_object() else { return false };
    let plain =
        |text: &Value| text["method"] == "forward" && text["method_output_name"] == "last_hidden_state";
    modalities.len() == 1 && modalities.get("text").is_some_and(plain)
}

fn refused(file: &Path, key: &str, value: &Value) -> SentenceFolderError {
    let problem = format!("sets {} to {}, which is not supported here", quoted(key), shortened(value));
    SentenceFolderError::new(file, problem)
}
