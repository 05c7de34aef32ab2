//! The transformer's config.json: BERT and RoBERTa, as transformers writes them.

use std::path::{Path, PathBuf};

use candle_transformers::models::bert::Config as BertConfig;
use serde_json::Value;
use thiserror::Error;

use super::SentenceFolderError;
use crate::json;
use crate::model::layout::Dimensions;
use crate::model::{Activation, Architecture, EncoderConfig, Pooling};
use crate::quote::{quoted, reason, shortened};

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ConfigError {
    #[error("{path}: {source}; a model folder needs a readable config.json")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a model configuration: {reason}")]
    Invalid { path: PathBuf, reason: String },
    #[error("{path} says model_type {found}; this program knows bert, roberta, xlm-roberta and camembert")]
    Architecture { path: PathBuf, found: String },
    #[error(
        "{folder} has an adapter_config.json: it adapts another model's weights; merge the two in Python with \
         peft's merge_and_unload, and write them with save_pretrained"
    )]
    Adapter { folder: PathBuf },
}

/// No size in a real configuration comes near this; a larger one is a corrupt or hostile file.
const LARGEST_SIZE: usize = 1 << 24;

impl EncoderConfig {
    /// Reads `config.json` of a model folder.
    pub fn from_folder(folder: &Path) -> Result<Self, ConfigError> {
        // transformers would load the model that it adapts, and then the adapter.
        if folder.join("adapter_config.json").is_file() {
            return Err(ConfigError::Adapter { folder: folder.to_owned() });
        }
        let path = folder.join("config.json");
        let text = std::fs::read(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::from_json(&text, &path)
    }

    /// Reads the text of a `config.json`; `path` is used in messages only.
    ///
    /// # Errors
    /// It is malformed, or not the configuration of an encoder that is computed here.
    pub fn from_json(text: &(impl AsRef<[u8]> + ?Sized), path: &Path) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError::Invalid { path: path.to_owned(), reason };
        let mut json: Value = json::from_slice(text.as_ref()).map_err(|e| invalid(reason(e)))?;
        let fields = json.as_object_mut().ok_or_else(|| invalid("it is not a JSON object".into()))?;

        let architecture = architecture(fields, path)?;
        let activation = activation(fields).map_err(invalid)?;
        refuse_variants(fields).map_err(invalid)?;
        // candle's enum knows fewer activation names than transformers; ours is read above.
        fields.insert("hidden_act".into(), "gelu".into());
        for (field, default) in
            [("initializer_range", 0.02), ("hidden_dropout_prob", 0.1), ("layer_norm_eps", 1e-12)]
        {
            if fields.get(field).is_none_or(Value::is_null) {
                fields.insert(field.into(), default.into());
            }
        }
        let default_pad = if architecture == Architecture::Bert { 0 } else { 1 };
        if fields.get("pad_token_id").is_none_or(Value::is_null) {
            fields.insert("pad_token_id".into(), default_pad.into());
        }
        fields.entry("type_vocab_size").or_insert_with(|| if default_pad == 0 { 2.into() } else { 1.into() });
        let config: BertConfig = serde_json::from_value(json).map_err(|e| invalid(reason(e)))?;
        Self::from_bert(&config, architecture, activation).map_err(invalid)
    }

