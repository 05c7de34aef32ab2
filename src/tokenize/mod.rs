//! From text to token ids, exactly as `transformers` and sentence-transformers would make them.
//!
//! [`Tokenizer::from_folder`] takes tokenizer.json, else vocab.txt (BERT, MPNet), else vocab.json with merges.txt (RoBERTa),
//! and follows tokenizer_config.json. A tokenizer.json's own truncation and padding are replaced: the caller names
//! the length. Text is not trimmed. Special tokens that stand in the text count as such.

mod build;
mod check;
mod class;
mod config;
mod error;
mod source;
mod special;
mod switches;
mod window;
mod write;

pub use error::TokenizeError;

use crate::sentence_folder::SentenceFolder;
use class::TokenizerClass;
use config::TokenizerConfig;
use rayon::prelude::*;
use source::Source;
use std::path::Path;
use tokenizers::Tokenizer as Pieces;

/// A sentence's tokens and the special tokens around them. Cheap to share between threads, not to clone.
pub struct Tokenizer {
    pieces: Pieces,
    /// Ids before the sentence: `[CLS]`, `<s>`.
    prefix: Vec<u32>,
    /// Ids after the sentence: `[SEP]`, `</s>`.
    suffix: Vec<u32>,
    pad: Option<u32>,
    mask: Option<(String, u32)>,
    truncate_left: bool,
    splits_at_blanks: bool,
    max_length: Option<usize>,
    config: TokenizerConfig,
    /// Vocabulary files as they were, since the folder may be gone or rewritten when they are copied.
    vocabulary_files: Vec<(&'static str, Vec<u8>)>,
}

impl Tokenizer {
    /// Reads the tokenizer of a Hugging Face model folder.
    ///
    /// # Errors
    /// A missing, unreadable, malformed or self-contradictory file, named.
    pub fn from_folder(dir: &Path) -> Result<Self, TokenizeError> {
        let source = Source { folder: dir.to_owned() };
        let sentence = SentenceFolder::read_transformer(dir, "")
            .map_err(|error| TokenizeError::File { file: error.file, problem: error.problem })?;
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
            truncate_left: config.truncate_left,
            splits_at_blanks: window::splits_at_blanks(&built.pieces),
            max_length: sentence.max_seq_length.or(config.model_max_length),
            vocabulary_files: write::vocabulary_files(&source)?,
            config,
            pieces: built.pieces,
            prefix: built.prefix,
            suffix: built.suffix,
        })
    }

    /// Token ids of one sentence, special tokens included, at most `max_length` of them: the first tokens are kept
    /// (the last where the folder's truncation side is left), as `transformers` does with `truncation=True`.
    ///
    /// # Errors
    /// `max_length` is less than the number of special tokens.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Vec<u32>, TokenizeError> {
        let special = self.prefix.len() + self.suffix.len();
        let Some(room) = max_length.checked_sub(special) else {
            return Err(TokenizeError::MaxLengthTooShort { max_length, special });
        };
        let tokens = self.tokens(text, room)?;
        let kept = if self.truncate_left {
            &tokens[tokens.len().saturating_sub(room)..]
        } else {
            &tokens[..tokens.len().min(room)]
        };
        Ok([&self.prefix, kept, &self.suffix].concat())
    }

    /// [`Self::encode`] of each text, in order, on all threads of the current rayon pool.
    pub fn encode_batch(&self, texts: &[&str], max_length: usize) -> Result<Vec<Vec<u32>>, TokenizeError> {
        texts.par_iter().map(|text| self.encode(text, max_length)).collect()
    }

    /// The text's tokens without special ones around them; the first `room` are exact, which is all of them unless
    /// the text is long.
    fn tokens(&self, text: &str, room: usize) -> Result<Vec<u32>, TokenizeError> {
        let bounded = self.splits_at_blanks && !self.truncate_left;
        let mut window = if bounded { room.saturating_mul(32).max(4096) } else { text.len() };
        loop {
            let prefix = window::prefix_of(text, window);
            let encoding = self.pieces.encode_fast(prefix, false);
            let encoding = encoding.map_err(|reason| TokenizeError::encode(text, reason))?;
            if encoding.len() >= room || prefix.len() == text.len() {
                return Ok(encoding.get_ids().to_vec());
            }
            // Growing fourfold keeps the work of all rounds within 4/3 of the last one.
            window = window.saturating_mul(4);
        }
    }

    /// Id of the token that fills a padded batch.
    pub fn pad_token_id(&self) -> Result<u32, TokenizeError> {
        self.pad.ok_or(TokenizeError::NoToken { role: "pad_token" })
    }

    /// Id of the mask token.
    pub fn mask_token_id(&self) -> Result<u32, TokenizeError> {
        self.mask.as_ref().map(|(_, id)| *id).ok_or(TokenizeError::NoToken { role: "mask_token" })
    }

    /// The mask token as it is written in text, `[MASK]` or `<mask>`.
    pub fn mask_token(&self) -> Result<&str, TokenizeError> {
        self.mask
            .as_ref()
            .map(|(token, _)| token.as_str())
            .ok_or(TokenizeError::NoToken { role: "mask_token" })
    }

    /// Id of the token that begins every sentence.
    pub fn cls_token_id(&self) -> Result<u32, TokenizeError> {
        self.prefix.first().copied().ok_or(TokenizeError::NoToken { role: "cls_token" })
    }

    /// Id of the token that ends every sentence.
    pub fn sep_token_id(&self) -> Result<u32, TokenizeError> {
        self.suffix.last().copied().ok_or(TokenizeError::NoToken { role: "sep_token" })
    }

    /// Number of special tokens around a sentence.
    pub fn special_tokens(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.pieces.get_vocab_size(true)
    }

    /// What the folder says of the longest sentence, in tokens: sentence_bert_config.json's max_seq_length, else
    /// tokenizer_config.json's model_max_length where that is a length at all.
    pub fn max_length_of_folder(&self) -> Option<usize> {
        self.max_length
    }

    /// Checks that every id has a row in an embedding table of `vocab_size` rows.
    pub fn fits(&self, vocab_size: usize) -> Result<(), TokenizeError> {
        match self.pieces.get_vocab(true).into_iter().max_by_key(|(_, id)| *id) {
            Some((token, id)) if id as usize >= vocab_size => {
                Err(TokenizeError::IdBeyondVocabulary { token, id, vocab_size })
            }
            _ => Ok(()),
        }
    }
}
