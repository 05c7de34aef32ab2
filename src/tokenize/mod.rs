//! From text to token ids, exactly as `transformers` and sentence-transformers would make them.
//!
//! [`model_folder`](crate::model_folder::tokenizer) makes a [`Tokenizer`] of a folder's files, and writes it again. The
//! caller names the length. Text is not trimmed. Special tokens that stand in the text count as such.

pub(crate) mod config;
mod error;
mod pair;
mod window;
mod words;

pub use error::TokenizeError;
pub use pair::Tokens;
pub(crate) use window::splits_at_blanks;

use config::TokenizerConfig;
use rayon::prelude::*;
use tokenizers::Tokenizer as Pieces;

/// A sentence's tokens and the special tokens around them. Cheap to share between threads, not to clone.
pub struct Tokenizer {
    pub(crate) pieces: Pieces,
    /// Ids before the sentence: `[CLS]`, `<s>`.
    pub(crate) prefix: Vec<u32>,
    /// Ids after the sentence: `[SEP]`, `</s>`.
    pub(crate) suffix: Vec<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) mask: Option<(String, u32)>,
    /// Whether a window of a long text is enough for its first tokens.
    pub(crate) splits_at_blanks: bool,
    pub(crate) max_length: Option<usize>,
    pub(crate) config: TokenizerConfig,
    /// Vocabulary files as they were, since the folder may be gone or rewritten when they are copied.
    pub(crate) vocabulary_files: Vec<(&'static str, Vec<u8>)>,
}

impl Tokenizer {
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
        let kept = if self.config.truncate_left {
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
        let bounded = self.splits_at_blanks && !self.config.truncate_left;
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

    /// The mask token as it is written in text, `[MASK]` or `<mask>`.
    pub fn mask_token(&self) -> Result<&str, TokenizeError> {
        self.mask
            .as_ref()
            .map(|(token, _)| token.as_str())
            .ok_or(TokenizeError::NoToken { role: "mask_token" })
    }

    /// Whether the token stands around sentences, or is one of those that the folder calls special.
    pub fn is_special(&self, id: u32) -> bool {
        let added = || self.pieces.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special);
        self.prefix.contains(&id) || self.suffix.contains(&id) || added()
    }

    /// Number of special tokens around a sentence.
    pub fn special_tokens(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// The longest sentence that the folder allows, in tokens: sentence_bert_config.json's max_seq_length, else
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