    fn from_bert(c: &BertConfig, architecture: Architecture, activation: Activation) -> Result<Self, String> {
        let sizes = [
            ("vocab_size", c.vocab_size),
            ("hidden_size", c.hidden_size),
            ("num_hidden_layers", c.num_hidden_layers),
            ("num_attention_heads", c.num_attention_heads),
            ("intermediate_size", c.intermediate_size),
            ("max_position_embeddings", c.max_position_embeddings),
            ("type_vocab_size", c.type_vocab_size),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|&(_, s)| s == 0 || s > LARGEST_SIZE) {
            return Err(format!("{name} is {size}"));
        }
        if c.num_hidden_layers > 1024 {
            return Err(format!("num_hidden_layers is {}", c.num_hidden_layers));
        }
        if !c.hidden_size.is_multiple_of(c.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                c.hidden_size, c.num_attention_heads
            ));
        }
        if !(c.layer_norm_eps > 0.0 && c.layer_norm_eps < 1.0) {
            return Err(format!("layer_norm_eps is {}", c.layer_norm_eps));
        }
        if c.pad_token_id >= c.vocab_size {
            return Err(format!(
                "pad_token_id {} lies outside a vocabulary of {}",
                c.pad_token_id, c.vocab_size
            ));
        }
        let config = EncoderConfig {
            architecture,
            dimensions: Dimensions {
                vocab_size: c.vocab_size,
                max_position_embeddings: c.max_position_embeddings,
                type_vocab_size: c.type_vocab_size,
                hidden_size: c.hidden_size,
                intermediate_size: c.intermediate_size,
                num_hidden_layers: c.num_hidden_layers,
            },
            num_attention_heads: c.num_attention_heads,
            activation,
            layer_norm_eps: c.layer_norm_eps,
            pad_token_id: c.pad_token_id as u32,
        };
        if config.max_sequence_length() < 3 {
            return Err(format!(
                "max_position_embeddings {} leaves no room for a token",
                c.max_position_embeddings
            ));
        }
        Ok(config)
    }
}

/// The key in config.json under which this program notes a pooling that 1_Pooling cannot express.
pub const POOLING_KEY: &str = "mirror_pooling";

/// The pooling that a folder's config.json notes, where it is one that 1_Pooling cannot express.
///
/// # Errors
/// It notes something that is no pooling.
pub fn noted_pooling(transformer: &Path) -> Result<Option<Pooling>, SentenceFolderError> {
    let file = transformer.join("config.json");
    // A file that cannot be read, or is no JSON, is the encoder's configuration's to refuse.
    let json = std::fs::read(&file).ok().and_then(|text| json::from_slice::<Value>(&text).ok());
    let Some(noted) = json.as_ref().and_then(|json| json.get(POOLING_KEY)).filter(|noted| !noted.is_null())
    else {
        return Ok(None);
    };
    let pooling = noted.as_str().and_then(|name| name.parse().ok());
    pooling.map(Some).ok_or_else(|| {
        let names = Pooling::ALL.map(Pooling::name).join(", ");
        let problem = format!("{POOLING_KEY:?} is {}, expected one of {names}", shortened(noted));
        SentenceFolderError { file, problem }
    })
}

type Fields = serde_json::Map<String, Value>;

fn architecture(fields: &Fields, path: &Path) -> Result<Architecture, ConfigError> {
    match fields.get("model_type").and_then(Value::as_str) {
        Some("bert") => Ok(Architecture::Bert),
        Some("roberta" | "xlm-roberta" | "camembert") => Ok(Architecture::Roberta),
        other => Err(ConfigError::Architecture {
            path: path.to_owned(),
            found: other.map_or("nothing".into(), quoted),
        }),
    }
}

fn activation(fields: &Fields) -> Result<Activation, String> {
    let name = match fields.get("hidden_act") {
        None | Some(Value::Null) => return Ok(Activation::Gelu),
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("hidden_act is {}, expected a name", shortened(other))),
    };
    Activation::parse(name).ok_or_else(|| {
        format!("hidden_act {} is not known; {} are", quoted(name), Activation::names().join(", "))
    })
}

