//! The tokenizer's files for an output folder, such that `AutoTokenizer` and sentence-transformers make the same ids.

use super::source::Source;
use crate::output::{write_json, write_whole};
use crate::tokenize::config::{ROLES, TokenizerClass};
use crate::tokenize::{TokenizeError, Tokenizer};
use serde_json::{Map, Value, json};
use std::path::Path;
use tokenizers::{AddedToken, PaddingParams, PaddingStrategy, TruncationParams};

/// The vocabulary in the older forms, copied as they are where the folder has them.
const VOCABULARY_FILES: [&str; 3] = ["vocab.txt", "vocab.json", "merges.txt"];

/// The classes that take BERT's switches.
const WORD_PIECE_CLASSES: [&str; 3] = ["BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer"];

pub(super) fn vocabulary_files(source: &Source) -> Result<Vec<(&'static str, Vec<u8>)>, TokenizeError> {
    let mut files = Vec::new();
    for name in VOCABULARY_FILES {
        files.extend(source.bytes(name)?.map(|bytes| (name, bytes)));
    }
    Ok(files)
}

impl Tokenizer {
    /// Writes tokenizer.json (truncating to `max_length`, padding to the longest), tokenizer_config.json,
    /// special_tokens_map.json, and vocab.txt or vocab.json and merges.txt where the source had them.
    ///
    /// # Errors
    /// A file cannot be written; no half-written file stays.
    pub fn write_to(&self, dir: &Path, max_length: usize) -> Result<(), TokenizeError> {
        write_whole(&dir.join("tokenizer.json"), &self.json(max_length)?)?;
        write_json(&dir.join("tokenizer_config.json"), &self.config_json())?;
        write_json(&dir.join("special_tokens_map.json"), &self.special_tokens_map())?;
        for (name, bytes) in &self.vocabulary_files {
            write_whole(&dir.join(name), bytes)?;
        }
        Ok(())
    }

