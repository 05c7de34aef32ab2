//! Switches of tokenizer_config.json that change the ids in ways that are not computed here: refused by name, where
//! the class would follow them.

use super::source::{Source, unexpected};
use crate::tokenize::TokenizeError;
use crate::tokenize::config::TokenizerClass;
use serde_json::{Map, Value};

const FILE: &str = "tokenizer_config.json";

pub(super) fn refuse_unknown(
    source: &Source,
    class: TokenizerClass,
    json: &Map<String, Value>,
) -> Result<(), TokenizeError> {
    let is = |key: &str, value: bool| json.get(key).and_then(Value::as_bool) == Some(value);
    let refused = |key: &str, expected: &str| Err(unexpected(source, FILE, key, &json[key], expected));
    // Masks are written into the text before it is tokenized.
    if is("split_special_tokens", true) {
        return refused("split_special_tokens", "false: special tokens in a text are kept whole here");
    }
    // BertJapaneseTokenizer's, with or without its name.
    for (key, known) in [("word_tokenizer_type", "basic"), ("subword_tokenizer_type", "wordpiece")] {
        if json.get(key).is_some_and(|value| !value.is_null() && value != known) {
            return refused(key, &format!("{known:?}, the only one that is known here"));
        }
    }
    // Files for other versions of transformers, of which it takes the newest that it may.
    if let Some(Value::Array(files)) = json.get("fast_tokenizer_files")
        && files.iter().any(|file| file != "tokenizer.json")
    {
        return refused("fast_tokenizer_files", "tokenizer.json alone: the other files are not read here");
    }
    side(source, "padding_side", json)?;
    if !class.is_word_piece() {
        return Ok(());
    }
    if is("do_basic_tokenize", false) {
        return refused("do_basic_tokenize", "true: words are always split at punctuation here");
    }
    if let Some(Value::Array(words)) = json.get("never_split")
        && !words.is_empty()
    {
        return refused("never_split", "none: list these as added tokens");
    }
    if side(source, "padding_side", json)? == Some("left") {
        return refused("padding_side", "\"right\": padding before a sentence would move its positions");
    }
    Ok(())
}

/// `truncation_side` or `padding_side`.
pub(super) fn side<'a>(
    source: &Source,
    key: &str,
    json: &'a Map<String, Value>,
) -> Result<Option<&'a str>, TokenizeError> {
    match json.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(side)) if side == "left" || side == "right" => Ok(Some(side)),
        Some(other) => Err(unexpected(source, FILE, key, other, "\"left\" or \"right\"")),
    }
}
