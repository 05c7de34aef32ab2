//! What a sentence-transformers folder says of itself: modules.json, the pooling module, whether embeddings are
//! normalised, the longest sentence and lower-casing.
//!
//! A plain model folder says nothing, and that is no error.

use serde_json::{Map, Value};
use std::path::{Component, Path, PathBuf};

use crate::quote::{quoted, reason, shortened};

/// Of a module in its folder, in bytes.
const LONGEST_PATH: usize = 255;

/// How token embeddings become the sentence's, as far as a folder can ask for it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingMode {
    /// The mean over the sentence's tokens, special tokens included.
    Mean,
    /// The first token.
    Cls,
}

/// A folder's own word on how its sentences are encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentenceFolder {
    /// None where the folder has no pooling module.
    pub pooling: Option<PoolingMode>,
    /// Whether embeddings are scaled to length 1.
    pub normalize: bool,
    /// The longest sentence in tokens, special tokens included.
    pub max_seq_length: Option<usize>,
    /// Whether text is lower-cased before the tokenizer's own rules.
    pub do_lower_case: bool,
    /// Where the transformer's files are, relative to the folder: empty except in the oldest folders.
    pub transformer: PathBuf,
}

/// A file of the folder that is malformed or asks for what is not supported.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct SentenceFolderError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

impl SentenceFolderError {
    fn new(file: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self { file: file.into(), problem: problem.into() }
    }
}

/// Names under which sentence-transformers has kept the transformer module's settings.
pub(crate) const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// These files are a few hundred bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl SentenceFolder {
    /// Reads modules.json and what it points at; without modules.json, 1_Pooling/config.json and
    /// sentence_bert_config.json where they exist.
    pub fn read(dir: &Path) -> Result<Self, SentenceFolderError> {
        let file = dir.join("modules.json");
        let Some(modules) = read_json(&file)? else {
            let mut folder = Self::read_transformer(dir, "")?;
            let pooling = dir.join("1_Pooling/config.json");
            folder.pooling =
                read_object(&pooling)?.map(|config| pooling_mode(&pooling, &config)).transpose()?;
            return Ok(folder);
        };
        let modules = modules
            .as_array()
            .ok_or_else(|| SentenceFolderError::new(&file, "expected a list of modules"))?;
        let mut folder = Self::default();
        for (index, module) in modules.iter().enumerate() {
            folder.add_module(dir, &file, index, module)?;
        }
        Ok(folder)
    }

    /// Where the transformer itself lies, in the folder that this was read from.
    pub fn transformer_in(&self, dir: &Path) -> PathBuf {
        // Joining an empty path would put a slash at the end of what messages name.
        match self.transformer.as_os_str().is_empty() {
            true => dir.to_owned(),
            false => dir.join(&self.transformer),
        }
    }

    /// The transformer module's own settings (length, lower-casing) in `dir`/`transformer`.
    pub fn read_transformer(dir: &Path, transformer: &str) -> Result<Self, SentenceFolderError> {
        let mut folder = Self { transformer: transformer.into(), ..Self::default() };
        for name in TRANSFORMER_CONFIGS {
            let file = dir.join(transformer).join(name);
            let Some(config) = read_object(&file)? else { continue };
            folder.max_seq_length = length(&file, "max_seq_length", &config)?;
            folder.do_lower_case = flag(&file, "do_lower_case", &config)?;
            break;
        }
        Ok(folder)
    }

    fn add_module(
        &mut self,
        dir: &Path,
        file: &Path,
        index: usize,
        module: &Value,
    ) -> Result<(), SentenceFolderError> {
        let text = |key: &str| {
            let value = module.get(key).and_then(Value::as_str);
            value.ok_or_else(|| SentenceFolderError::new(file, format!("module {index} has no text {key:?}")))
        };
        let (class, path) = (text("type")?, text("path")?);
        // A folder may be a stranger's: its modules stay inside it.
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.len() > LONGEST_PATH
            || path.contains(char::is_control)
            || !Path::new(path).components().all(inside)
        {
            let path = quoted(path);
            let problem = format!("module {index} has the path {path}, expected one inside the folder");
            return Err(SentenceFolderError::new(file, problem));
        }
        // sentence-transformers has moved its modules between packages; the class name stayed.
        match (index, class.rsplit('.').next().unwrap_or(class)) {
            (0, "Transformer") => *self = Self::read_transformer(dir, path)?,
            (1, "Pooling") => {
                let config_file = dir.join(path).join("config.json");
                let config = read_object(&config_file)?;
                let config = config.ok_or_else(|| {
                    SentenceFolderError::new(&config_file, "is missing, but modules.json names it")
                })?;
                self.pooling = Some(pooling_mode(&config_file, &config)?);
            }
            (2.., "Normalize") => self.normalize = true,
            _ => {
                let class = quoted(class);
                let problem =
                    format!("module {index} is {class}, expected Transformer, Pooling and at most Normalize");
                return Err(SentenceFolderError::new(file, problem));
            }
        }
        Ok(())
    }
}

/// Either form: `"pooling_mode": "mean"` (sentence-transformers 6) or `"pooling_mode_mean_tokens": true`.
fn pooling_mode(file: &Path, config: &Map<String, Value>) -> Result<PoolingMode, SentenceFolderError> {
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
                format!("asks for the pooling {asked}, which is not supported: known are mean and cls"),
            ))
        }
    }
}

fn flag(file: &Path, key: &str, config: &Map<String, Value>) -> Result<bool, SentenceFolderError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => {
            let other = shortened(other);
            Err(SentenceFolderError::new(file, format!("{key:?} is {other}, expected true or false")))
        }
    }
}

fn length(file: &Path, key: &str, config: &Map<String, Value>) -> Result<Option<usize>, SentenceFolderError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(length) if length > 0 => Ok(usize::try_from(length).ok()),
            _ => Err(SentenceFolderError::new(
                file,
                format!("{key:?} is {}, expected a number of tokens", shortened(value)),
            )),
        },
    }
}

fn read_object(file: &Path) -> Result<Option<Map<String, Value>>, SentenceFolderError> {
    match read_json(file)? {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(SentenceFolderError::new(file, "expected a JSON object")),
    }
}

/// None where the file does not exist.
fn read_json(file: &Path) -> Result<Option<Value>, SentenceFolderError> {
    let unreadable =
        |error: std::io::Error| SentenceFolderError::new(file, format!("cannot be read: {error}"));
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(SentenceFolderError::new(
            file,
            format!("expected a regular file of at most {MAX_FILE_BYTES} bytes"),
        ));
    }
    let text = std::fs::read(file).map_err(unreadable)?;
    let value = serde_json::from_slice(&text);
    value
        .map(Some)
        .map_err(|error| SentenceFolderError::new(file, format!("not valid JSON: {}", reason(error))))
}
