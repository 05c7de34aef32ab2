//! The transformer's config.json, as transformers writes it for the architectures that are known.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::SentenceFolderError;
use crate::json;
use crate::model::architecture::{Description, TokenTypes};
use crate::model::layout::Dimensions;
use crate::model::{Activation, Architecture, EncoderConfig, Pooling, RelativeBias};
use crate::quote::{quoted, reason, shortened};

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum ConfigError {
    #[error("{path}: {source}; a model folder needs a readable config.json")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a model configuration: {reason}")]
    Invalid { path: PathBuf, reason: String },
    #[error("{path} says model_type {found}; this program knows {}", Architecture::known())]
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
        let json: Value = json::from_slice(text.as_ref()).map_err(|e| invalid(reason(e)))?;
        let fields = json.as_object().ok_or_else(|| invalid("it is not a JSON object".into()))?;

        let architecture = architecture(fields, path)?;
        Self::from_fields(fields, architecture).map_err(invalid)
    }

    fn from_fields(fields: &Fields, architecture: Architecture) -> Result<Self, String> {
        let description = architecture.description();
        let activation = activation(fields, description.keys.activation)?;
        refuse_variants(fields)?;
        let layer_norm_eps = match description.layer_norm_eps {
            Some(built_in) => built_in,
            None => field_or(fields, "layer_norm_eps", 1e-12)?,
        };
        if !(layer_norm_eps > 0.0 && layer_norm_eps < 1.0) {
            return Err(format!("layer_norm_eps is {layer_norm_eps}"));
        }
        let (dimensions, num_attention_heads) = dimensions(fields, description)?;
        let pad_token_id: usize = field_or(fields, "pad_token_id", description.pad_token_id as usize)?;
        if pad_token_id >= dimensions.vocab_size {
            return Err(format!(
                "pad_token_id {pad_token_id} lies outside a vocabulary of {}",
                dimensions.vocab_size
            ));
        }
        let config = EncoderConfig {
            architecture,
            dimensions,
            num_attention_heads,
            activation,
            layer_norm_eps,
            pad_token_id: pad_token_id as u32,
        };
        if config.max_sequence_length() < 3 {
            return Err(format!(
                "max_position_embeddings {} leaves no room for a token",
                dimensions.max_position_embeddings
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
    let found = fields.get("model_type").and_then(Value::as_str);
    found.and_then(Architecture::parse).ok_or_else(|| ConfigError::Architecture {
        path: path.to_owned(),
        found: found.map_or("nothing".into(), quoted),
    })
}

/// The sizes, and the number of attention heads.
fn dimensions(fields: &Fields, description: &Description) -> Result<(Dimensions, usize), String> {
    let keys = &description.keys;
    // transformers' DistilBertConfig takes the common names too.
    let named = |key: &'static str, common: &'static str| {
        let key = if fields.contains_key(key) || !fields.contains_key(common) { key } else { common };
        size(fields, key)
    };
    let num_attention_heads = named(keys.num_attention_heads, "num_attention_heads")?;
    let buckets = match description.relative_bias {
        None => 0,
        Some(bias) => buckets(fields, bias)?,
    };
    let dimensions = Dimensions {
        vocab_size: size(fields, "vocab_size")?,
        hidden_size: named(keys.hidden_size, "hidden_size")?,
        num_hidden_layers: named(keys.num_hidden_layers, "num_hidden_layers")?,
        intermediate_size: size(fields, keys.intermediate_size)?,
        max_position_embeddings: size(fields, "max_position_embeddings")?,
        type_vocab_size: match description.token_types {
            TokenTypes::None => 0,
            TokenTypes::Embedded(usual) if !fields.contains_key("type_vocab_size") => usual,
            TokenTypes::Embedded(_) => size(fields, "type_vocab_size")?,
        },
        relative_bias: [buckets, num_attention_heads],
    };
    if dimensions.num_hidden_layers > 1024 {
        return Err(format!("{} is {}", keys.num_hidden_layers, dimensions.num_hidden_layers));
    }
    if !dimensions.hidden_size.is_multiple_of(num_attention_heads) {
        return Err(format!(
            "{} {} is not a multiple of {} {num_attention_heads}",
            keys.hidden_size, dimensions.hidden_size, keys.num_attention_heads
        ));
    }
    Ok((dimensions, num_attention_heads))
}

/// The rows of the relative bias's table. transformers goes by the buckets that its class has built in.
fn buckets(fields: &Fields, bias: RelativeBias) -> Result<usize, String> {
    const KEY: &str = "relative_attention_num_buckets";
    let rows = if fields.contains_key(KEY) { size(fields, KEY)? } else { bias.buckets };
    match rows < bias.buckets {
        true => Err(format!("{KEY} is {rows}, but distances fall into {} buckets", bias.buckets)),
        false => Ok(rows),
    }
}

fn size(fields: &Fields, key: &str) -> Result<usize, String> {
    let value = fields.get(key).ok_or_else(|| format!("missing field `{key}`"))?;
    match parsed(key, value)? {
        size @ 1..=LARGEST_SIZE => Ok(size),
        size => Err(format!("{key} is {size}")),
    }
}

fn field_or<T: DeserializeOwned>(fields: &Fields, key: &str, default: T) -> Result<T, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => parsed(key, value),
    }
}

fn parsed<T: DeserializeOwned>(key: &str, value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("{key}: {}", reason(error)))
}