/// Variants of BERT whose forward pass is another one: computing them as plain BERT would be wrong.
fn refuse_variants(fields: &Fields) -> Result<(), String> {
    match fields.get("position_embedding_type").and_then(Value::as_str) {
        None | Some("absolute") => {}
        Some(other) => {
            return Err(format!("position_embedding_type {}; only \"absolute\" is known", quoted(other)));
        }
    }
    for flag in ["is_decoder", "add_cross_attention"] {
        if fields.get(flag).and_then(Value::as_bool) == Some(true) {
            return Err(format!("{flag} is true; an encoder is needed"));
        }
    }
    if let Some(code) = custom_code(fields) {
        let code = quoted(code);
        return Err(format!(
            "auto_map names code of the model's own, {code}, and only transformers' own is known"
        ));
    }
    if let Some(heads) = fields.get("pruned_heads").filter(|heads| !is_empty(heads)) {
        return Err(format!(
            "pruned_heads is {}; models with all of their heads are known",
            shortened(heads)
        ));
    }
    if let Some(scheme) = fields.get("quantization_config").filter(|scheme| !is_empty(scheme)) {
        let method = scheme.get("quant_method").map_or_else(|| "nothing".to_owned(), shortened);
        return Err(format!(
            "quantization_config has the method {method}: the weights are quantised; take the model as it was before"
        ));
    }
    Ok(())
}

/// What `auto_map` names for the encoder itself, rather than for a tokenizer or for a head on top of it.
fn custom_code(fields: &Fields) -> Option<&str> {
    let map = fields.get("auto_map")?;
    ["AutoModel", "AutoModelForMaskedLM", "AutoConfig"].into_iter().find_map(|class| map.get(class)?.as_str())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<EncoderConfig, ConfigError> {
        EncoderConfig::from_json(json, Path::new("config.json"))
    }

    const BERT: &str = r#"{"model_type":"bert","vocab_size":120,"hidden_size":32,"num_hidden_layers":2,
        "num_attention_heads":4,"intermediate_size":64,"hidden_act":"gelu","max_position_embeddings":64}"#;

    #[test]
    fn defaults_and_position_ids_follow_the_architecture() {
        let bert = parse(BERT).unwrap();
        assert_eq!((bert.pad_token_id, bert.position_offset(), bert.max_sequence_length()), (0, 0, 64));
        let roberta = parse(&BERT.replace("\"bert\"", "\"roberta\"")).unwrap();
        assert_eq!(
            (roberta.pad_token_id, roberta.position_offset(), roberta.max_sequence_length()),
            (1, 2, 62)
        );
        assert_eq!(roberta.dimensions.type_vocab_size, 1);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_name() {
        for (from, to, named) in [
            ("\"bert\"", "\"t5\"", "t5"),
            ("\"hidden_size\":32", "\"hidden_size\":33", "num_attention_heads"),
            ("\"hidden_size\":32", "\"hidden_size\":-1", "invalid value"),
            ("\"vocab_size\":120", "\"vocab_size\":9999999999", "vocab_size"),
            ("\"gelu\"", "\"mish\"", "mish"),
            ("\"model_type\"", "\"is_decoder\":true,\"model_type\"", "is_decoder"),
            ("\"model_type\"", "\"position_embedding_type\":\"relative_key\",\"model_type\"", "relative_key"),
            ("\"model_type\"", "\"pruned_heads\":{\"0\":[1]},\"model_type\"", r#"pruned_heads is {"0":[1]}"#),
            (
                "\"model_type\"",
                "\"quantization_config\":{\"quant_method\":\"awq\"},\"model_type\"",
                "\"awq\"",
            ),
            ("\"model_type\"", "\"auto_map\":{\"AutoModel\":\"own.Bert\"},\"model_type\"", "\"own.Bert\""),
            ("\"gelu\"", "\"gelu_10\"", "quick_gelu"),
            ("\"gelu\"", "7", "hidden_act is 7"),
        ] {
            let message = parse(&BERT.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
        assert!(parse("[1, 2").is_err());
    }

    #[test]
    fn what_changes_nothing_is_passed_over() {
        let more = "\"pruned_heads\":{},\"quantization_config\":null,\"num_labels\":3,\"dtype\":\"float16\",\
            \"auto_map\":{\"AutoModelForSequenceClassification\":\"own.Head\"},\"model_type\"";
        assert_eq!(parse(&BERT.replace("\"model_type\"", more)).unwrap(), parse(BERT).unwrap());
        assert_eq!(parse(&format!("\u{feff}{BERT}")).unwrap(), parse(BERT).unwrap());
    }
}
