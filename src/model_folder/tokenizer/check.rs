//! Checks of an untrusted tokenizer model that the library does not make: it copies merged tokens into a buffer of
//! the longest token's size, and finds out that the unknown token is missing only at the first unknown word.

use crate::quote::{quoted, shortened};
use crate::tokenize::TokenizeError;
use serde_json::{Map, Value};
use std::path::Path;

/// A WordPiece word takes time quadratic in its length; BERT's own limit is 100.
const MAX_WORD_CHARS: u64 = 1000;

/// Checks the value of a tokenizer.json's `model`.
pub(super) fn model(file: &Path, json: &Map<String, Value>) -> Result<(), TokenizeError> {
    let wrong = |problem: String| Err(TokenizeError::file(file, problem));
    let Some(model) = json.get("model").and_then(Value::as_object) else {
        return wrong("expected a tokenizer with a \"model\"".into());
    };
    // Unigram keeps its vocabulary as a list, which the library checks in full.
    let vocab = match model.get("vocab") {
        Some(Value::Object(vocab)) => vocab,
        Some(Value::Array(list)) if !list.is_empty() => return Ok(()),
        _ => return wrong("expected a vocabulary of tokens and ids".into()),
    };
    if vocab.is_empty() {
        return wrong("the vocabulary is empty".into());
    }
    for (token, id) in vocab {
        // u32::MAX marks the sentence's place while the special tokens around it are found.
        if id.as_u64().is_none_or(|id| id >= u64::from(u32::MAX)) {
            return wrong(format!(
                "the token {} has the id {}, expected a number from 0 up",
                quoted(token),
                shortened(id)
            ));
        }
    }
    if let Some(unknown) = model.get("unk_token").and_then(Value::as_str)
        && !vocab.contains_key(unknown)
    {
        let unknown = quoted(unknown);
        return wrong(format!("the vocabulary has no token {unknown}, which stands for unknown words"));
    }
    if let Some(length) = model.get("max_input_chars_per_word").and_then(Value::as_u64)
        && length > MAX_WORD_CHARS
    {
        return wrong(format!("max_input_chars_per_word is {length}, expected at most {MAX_WORD_CHARS}"));
    }
    match model.get("merges").and_then(Value::as_array) {
        Some(merges) => self::merges(file, model, vocab, merges),
        None => Ok(()),
    }
}

/// Checks that templates use only special tokens that they define.
pub(super) fn post_processor(file: &Path, value: Option<&Value>) -> Result<(), TokenizeError> {
    let Some(value) = value else { return Ok(()) };
    for nested in value.get("processors").and_then(Value::as_array).into_iter().flatten() {
        post_processor(file, Some(nested))?;
    }
    let defined = value.get("special_tokens").and_then(Value::as_object);
    let templates = ["single", "pair"].into_iter().filter_map(|key| value.get(key)?.as_array());
    for piece in templates.flatten() {
        let used = piece.pointer("/SpecialToken/id").and_then(Value::as_str);
        if let Some(used) = used.filter(|used| defined.is_none_or(|defined| !defined.contains_key(*used))) {
            let problem = format!("its post_processor uses the token {} without defining it", quoted(used));
            return Err(TokenizeError::file(file, problem));
        }
    }
    Ok(())
}

/// Each merge joins two tokens of the vocabulary into a third.
fn merges(
    file: &Path,
    model: &Map<String, Value>,
    vocab: &Map<String, Value>,
    merges: &[Value],
) -> Result<(), TokenizeError> {
    let continuing = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or("");
    let mut joined = String::new();
    for (rank, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(pair) => pair.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
            _ => None,
        };
        let merge_number = rank + 1;
        let Some((left, right)) = pair else {
            let shown = shortened(merge);
            return Err(TokenizeError::file(
                file,
                format!("merge {merge_number} is {shown}, expected two tokens"),
            ));
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(right.strip_prefix(continuing).unwrap_or(right));
        for token in [left, right, &joined] {
            if !vocab.contains_key(token) {
                let [left, right, token] = [left, right, token].map(quoted);
                let problem = format!(
                    "merge {merge_number} ({left} with {right}) needs {token}, which the vocabulary lacks"
                );
                return Err(TokenizeError::file(file, problem));
            }
        }
        if !right.starts_with(continuing) {
            let [right, continuing] = [right, continuing].map(quoted);
            let problem = format!("merge {merge_number}: {right} should begin with {continuing}");
            return Err(TokenizeError::file(file, problem));
        }
    }
    Ok(())
}
