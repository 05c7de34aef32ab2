//! `--prompt-name` and `--prompt`: what is put before each sentence.

use clap::Args;

use super::{Ending, usage};
use crate::model_folder::Settings;

/// Flags of commands that encode.
#[derive(Args, Clone, Debug)]
pub struct PromptFlags {
    /// Put the folder's prompt of this name before each sentence [default: the folder's default_prompt_name]
    #[arg(long, value_name = "NAME", conflicts_with = "prompt", help_heading = "Prompt")]
    pub prompt_name: Option<String>,
    /// Put this text before each sentence; "" for none, overriding the folder's default prompt
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Prompt")]
    pub prompt: Option<String>,
}

impl PromptFlags {
    /// The prompt that the flags ask for, of a model whose folder has these `settings`; None without a flag.
    pub fn text<'a>(&'a self, settings: &'a Settings) -> Result<Option<&'a str>, Ending> {
        match (&self.prompt, &self.prompt_name) {
            (Some(text), _) => Ok(Some(text)),
            (None, Some(name)) => Ok(Some(settings.prompt(name).map_err(usage)?)),
            (None, None) => Ok(None),
        }
    }
}

/// The note on a folder whose embeddings are meant for another similarity than the cosine.
pub fn other_similarity(model: &str, settings: &Settings, instead: &str) -> Option<String> {
    let asked = settings.other_similarity.as_deref()?;
    Some(format!("{model}: its folder asks for the similarity {asked:?}; {instead}"))
}
