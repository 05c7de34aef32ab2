//! What can be wrong with a tokenizer's files, and with a sentence.

use std::path::PathBuf;

/// One sentence that names the file and what was expected of it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum TokenizeError {
    /// The folder holds none of the files that a tokenizer can be made of.
    #[error("{} has no tokenizer: expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt", folder.display())]
    Missing { folder: PathBuf },

    /// The folder's vocabulary is not one of the class that it names, or that its model_type has.
    #[error(
        "{} has no tokenizer.json, and no vocabulary of {class}: BertTokenizer has a vocab.txt, RobertaTokenizer a \
         vocab.json with merges.txt",
        folder.display()
    )]
    Unfit { folder: PathBuf, class: String },

    /// A file is unreadable, malformed, or contradicts itself.
    #[error("{}: {problem}", file.display())]
    File { file: PathBuf, problem: String },

    /// A tokenizer whose ids the encoder has no rows for.
    #[error(
        "the tokenizer's token {} has id {id}, but config.json has vocab_size {vocab_size} (ids up to {}): \
         the tokenizer belongs to another model",
        crate::quote::quoted(token), vocab_size.saturating_sub(1)
    )]
    IdBeyondVocabulary { token: String, id: u32, vocab_size: usize },

    /// The tokenizer has no token for a role that the caller needs.
    #[error("the tokenizer has no {role}: name one of its tokens as {role:?} in tokenizer_config.json")]
    NoToken { role: &'static str },

    /// The special tokens alone are longer than the sentence may be.
    #[error("a maximum length of {max_length} tokens leaves no room for the {special} special tokens")]
    MaxLengthTooShort { max_length: usize, special: usize },

    /// The tokenizer's own rules fail on this sentence.
    #[error("cannot tokenize the sentence that begins {beginning:?}: {reason}")]
    Encode { beginning: String, reason: String },

    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] crate::output::OutputError),
}

impl TokenizeError {
    pub(crate) fn file(file: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File { file: file.into(), problem: problem.into() }
    }

    pub(super) fn encode(text: &str, reason: impl std::fmt::Display) -> Self {
        Self::Encode { beginning: text.chars().take(40).collect(), reason: crate::quote::reason(reason) }
    }
}
