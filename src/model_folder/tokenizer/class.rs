//! The Python class that `AutoTokenizer` picks for a folder, as far as it changes the ids: the class that
//! tokenizer_config.json names, else the one that config.json names, else the one of config.json's model_type.
//! A class with rules of its own that are not computed here is refused by its name.

use super::source::Source;
use crate::quote::{quoted, shortened};
use crate::tokenize::TokenizeError;
use crate::tokenize::config::TokenizerClass;
use serde_json::{Map, Value};

/// A class and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub class: TokenizerClass,
    /// The class's name in Python; none where a folder names neither a class nor a known model_type.
    pub name: Option<String>,
}

impl Choice {
    pub fn read(source: &Source, tokenizer_config: &Map<String, Value>) -> Result<Self, TokenizeError> {
        const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
        const CONFIG: &str = "config.json";
        refuse_custom_code(source, TOKENIZER_CONFIG, tokenizer_config)?;
        let config = source.object(CONFIG)?.unwrap_or_default();
        for (file, object) in [(TOKENIZER_CONFIG, tokenizer_config), (CONFIG, &config)] {
            match object.get("tokenizer_class") {
                None | Some(Value::Null) => {}
                Some(Value::String(name)) => return Self::named(source, file, name),
                Some(other) => {
                    let problem = format!("\"tokenizer_class\" is {}, expected a name", shortened(other));
                    return Err(TokenizeError::file(source.path(file), problem));
                }
            }
        }
        Ok(Self::of_model_type(config.get("model_type").and_then(Value::as_str)))
    }

    fn named(source: &Source, file: &str, name: &str) -> Result<Self, TokenizeError> {
        let class = match name.strip_suffix("Fast").unwrap_or(name) {
            // The others are BertTokenizer under other names.
            "BertTokenizer"
            | "DistilBertTokenizer"
            | "ElectraTokenizer"
            | "MobileBertTokenizer"
            | "ConvBertTokenizer"
            | "LayoutLMTokenizer"
            | "LxmertTokenizer"
            | "SqueezeBertTokenizer" => TokenizerClass::Bert,
            "MPNetTokenizer" => TokenizerClass::Mpnet,
            "RobertaTokenizer"
            | "BartTokenizer"
            | "LongformerTokenizer"
            | "LEDTokenizer"
            | "MvpTokenizer" => TokenizerClass::Roberta,
            "XLMRobertaTokenizer" | "CamembertTokenizer" => TokenizerClass::SentencePiece,
            "PreTrainedTokenizer" | "TokenizersBackend" | "PythonBackend" => TokenizerClass::FromJson,
            _ => return Err(unknown(source, file, name)),
        };
        Ok(Choice { class, name: Some(name.to_owned()) })
    }

    fn of_model_type(model_type: Option<&str>) -> Self {
        let (class, name) = match model_type {
            Some("bert" | "electra") => (TokenizerClass::Bert, "BertTokenizer"),
            Some("distilbert") => (TokenizerClass::Bert, "DistilBertTokenizer"),
            Some("mpnet") => (TokenizerClass::Mpnet, "MPNetTokenizer"),
            Some("roberta") => (TokenizerClass::Roberta, "RobertaTokenizer"),
            Some("xlm-roberta") => (TokenizerClass::SentencePiece, "XLMRobertaTokenizer"),
            Some("camembert") => (TokenizerClass::SentencePiece, "CamembertTokenizer"),
            _ => return Choice { class: TokenizerClass::FromJson, name: None },
        };
        Choice { class, name: Some(name.to_owned()) }
    }
}

fn unknown(source: &Source, file: &str, name: &str) -> TokenizeError {
    let otherwise = match source.path("tokenizer.json").is_file() {
        true => "; where tokenizer.json alone gives the same tokens, name PreTrainedTokenizerFast instead",
        false => "",
    };
    let problem = format!(
        "\"tokenizer_class\" is {}, whose rules are not known here; BertTokenizer, DistilBertTokenizer, \
         MPNetTokenizer, RobertaTokenizer, XLMRobertaTokenizer, CamembertTokenizer and PreTrainedTokenizerFast are{otherwise}",
        quoted(name)
    );
    TokenizeError::file(source.path(file), problem)
}

/// `auto_map` names a class in a Python file of the model's own.
fn refuse_custom_code(source: &Source, file: &str, json: &Map<String, Value>) -> Result<(), TokenizeError> {
    let named = match json.get("auto_map") {
        Some(Value::Object(map)) => map.get("AutoTokenizer"),
        other => other,
    };
    let first = named.and_then(|value| match value {
        Value::Array(classes) => classes.iter().find_map(Value::as_str),
        value => value.as_str(),
    });
    match first {
        Some(class) => {
            let problem = format!(
                "\"auto_map\" names a tokenizer in Python code of the model's own, {}, which is not run here",
                quoted(class)
            );
            Err(TokenizeError::file(source.path(file), problem))
        }
        None => Ok(()),
    }
}

/// Vocabularies of tokenizers whose rules are not computed here.
const FOREIGN: [(&str, &str); 7] = [
    ("bpe.codes", "the merges of PhobertTokenizer or BertweetTokenizer"),
    ("sentencepiece.bpe.model", "a sentencepiece model"),
    ("spiece.model", "a sentencepiece model"),
    ("spm.model", "a sentencepiece model"),
    ("sentencepiece.model", "a sentencepiece model"),
    ("tokenizer.model", "a sentencepiece or tiktoken model"),
    ("tiktoken.model", "a tiktoken model"),
];

/// Refuses a folder without tokenizer.json that has one of these vocabularies.
pub(super) fn refuse_foreign_vocabulary(source: &Source) -> Result<(), TokenizeError> {
    for (file, what) in FOREIGN {
        let path = source.path(file);
        if path.is_file() {
            let advice = match file {
                "bpe.codes" => "its rules are not known here",
                _ => {
                    "write its tokenizer.json once, in Python: \
                     AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
                }
            };
            return Err(TokenizeError::file(
                path,
                format!("is {what}, and there is no tokenizer.json; {advice}"),
            ));
        }
    }
    Ok(())
}
