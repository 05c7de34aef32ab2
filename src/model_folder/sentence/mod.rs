//! What makes a folder sentence-transformers': modules.json and the files that it points at ([`pooling`],
//! [`modules`], [`transformer`]), and settings of embeddings as a whole ([`settings`]: prompts).
//!
//! What changes embeddings is followed or refused by name, never ignored. A plain model folder has none of these files,
//! which is no error.

mod json;
pub mod modules;
mod pooling;
pub mod settings;
mod transformer;

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::quote::quoted;
use json::{read_json, read_object};
pub use modules::{ModuleConfig, ModuleKind};
pub use pooling::PoolingMode;
pub use settings::{SETTINGS, Settings, UnknownPrompt};
pub use transformer::TRANSFORMER_CONFIGS;

/// Of a module in its folder, in bytes.
const LONGEST_PATH: usize = 255;

/// How sentences are to be encoded with a folder's model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentenceFolder {
    /// None where the folder has no pooling module.
    pub pooling: Option<PoolingMode>,
    /// Whether pooling leaves out the tokens of a prompt.
    pub leaves_prompt_out: bool,
    /// What comes after pooling, in order, but for a Normalize at the end.
    pub modules: Vec<ModuleConfig>,
    /// Whether embeddings are scaled to length 1 at the end.
    pub normalize: bool,
    /// Prompts, and other settings of embeddings as a whole.
    pub settings: Settings,
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
#[allow(missing_docs, reason = "the messages say what each is")]
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

impl SentenceFolder {
    /// Reads modules.json and what it points at; without modules.json, 1_Pooling/config.json and
    /// sentence_bert_config.json where they exist.
    pub fn read(dir: &Path) -> Result<Self, SentenceFolderError> {
        let file = dir.join("modules.json");
        let Some(modules) = read_json(&file)? else {
            // Nor does sentence-transformers look for prompts in a folder without modules.json.
            let mut folder = Self::read_transformer(dir, "")?;
            let pooling = dir.join("1_Pooling/config.json");
            folder.pooling =
                read_object(&pooling)?.map(|config| pooling::mode(&pooling, &config)).transpose()?;
            return Ok(folder);
        };
        let mut folder = Self::default();
        for module in listed(&file, &modules)? {
            folder.add_module(dir, &file, &module)?;
        }
        // The last one can be switched off and on.
        if folder.modules.pop_if(|module| module.kind == ModuleKind::Normalize).is_some() {
            folder.normalize = true;
        }
        folder.settings = Settings::read(dir)?;
        Ok(folder)
    }

    /// The width of embeddings, where the transformer's is `hidden`.
    pub fn width(&self, hidden: usize) -> usize {
        let width = self.modules.iter().fold(hidden, |width, module| match module.kind {
            ModuleKind::Dense { out_features, .. } => out_features,
            ModuleKind::LayerNorm { .. } | ModuleKind::Normalize => width,
        });
        self.settings.truncate_dim.map_or(width, |most| width.min(most))
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
        transformer::read(dir, transformer)
    }

    fn add_module(&mut self, dir: &Path, file: &Path, module: &Listed) -> Result<(), SentenceFolderError> {
        let Listed { index, class, path } = *module;
        // sentence-transformers has moved its modules between packages; the class name stayed.
        let known = class.strip_prefix("sentence_transformers.").and_then(|class| class.rsplit('.').next());
        match (index, known) {
            (0, Some("Transformer")) => {
                *self = Self::read_transformer(dir, path)?;
                return Ok(());
            }
            (1, Some("Pooling")) => {
                let config_file = dir.join(path).join("config.json");
                let config = read_object(&config_file)?;
                let config = config.ok_or_else(|| {
                    SentenceFolderError::new(&config_file, "is missing, but modules.json names it")
                })?;
                self.pooling = Some(pooling::mode(&config_file, &config)?);
                self.leaves_prompt_out = pooling::leaves_prompt_out(&config_file, &config)?;
                return Ok(());
            }
            (2.., Some(class)) => {
                if let Some(module) = modules::read(dir, path, class)? {
                    self.modules.push(module);
                    return Ok(());
                }
            }
            _ => {}
        }
        let class = quoted(class);
        let expected = "expected Transformer, Pooling and then Dense, LayerNorm and Normalize";
        Err(SentenceFolderError::new(file, format!("module {index} is {class}, {expected}")))
    }
}

/// A module as modules.json lists it.
struct Listed<'a> {
    index: usize,
    class: &'a str,
    /// Inside the folder.
    path: &'a str,
}

fn listed<'a>(file: &Path, modules: &'a Value) -> Result<Vec<Listed<'a>>, SentenceFolderError> {
    let wrong = |problem: String| SentenceFolderError::new(file, problem);
    let modules = modules.as_array().filter(|modules| !modules.is_empty());
    let modules = modules.ok_or_else(|| wrong("expected a list of modules".to_owned()))?;
    let mut names = Vec::new();
    let list = modules.iter().enumerate().map(|(index, module)| {
        let text = |key: &str| {
            let value = module.get(key).and_then(Value::as_str);
            value.ok_or_else(|| wrong(format!("module {index} has no text {key:?}")))
        };
        let (class, path) = (text("type")?, text("path")?);
        // A folder may be hostile: its modules stay inside it.
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.len() > LONGEST_PATH
            || path.contains(char::is_control)
            || !Path::new(path).components().all(inside)
        {
            let path = quoted(path);
            return Err(wrong(format!("module {index} has the path {path}, expected one inside the folder")));
        }
        // Of two modules with one name sentence-transformers takes the second in the place of the first.
        if let Some(name) = module.get("name").and_then(Value::as_str) {
            if names.contains(&name) {
                return Err(wrong(format!("module {index} has the name {} of an earlier one", quoted(name))));
            }
            names.push(name);
        }
        let arguments = module
            .get("kwargs")
            .is_none_or(|kwargs| kwargs.is_null() || kwargs.as_array().is_some_and(Vec::is_empty));
        if !arguments {
            return Err(wrong(format!("module {index} asks for \"kwargs\", which is not supported here")));
        }
        Ok(Listed { index, class, path })
    });
    list.collect()
}
