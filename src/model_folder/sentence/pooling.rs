//! 1_Pooling/config.json: how token embeddings become the sentence's.

use std::path::Path;

use serde_json::{Map, Value};

use super::SentenceFolderError;
use super::json::flag;
use crate::quote::{quoted, shortened};

/// How token embeddings become the sentence's: the kinds that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// The mean over the sentence's tokens, special tokens included.
    Mean,
    /// The first token.
    Cls,
}

/// Either form: `"pooling_mode": "mean"` (sentence-transformers 6) or `"pooling_mode_mean_tokens": true`.
pub(super) fn mode(file: &Path, config: &Map<String, Value>) -> Result<PoolingMode, SentenceFolderError> {
    const BOOLEANS: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    let mut modes: Vec<String> = Vec::new();
    match config.get("pooling_mode") {
        Some(Value::String(mode)) => modes.push(mode.clone()),
        Some(Value::Array(list)) => {
            modes.extend(
                list.iter().map(|mode| mode.as_str().map_or_else(|| mode.to_string(), str::to_owned)),
            );
        }
        Some(other) => {
            return Err(SentenceFolderError::new(
                file,
                format!("\"pooling_mode\" is {}, expected \"mean\" or \"cls\"", shortened(other)),
            ));
        }
        None => {
            for (key, mode) in BOOLEANS {
                if flag(file, key, config)? {
                    modes.push(mode.to_owned());
                }
            }
            // No mode at all means the mean in sentence-transformers.
            if modes.is_empty() {
                modes.push("mean".to_owned());
            }
        }
    }
    match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean"] => Ok(PoolingMode::Mean),
        ["cls"] => Ok(PoolingMode::Cls),
        _ => {
            let asked = quoted(&modes.join(" + "));
            Err(SentenceFolderError::new(
                file,
                format!("asks for the pooling {asked}, which is not supported; mean and cls are"),
            ))
        }
    }
}

/// Whether pooling leaves out the tokens of a prompt.
pub(super) fn leaves_prompt_out(
    file: &Path,
    config: &Map<String, Value>,
) -> Result<bool, SentenceFolderError> {
    match config.get("include_prompt") {
        None => Ok(false),
        Some(Value::Bool(included)) => Ok(!included),
        Some(other) => {
            let problem = format!("\"include_prompt\" is {}, expected true or false", shortened(other));
            Err(SentenceFolderError::new(file, problem))
        }
    }
}
