//! A folder's tokenizer settings beside the vocabulary: tokenizer_config.json and its older
//! neighbours (special_tokens_map.json, added_tokens.json), read as `transformers` reads them.

use super::class::Choice;
use super::source::{Source, unexpected};
use super::switches;
use crate::quote::quoted;
use crate::tokenize::TokenizeError;
use crate::tokenize::config::{ROLES, TokenizerClass, TokenizerConfig};
use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

impl TokenizerConfig {
    pub(super) fn read(source: &Source) -> Result<Self, TokenizeError> {
        const FILE: &str = "tokenizer_config.json";
        let json = source.object(FILE)?.unwrap_or_default();
        let mut merged = json.clone();
        let mut added = Vec::new();
        if let Some(decoder) = json.get("added_tokens_decoder").filter(|value| !value.is_null()) {
            added = added_tokens_decoder(source, decoder)?;
        } else {
            // Older folders spread the same over two more files.
            merged.extend(source.object("special_tokens_map.json")?.unwrap_or_default());
            added = added_tokens_file(source, &merged, added)?;
        }
        let flag = |key: &str, default: bool| match json.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(unexpected(source, FILE, key, other, "true or false")),
        };
        let Choice { class, name: class_name } = Choice::read(source, &json)?;
        switches::refuse_unknown(source, class, &json)?;
        Ok(Self {
            class,
            class_name,
            do_lower_case: flag("do_lower_case", true)?,
            tokenize_chinese_chars: flag("tokenize_chinese_chars", true)?,
            strip_accents: match json.get("strip_accents") {
                None | Some(Value::Null) => None,
                Some(_) => Some(flag("strip_accents", false)?),
            },
            add_prefix_space: flag("add_prefix_space", class == TokenizerClass::SentencePiece)?,
            trim_offsets: flag("trim_offsets", true)?,
            model_max_length: model_max_length(source, &json)?,
            truncate_left: switches::side(source, "truncation_side", &json)? == Some("left"),
            special: special_tokens(source, &merged, &added)?,
            extra: extra_tokens(source, &merged)?,
            added,
            json,
        })
    }

    /// The normalizer that `BertTokenizer` builds.
    pub fn bert_normalizer(&self) -> Value {
        json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": self.tokenize_chinese_chars,
               "strip_accents": self.strip_accents, "lowercase": self.do_lower_case})
    }

    /// The pre-tokenizer that `RobertaTokenizer` builds.
    pub fn roberta_pre_tokenizer(&self) -> Value {
        json!({"type": "ByteLevel", "add_prefix_space": self.add_prefix_space, "trim_offsets": true, "use_regex": true})
    }
}

/// Lengths from this on mean "no limit": `transformers` writes int(1e30).
const NO_MAX_LENGTH: f64 = 1e9;

fn model_max_length(source: &Source, json: &Map<String, Value>) -> Result<Option<usize>, TokenizeError> {
    match json.get("model_max_length") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(length) if length >= NO_MAX_LENGTH => Ok(None),
            Some(length) if length >= 1.0 => Ok(Some(length as usize)),
            _ => Err(unexpected(
                source,
                "tokenizer_config.json",
                "model_max_length",
                value,
                "a positive number",
            )),
        },
    }
}

fn special_tokens(
    source: &Source,
    merged: &Map<String, Value>,
    added: &[(u32, AddedToken)],
) -> Result<Vec<(&'static str, AddedToken)>, TokenizeError> {
    let mut special = Vec::new();
    for role in ROLES {
        let Some(value) = merged.get(role).filter(|value| !value.is_null()) else { continue };
        let mut token = added_token(value, true)
            .ok_or_else(|| unexpected(source, "tokenizer_config.json", role, value, "a token"))?;
        // The list of added tokens knows how a token takes the blanks around it; a bare name does not.
        if let Some((_, listed)) = added.iter().find(|(_, listed)| listed.content == token.content) {
            token = listed.clone();
        }
        token.special = true;
        special.push((role, token));
    }
    Ok(special)
}

/// In the order of `transformers`: keys of the model's own (`"entity_token": "<ent>"`), then those with names or in a
/// list; a list under the newer key replaces one under the older.
fn extra_tokens(source: &Source, merged: &Map<String, Value>) -> Result<Vec<AddedToken>, TokenizeError> {
    let own = merged.iter().filter(|(key, _)| key.ends_with("_token") && !ROLES.contains(&key.as_str()));
    let mut tokens: Vec<AddedToken> = own
        .filter(|(_, value)| value.is_string())
        .filter_map(|(_, value)| added_token(value, true))
        .collect();
    let newer = merged.get("extra_special_tokens");
    let has_list = newer.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let older = (!has_list).then_some("additional_special_tokens");
    for key in ["extra_special_tokens"].into_iter().chain(older) {
        let values: Vec<&Value> = match merged.get(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values.iter().collect(),
            Some(Value::Object(named)) => named.values().collect(),
            Some(other) => {
                return Err(unexpected(source, "tokenizer_config.json", key, other, "a list of tokens"));
            }
        };
        for value in values {
            let token = added_token(value, true);
            tokens.push(
                token.ok_or_else(|| unexpected(source, "tokenizer_config.json", key, value, "a token"))?,
            );
        }
    }
    Ok(tokens)
}

/// tokenizer_config.json's `{"id": token, …}`.
fn added_tokens_decoder(source: &Source, decoder: &Value) -> Result<Vec<(u32, AddedToken)>, TokenizeError> {
    let wrong = |value: &Value| {
        unexpected(
            source,
            "tokenizer_config.json",
            "added_tokens_decoder",
            value,
            "an object of id and token",
        )
    };
    let mut tokens = Vec::new();
    for (id, value) in decoder.as_object().ok_or_else(|| wrong(decoder))? {
        let id = id.parse().map_err(|_| wrong(&Value::from(id.as_str())))?;
        tokens.push((id, added_token(value, false).ok_or_else(|| wrong(value))?));
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens)
}

/// added_tokens.json's `{"token": id, …}`; those that have a role are special.
fn added_tokens_file(
    source: &Source,
    merged: &Map<String, Value>,
    mut tokens: Vec<(u32, AddedToken)>,
) -> Result<Vec<(u32, AddedToken)>, TokenizeError> {
    const FILE: &str = "added_tokens.json";
    let special: Vec<String> = special_tokens(source, merged, &[])?
        .into_iter()
        .map(|(_, token)| token.content)
        .chain(extra_tokens(source, merged)?.into_iter().map(|token| token.content))
        .collect();
    for (content, id) in source.object(FILE)?.unwrap_or_default() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| {
            TokenizeError::file(
                source.path(FILE),
                format!("the id of {} is not a token id", quoted(&content)),
            )
        })?;
        let is_special = special.contains(&content);
        tokens.push((id, AddedToken::from(content, is_special)));
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens)
}

/// A token as a bare string or as an object with its flags.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content, special));
    }
    let object = value.as_object()?;
    let flag = |key: &str, default: bool| object.get(key).map_or(Some(default), Value::as_bool);
    let special = flag("special", special)?;
    Some(AddedToken {
        content: object.get("content")?.as_str()?.to_owned(),
        single_word: flag("single_word", false)?,
        lstrip: flag("lstrip", false)?,
        rstrip: flag("rstrip", false)?,
        normalized: flag("normalized", !special)?,
        special,
    })
}
