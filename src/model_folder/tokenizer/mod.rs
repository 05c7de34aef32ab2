//! The tokenizer of a folder: tokenizer.json, else vocab.txt (BERT, MPNet), else vocab.json with merges.txt (RoBERTa), and
//! tokenizer_config.json with its older neighbours.
//!
//! 1. [`source`] reads the files, with bounds.
//! 2. [`class`] finds the Python class that transformers would take, and [`config`] its settings; [`switches`] refuses
//!    those that are not computed here.
//! 3. [`build`] makes the tokenizer library's tokenizer of them, after [`check`] has looked for what the library trusts.
//! 4. [`mod@write`] writes the files again, such that transformers makes the same ids of them.

mod build;
mod check;
mod class;
mod config;
mod source;
mod switches;
mod write;

use std::path::Path;

use source::Source;

use super::SentenceFolder;
use crate::tokenize::config::TokenizerConfig;
use crate::tokenize::{TokenizeError, Tokenizer, splits_at_blanks};

impl Tokenizer {
    /// Reads the tokenizer of a Hugging Face model folder.
    ///
    /// # Errors
    /// A missing, unreadable, malformed or self-contradictory file, named.
    pub fn from_folder(dir: &Path) -> Result<Self, TokenizeError> {
        let source = Source { folder: dir.to_owned() };
        let sentence = SentenceFolder::read_transformer(dir, "")
            .map_err(|error| TokenizeError::file(error.file, error.problem))?;
        let mut config = TokenizerConfig::read(&source)?;
        let built = build::build(&source, &mut config, sentence.do_lower_case)?;
        let role = |role: &str, common: [&str; 2]| {
            let common = common.into_iter().find(|token| built.pieces.token_to_id(token).is_some());
            let token = config.token(role).or(common)?;
            Some((token.to_owned(), built.pieces.token_to_id(token)?))
        };
        Ok(Self {
            pad: role("pad_token", ["[PAD]", "<pad>"]).map(|(_, id)| id),
            mask: role("mask_token", ["[MASK]", "<mask>"]),
            splits_at_blanks: splits_at_blanks(&built.pieces),
            max_length: sentence.max_seq_length.or(config.model_max_length),
            vocabulary_files: write::vocabulary_files(&source)?,
            config,
            pieces: built.pieces,
            prefix: built.prefix,
            suffix: built.suffix,
        })
    }
}
