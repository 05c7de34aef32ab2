//! config_sentence_transformers.json: prompts, and other settings of embeddings as a whole.

use std::path::Path;

use serde_json::{Map, Value};
use thiserror::Error;

use super::SentenceFolderError;
use super::json::{read_object, size};
use crate::quote::{quoted, shortened};

/// The file's name.
pub const SETTINGS: &str = "config_sentence_transformers.json";

/// The prompts that every model of sentence-transformers has, empty where its folder does not define them.
const QUERY: &str = "query";
const DOCUMENT: &str = "document";

/// The similarities that sentence-transformers knows for sentence embeddings; it ignores others.
const SIMILARITIES: [&str; 4] = ["cosine", "dot", "euclidean", "manhattan"];

/// A folder's settings of embeddings as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names and texts, in the file's order.
    prompts: Vec<(String, String)>,
    default_prompt_name: Option<String>,
    /// How embeddings are to be compared, where that is not by cosine.
    pub other_similarity: Option<String>,
    /// The first values of an embedding that are kept.
    pub truncate_dim: Option<usize>,
    /// The whole file, to be written again.
    pub all: Map<String, Value>,
}

/// A prompt that was asked for by a name that the folder does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no prompt {} in the model's folder, {}", quoted(name), known(names))]
#[allow(missing_docs, reason = "the messages say what each is")]
pub struct UnknownPrompt {
    name: String,
    names: Vec<String>,
}

fn known(names: &[String]) -> String {
    match names {
        [] => "which has none; give the text itself with --prompt".to_owned(),
        names => {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            format!("which has {}", names.join(", "))
        }
    }
}

impl Settings {
    /// Reads the file; a folder without it has none of these settings.
    pub(super) fn read(dir: &Path) -> Result<Self, SentenceFolderError> {
        let file = dir.join(SETTINGS);
        let Some(all) = read_object(&file)? else { return Ok(Self::default()) };
        let wrong = |key: &str, value: &Value, expected: &str| {
            let problem = format!("{key:?} is {}, expected {expected}", shortened(value));
            SentenceFolderError::new(&file, problem)
        };
        let text = |key: &str| match all.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(key, other, "a text")),
        };
        if let Some(class) = text("model_type")?.filter(|class| class != "SentenceTransformer") {
            let problem = format!("is that of a {}, expected a SentenceTransformer", quoted(&class));
            return Err(SentenceFolderError::new(&file, problem));
        }
        let mut prompts = Vec::new();
        match all.get("prompts") {
            None | Some(Value::Null) => {}
            Some(Value::Object(named)) => {
                for (name, prompt) in named {
                    match prompt {
                        Value::String(prompt) => prompts.push((name.clone(), prompt.clone())),
                        // As in sentence-transformers: present, and empty.
                        Value::Null => prompts.push((name.clone(), String::new())),
                        other => {
                            let problem = format!(
                                "the prompt {} is {}, expected a text",
                                quoted(name),
                                shortened(other)
                            );
                            return Err(SentenceFolderError::new(&file, problem));
                        }
                    }
                }
            }
            Some(other) => return Err(wrong("prompts", other, "names and their texts")),
        }
        let settings = Settings {
            prompts,
            default_prompt_name: text("default_prompt_name")?,
            other_similarity: text("similarity_fn_name")?
                .filter(|name| name != SIMILARITIES[0] && SIMILARITIES.contains(&name.as_str())),
            truncate_dim: size(&file, "truncate_dim", &all)?,
            all: all.clone(),
        };
        settings.check_default(&file)?;
        Ok(settings)
    }

    fn check_default(&self, file: &Path) -> Result<(), SentenceFolderError> {
        let Some(name) = self.default_prompt_name.as_deref() else { return Ok(()) };
        if self.find(name).is_some() || [QUERY, DOCUMENT].contains(&name) {
            return Ok(());
        }
        let names: Vec<String> = self.names().map(quoted).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let problem =
            format!("\"default_prompt_name\" is {}, but the prompts there are {there}", quoted(name));
        Err(SentenceFolderError::new(file, problem))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.prompts.iter().map(|(name, _)| name.as_str())
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.prompts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// What is put before a sentence where nothing else is asked for.
    pub fn default_prompt(&self) -> &str {
        self.default_prompt_name.as_deref().and_then(|name| self.find(name)).unwrap_or_default()
    }

    /// What is put before a query: never the default prompt, as in `encode_query` of sentence-transformers.
    pub fn query_prompt(&self) -> &str {
        self.find(QUERY).unwrap_or_default()
    }

    /// What is put before a text that is searched: never the default prompt, as in `encode_document`. That also
    /// knows "passage" and "corpus", but never uses them, since it always has a "document".
    pub fn document_prompt(&self) -> &str {
        self.find(DOCUMENT).unwrap_or_default()
    }

    /// A prompt that may have been meant for the text, where the folder has none for it.
    pub fn unused_document_prompt(&self) -> Option<&str> {
        let others = ["passage", "corpus"];
        let there = |name: &&str| self.find(name).is_some_and(|prompt| !prompt.is_empty());
        others.into_iter().find(there).filter(|_| self.document_prompt().is_empty())
    }

    /// The prompt of that name.
    ///
    /// # Errors
    /// The folder has no prompt of that name.
    pub fn prompt(&self, name: &str) -> Result<&str, UnknownPrompt> {
        self.find(name).ok_or_else(|| UnknownPrompt {
            name: name.to_owned(),
            names: self.names().map(str::to_owned).collect(),
        })
    }
}