fn activation(fields: &Fields, key: &str) -> Result<Activation, String> {
    let name = match fields.get(key) {
        None | Some(Value::Null) => return Ok(Activation::Gelu),
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("{key} is {}, expected a name", shortened(other))),
    };
    Activation::parse(name)
        .ok_or_else(|| format!("{key} {} is not known; {} are", quoted(name), Activation::names().join(", ")))
}

/// Variants whose forward pass is another one: computing them as the plain encoder would be wrong.
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
    use crate::model::Positions;

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
        // MPNet's class goes by padding of id 1 whatever the configuration says, and by 32 buckets.
        let mpnet = parse(&BERT.replace("\"bert\"", "\"mpnet\",\"pad_token_id\":7")).unwrap();
        assert_eq!((mpnet.pad_token_id, mpnet.positions()), (7, Positions::Counted { padding: 1 }));
        assert_eq!((mpnet.dimensions.type_vocab_size, mpnet.dimensions.relative_bias), (0, [32, 4]));
    }

    #[test]
    fn distilbert_has_keys_of_its_own_and_takes_the_common_ones() {
        let own = r#"{"model_type":"distilbert","vocab_size":120,"dim":32,"n_layers":2,"n_heads":4,"hidden_dim":64,
            "activation":"relu","max_position_embeddings":64,"layer_norm_eps":0.1,"type_vocab_size":2}"#;
        let config = parse(own).unwrap();
        assert_eq!((config.activation, config.layer_norm_eps), (Activation::Relu, 1e-12));
        assert_eq!((config.num_attention_heads, config.dimensions.type_vocab_size), (4, 0));
        let common =
            own.replace("\"dim\"", "\"hidden_size\"").replace("\"n_layers\"", "\"num_hidden_layers\"");
        assert_eq!(parse(&common).unwrap(), config);
        for (from, to, named) in [
            ("\"dim\":32", "\"dim\":33", "dim 33 is not a multiple of n_heads 4"),
            ("\"dim\":32,", "", "missing field `dim`"),
            ("\"relu\"", "\"mish\"", "activation \"mish\" is not known"),
        ] {
            let message = parse(&own.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_name() {
        for (from, to, named) in [
            (
                "\"bert\"",
                "\"t5\"",
                "model_type \"t5\"; this program knows bert, roberta, xlm-roberta, camembert, mpnet",
            ),
            (
                "\"bert\"",
                "\"mpnet\",\"relative_attention_num_buckets\":31",
                "relative_attention_num_buckets is 31",
            ),
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
