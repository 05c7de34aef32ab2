//! From a folder's files to the tokenizer library's tokenizer.
//!
//! Every source becomes the JSON form first (vocab.txt and vocab.json + merges.txt as the Python classes would
//! build them), then one path checks it, applies tokenizer_config.json, parses it and adds tokens.

use super::check;
use super::class;
use super::source::Source;
use crate::quote::{quoted, reason};
use crate::tokenize::TokenizeError;
use crate::tokenize::config::{ROLES, TokenizerClass, TokenizerConfig};
use serde_json::{Map, Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use tokenizers::{AddedToken, Encoding, ModelWrapper, PostProcessorWrapper, Token, Tokenizer as Pieces};

/// The parsed tokenizer without truncation and padding, and the ids it puts around a sentence.
pub(super) struct Built {
    pub pieces: Pieces,
    pub prefix: Vec<u32>,
    pub suffix: Vec<u32>,
}

pub(super) fn build(
    source: &Source,
    config: &mut TokenizerConfig,
    lower_case_first: bool,
) -> Result<Built, TokenizeError> {
    let (file, mut json) = read_json_form(source, config)?;
    check::model(&file, &json)?;
    name_model(&mut json);
    use_class(&json, config);
    check::post_processor(&file, json.get("post_processor"))?;
    adjust(&mut json, config, lower_case_first);
    let mut pieces = parse(&file, &json)?;
    add_tokens(source, config, &mut pieces)?;
    let (mut prefix, mut suffix) = special_frame(&file, &pieces)?;
    if prefix.is_empty() && suffix.is_empty() {
        let post_processor = class_post_processor(&file, config, &pieces)?;
        pieces.with_post_processor(Some(post_processor));
        (prefix, suffix) = special_frame(&file, &pieces)?;
    }
    Ok(Built { pieces, prefix, suffix })
}

/// The folder's tokenizer as the value of a tokenizer.json, with the file that errors should name.
fn read_json_form(
    source: &Source,
    config: &mut TokenizerConfig,
) -> Result<(PathBuf, Map<String, Value>), TokenizeError> {
    if let Some(json) = source.object("tokenizer.json")? {
        return Ok((source.path("tokenizer.json"), json));
    }
    class::refuse_foreign_vocabulary(source)?;
    // Where no class is named, the files decide; a class that is named has files of its own.
    let is_unnamed = config.class_name.is_none();
    if (is_unnamed || config.class.is_word_piece())
        && let Some(vocab) = source.text("vocab.txt")?
    {
        if is_unnamed {
            config.class = TokenizerClass::Bert;
        }
        return Ok((source.path("vocab.txt"), word_piece(&vocab, config)));
    }
    if (is_unnamed || config.class == TokenizerClass::Roberta)
        && let (Some(vocab), Some(merges)) = (source.object("vocab.json")?, source.text("merges.txt")?)
    {
        config.class = TokenizerClass::Roberta;
        return Ok((source.path("vocab.json"), byte_level_bpe(vocab, &merges, config)));
    }
    let folder = source.folder.clone();
    match (&config.class_name, VOCABULARIES.iter().any(|file| source.path(file).is_file())) {
        (Some(class), true) => Err(TokenizeError::Unfit { folder, class: quoted(class) }),
        _ => Err(TokenizeError::Missing { folder }),
    }
}

/// Files that hold the vocabulary of some class.
const VOCABULARIES: [&str; 3] = ["vocab.txt", "vocab.json", "merges.txt"];

/// Old files do not name their model's type; the library goes by what the model has, and so do all rules after this.
fn name_model(json: &mut Map<String, Value>) {
    let Some(model) = json.get_mut("model") else { return };
    if model.get("type").is_some_and(Value::is_string) {
        return;
    }
    let untyped = model.clone();
    // What cannot be read is reported where the whole file is parsed.
    if let Ok(Ok(read)) = catch_unwind(|| serde_json::from_value::<ModelWrapper>(untyped)) {
        model["type"] = match read {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
        .into();
    }
}

/// A class only rules a tokenizer.json of its own kind; the file's truncation side counts where the config has none.
fn use_class(json: &Map<String, Value>, config: &mut TokenizerConfig) {
    let model = json.get("model").and_then(|model| model.get("type")).and_then(Value::as_str);
    match (config.class, model) {
        (TokenizerClass::Bert | TokenizerClass::Mpnet, Some("WordPiece"))
        | (TokenizerClass::Roberta, Some("BPE"))
        | (TokenizerClass::SentencePiece, Some("Unigram")) => {}
        _ => config.class = TokenizerClass::FromJson,
    }
    if !config.json.contains_key("truncation_side") {
        let direction = json.get("truncation").and_then(|truncation| truncation.get("direction"));
        config.truncate_left = direction.and_then(Value::as_str) == Some("Left");
    }
}

/// vocab.txt: one token a line, its id the line's number from 0.
fn word_piece(vocab: &str, config: &TokenizerConfig) -> Map<String, Value> {
    let ids: Map<String, Value> =
        vocab.lines().enumerate().map(|(id, token)| (token.trim_end().to_owned(), Value::from(id))).collect();
    json_form(json!({
        "normalizer": config.bert_normalizer(),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": config.token("unk_token"), "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    }))
}

/// vocab.json and merges.txt ("left right" a line, in order of rank, after a #version line).
fn byte_level_bpe(vocab: Map<String, Value>, merges: &str, config: &TokenizerConfig) -> Map<String, Value> {
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    json_form(json!({
        "normalizer": null,
        "pre_tokenizer": config.roberta_pre_tokenizer(),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocab, "merges": merges},
    }))
}

fn json_form(rules: Value) -> Map<String, Value> {
    let mut json = Map::new();
    json.insert("version".into(), "1.0".into());
    json.insert("added_tokens".into(), json!([]));
    json.insert("post_processor".into(), Value::Null);
    if let Value::Object(rules) = rules {
        json.extend(rules);
    }
    json
}

/// Sets what `transformers` sets in a tokenizer.json: its class's switches come from tokenizer_config.json. The
/// file's own truncation and padding go, since a length is the caller's to choose.
fn adjust(json: &mut Map<String, Value>, config: &TokenizerConfig, lower_case_first: bool) {
    json.insert("truncation".into(), Value::Null);
    json.insert("padding".into(), Value::Null);
    let kind =
        |value: Option<&Value>| value.and_then(|v| v.get("type")).and_then(Value::as_str).map(str::to_owned);
    let normalizer = kind(json.get("normalizer"));
    let pre_tokenizer = kind(json.get("pre_tokenizer"));
    match config.class {
        TokenizerClass::Bert | TokenizerClass::Mpnet => {
            if matches!(normalizer.as_deref(), None | Some("BertNormalizer")) {
                let mut rebuilt = config.bert_normalizer();
                if let Some(clean_text) = json.get("normalizer").and_then(|n| n.get("clean_text")) {
                    rebuilt["clean_text"] = clean_text.clone();
                }
                json.insert("normalizer".into(), rebuilt);
            }
            if pre_tokenizer.is_none() {
                json.insert("pre_tokenizer".into(), json!({"type": "BertPreTokenizer"}));
            }
        }
        TokenizerClass::Roberta => match pre_tokenizer.as_deref() {
            None => drop(json.insert("pre_tokenizer".into(), config.roberta_pre_tokenizer())),
            Some("ByteLevel") => json["pre_tokenizer"]["add_prefix_space"] = config.add_prefix_space.into(),
            Some(_) => {}
        },
        TokenizerClass::SentencePiece => {
            if let Some(pre_tokenizer) = json.get_mut("pre_tokenizer") {
                set_prefix_space(pre_tokenizer, config.add_prefix_space);
            }
        }
        TokenizerClass::FromJson => {}
    }
    if lower_case_first {
        prepend_lowercase(json);
    }
}

/// Whether every piece of text gets a ▁ at its beginning, in each Metaspace.
fn set_prefix_space(pre_tokenizer: &mut Value, add: bool) {
    if pre_tokenizer.get("type").and_then(Value::as_str) == Some("Metaspace") {
        pre_tokenizer["prepend_scheme"] = if add { "always" } else { "never" }.into();
        // The older name of the same; a value that contradicts the scheme would be an error.
        if let Some(older) = pre_tokenizer.get_mut("add_prefix_space") {
            *older = add.into();
        }
    }
    for nested in pre_tokenizer.get_mut("pretokenizers").and_then(Value::as_array_mut).into_iter().flatten() {
        set_prefix_space(nested, add);
    }
}

/// sentence-transformers' do_lower_case: a normalizer before all others, so that special tokens in the text keep
/// their case.
fn prepend_lowercase(json: &mut Map<String, Value>) {
    let is_lowercase = |value: &Value| value.get("type").and_then(Value::as_str) == Some("Lowercase");
    let current = json.get("normalizer").cloned().unwrap_or(Value::Null);
    let mut steps = match current.get("normalizers").and_then(Value::as_array) {
        Some(steps) => steps.clone(),
        None if current.is_null() => Vec::new(),
        None => vec![current],
    };
    if !steps.iter().any(is_lowercase) {
        steps.insert(0, json!({"type": "Lowercase"}));
        json.insert("normalizer".into(), json!({"type": "Sequence", "normalizers": steps}));
    }
}

fn parse(file: &PathBuf, json: &Map<String, Value>) -> Result<Pieces, TokenizeError> {
    let bytes = serde_json::to_vec(json).map_err(|error| TokenizeError::file(file, reason(error)))?;
    // The library's parsers of rarer parts (templates, character maps) can panic on contradictory values.
    match catch_unwind(|| Pieces::from_bytes(&bytes)) {
        Ok(Ok(pieces)) => Ok(pieces),
        Ok(Err(error)) => {
            Err(TokenizeError::file(file, format!("not a tokenizer that is known here: {error}")))
        }
        Err(_) => Err(TokenizeError::file(file, "its parts contradict each other")),
    }
}

/// Adds, in the order of `transformers`: listed tokens by id, then those that have a role, then the others.
fn add_tokens(source: &Source, config: &TokenizerConfig, pieces: &mut Pieces) -> Result<(), TokenizeError> {
    let add = |pieces: &mut Pieces, tokens: Vec<AddedToken>| {
        let added = pieces.add_tokens(tokens);
        added.map_err(|error| {
            TokenizeError::file(&source.folder, format!("its added tokens clash: {}", reason(error)))
        })
    };
    add(pieces, config.added.iter().map(|(_, token)| token.clone()).collect())?;
    for (id, token) in &config.added {
        let got = pieces.token_to_id(&token.content);
        if got != Some(*id) {
            let problem = format!(
                "the added token {} should have id {id}, but the vocabulary gives it {}",
                quoted(&token.content),
                got.map_or("none".into(), |id| id.to_string())
            );
            return Err(TokenizeError::file(&source.folder, problem));
        }
    }
    let known: Vec<String> =
        pieces.get_added_tokens_decoder().into_values().map(|token| token.content.clone()).collect();
    let mut tokens: Vec<AddedToken> = Vec::new();
    for role in ROLES {
        match config.special.iter().find(|(name, _)| *name == role) {
            Some((_, token)) => tokens.push(token.clone()),
            None => tokens.extend(default_special_token(config, role, pieces)),
        }
    }
    tokens.extend(config.extra.iter().cloned());
    tokens.retain(|token| !known.contains(&token.content));
    add(pieces, tokens)?;
    Ok(())
}

/// The class's token for `role`, where the vocabulary has it. RoBERTa's mask takes the blank before it, as in its
/// pretraining, so that `left <mask> right` has no token of a lone blank.
fn default_special_token(config: &TokenizerConfig, role: &str, pieces: &Pieces) -> Option<AddedToken> {
    let content = config.default_token(role)?;
    pieces.token_to_id(content)?;
    let takes_blank = config.class.masks_with_blank() && role == "mask_token";
    Some(AddedToken::from(content, true).lstrip(takes_blank))
}

/// `[CLS] … [SEP]` or `<s> … </s>` with the ids that the tokens got. Of a pair, BERT's second text is of type 1, and the
/// others have two separators between the texts.
fn class_post_processor(
    file: &PathBuf,
    config: &TokenizerConfig,
    pieces: &Pieces,
) -> Result<PostProcessorWrapper, TokenizeError> {
    if config.class == TokenizerClass::FromJson {
        let problem = "adds no special tokens around a sentence, which an encoder needs: name BertTokenizer or \
                       RobertaTokenizer as \"tokenizer_class\" in tokenizer_config.json to have them added";
        return Err(TokenizeError::file(file, problem));
    }
    let find = |role: &str| {
        let token = config.token(role).unwrap_or_default();
        let id = pieces.token_to_id(token);
        let id = id
            .ok_or_else(|| TokenizeError::file(file, format!("has no token {}, the {role}", quoted(token))));
        id.map(|id| (token, id))
    };
    let (first, last) = match config.class {
        TokenizerClass::SentencePiece => ("bos_token", "eos_token"),
        _ => ("cls_token", "sep_token"),
    };
    let (cls, sep) = (find(first)?, find(last)?);
    let json = if config.class == TokenizerClass::Roberta {
        json!({"type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": config.trim_offsets,
               "add_prefix_space": config.add_prefix_space})
    } else {
        let special = |token: &str, type_id: u8| json!({"SpecialToken": {"id": token, "type_id": type_id}});
        let sequence = |name: &str, type_id: u8| json!({"Sequence": {"id": name, "type_id": type_id}});
        let named = |token: (&str, u32)| json!({"id": token.0, "ids": [token.1], "tokens": [token.0]});
        let single = vec![special(cls.0, 0), sequence("A", 0), special(sep.0, 0)];
        let mut pair = single.clone();
        match config.class {
            TokenizerClass::Bert => pair.extend([sequence("B", 1), special(sep.0, 1)]),
            _ => pair.extend([special(sep.0, 0), sequence("B", 0), special(sep.0, 0)]),
        }
        json!({
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {cls.0: named(cls), sep.0: named(sep)},
        })
    };
    serde_json::from_value(json).map_err(|error| TokenizeError::file(file, reason(error)))
}

/// The ids before and after a sentence, found by letting the post-processor frame one impossible id.
fn special_frame(file: &PathBuf, pieces: &Pieces) -> Result<(Vec<u32>, Vec<u32>), TokenizeError> {
    const SENTENCE: u32 = u32::MAX;
    let wrong = |problem: &str| TokenizeError::file(file, format!("its post_processor {problem}"));
    let framed = catch_unwind(AssertUnwindSafe(|| {
        let sentence = Encoding::from_tokens(vec![Token::new(SENTENCE, String::new(), (0, 0))], 0);
        pieces.post_process(sentence, None, true)
    }));
    let framed = framed.map_err(|_| wrong("names a special token that it does not define"))?;
    let framed = framed.map_err(|error| wrong(&format!("fails: {error}")))?;
    let mut parts = framed.get_ids().split(|id| *id == SENTENCE);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(prefix), Some(suffix), None) => Ok((prefix.to_vec(), suffix.to_vec())),
        _ => Err(wrong("should hold the sentence exactly once")),
    }
}