    fn json(&self, max_length: usize) -> Result<Vec<u8>, TokenizeError> {
        let special = self.special_tokens();
        if max_length < special {
            return Err(TokenizeError::MaxLengthTooShort { max_length, special });
        }
        let mut pieces = self.pieces.clone();
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            TokenizeError::file("tokenizer.json", error.to_string())
        };
        let direction = if self.config.truncate_left {
            tokenizers::TruncationDirection::Left
        } else {
            tokenizers::TruncationDirection::Right
        };
        pieces
            .with_truncation(Some(TruncationParams { max_length, direction, ..Default::default() }))
            .map_err(failed)?;
        pieces.with_padding(self.pad.map(|pad_id| PaddingParams {
            strategy: PaddingStrategy::BatchLongest,
            pad_id,
            pad_token: self.pieces.id_to_token(pad_id).unwrap_or_default(),
            ..Default::default()
        }));
        pieces.to_string(false).map(String::into_bytes).map_err(failed)
    }

    /// The source's tokenizer_config.json with every switch that changes ids spelt out, and without what only held
    /// on the machine where it was written.
    fn config_json(&self) -> Map<String, Value> {
        let mut json = self.config.json.clone();
        for local in [
            "name_or_path",
            "tokenizer_file",
            "special_tokens_map_file",
            "vocab_file",
            "merges_file",
            "auto_map",
        ] {
            json.shift_remove(local);
        }
        if self.config.model_max_length.is_none() {
            // The 1e30 that stands for no limit, which is a reader's default as well.
            json.shift_remove("model_max_length");
        }
        let class = self.python_class();
        json.insert("tokenizer_class".into(), class.clone().into());
        if WORD_PIECE_CLASSES.contains(&class.as_str()) {
            json.insert("do_lower_case".into(), self.config.do_lower_case.into());
            json.insert("tokenize_chinese_chars".into(), self.config.tokenize_chinese_chars.into());
            json.insert("strip_accents".into(), self.config.strip_accents.into());
        }
        if class == "RobertaTokenizer" {
            json.insert("add_prefix_space".into(), self.config.add_prefix_space.into());
            json.insert("trim_offsets".into(), self.config.trim_offsets.into());
        }
        for (role, token) in self.roles() {
            json.insert(role.into(), token.content.into());
        }
        let mut added: Vec<(u32, AddedToken)> = self.pieces.get_added_tokens_decoder().into_iter().collect();
        added.sort_by_key(|(id, _)| *id);
        let added: Map<String, Value> =
            added.into_iter().map(|(id, token)| (id.to_string(), json!(token))).collect();
        json.insert("added_tokens_decoder".into(), added.into());
        json
    }

    fn special_tokens_map(&self) -> Map<String, Value> {
        let value = |token: AddedToken| match (
            token.lstrip,
            token.rstrip,
            token.single_word,
            token.normalized,
        ) {
            (false, false, false, false) => Value::from(token.content),
            (lstrip, rstrip, single_word, normalized) => {
                json!({"content": token.content, "lstrip": lstrip, "normalized": normalized, "rstrip": rstrip,
                       "single_word": single_word})
            }
        };
        self.roles().into_iter().map(|(role, token)| (role.to_owned(), value(token))).collect()
    }

    /// The tokens that have a role, with their flags.
    fn roles(&self) -> Vec<(&'static str, AddedToken)> {
        let added = self.pieces.get_added_tokens_decoder();
        let token = |role: &&str| match *role {
            "mask_token" => self.mask.as_ref().map(|(_, id)| *id),
            "pad_token" => self.pad,
            role => self.config.token(role).and_then(|token| self.pieces.token_to_id(token)),
        };
        ROLES.into_iter().filter_map(|role| Some((role, added.get(&token(&role)?)?.clone()))).collect()
    }

    /// The class that makes these ids from the written files. `BertTokenizer` and `RobertaTokenizer` rebuild their
    /// rules instead of reading them, so a tokenizer with any other rule needs the class that only reads.
    fn python_class(&self) -> String {
        let read_only = "PreTrainedTokenizerFast";
        let class = match self.config.class {
            // DistilBERT's makes no token_type_ids, which its model does not take.
            TokenizerClass::Bert if self.has_rules_of_bert() => match &self.config.class_name {
                Some(name) if name.starts_with("DistilBertTokenizer") => "DistilBertTokenizer",
                _ => "BertTokenizer",
            },
            TokenizerClass::Mpnet if self.has_rules_of_bert() => "MPNetTokenizer",
            TokenizerClass::Roberta if self.has_rules_of_roberta() => "RobertaTokenizer",
            _ => read_only,
        };
        class.to_owned()
    }

    fn has_rules_of_bert(&self) -> bool {
        let model = json!(self.pieces.get_model());
        json!(self.pieces.get_normalizer()) == self.config.bert_normalizer()
            && json!(self.pieces.get_pre_tokenizer()) == json!({"type": "BertPreTokenizer"})
            && model["max_input_chars_per_word"] == 100
            && model["continuing_subword_prefix"] == "##"
            && model["unk_token"].as_str() == self.config.token("unk_token")
            && self.is_framed_by_roles()
    }

    fn has_rules_of_roberta(&self) -> bool {
        let model = json!(self.pieces.get_model());
        let unset = |key: &str| model[key].is_null() || model[key] == "" || model[key] == false;
        let pre_tokenizer = json!(self.pieces.get_pre_tokenizer());
        self.pieces.get_normalizer().is_none()
            && pre_tokenizer["type"] == "ByteLevel"
            && pre_tokenizer["use_regex"] == true
            && ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"]
                .into_iter()
                .all(unset)
            && ["fuse_unk", "byte_fallback", "ignore_merges"].into_iter().all(unset)
            && self.is_framed_by_roles()
    }

    fn is_framed_by_roles(&self) -> bool {
        let id = |role: &str| self.config.token(role).and_then(|token| self.pieces.token_to_id(token));
        self.prefix.iter().copied().eq(id("cls_token")) && self.suffix.iter().copied().eq(id("sep_token"))
    }
}
