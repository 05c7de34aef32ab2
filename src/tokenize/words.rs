//! Which word of a sentence each token belongs to.

use std::collections::HashSet;

use super::{TokenizeError, Tokenizer};

impl Tokenizer {
    /// As [`Tokenizer::encode`], with the number of the word that each token is a part of; special tokens around the
    /// sentence have none. What a word is, the tokenizer's own pre-tokenizer says.
    ///
    /// # Errors
    /// `max_length` is less than the number of special tokens.
    pub fn encode_words(
        &self,
        text: &str,
        max_length: usize,
    ) -> Result<(Vec<u32>, Vec<Option<u32>>), TokenizeError> {
        let special = self.special_tokens();
        let Some(room) = max_length.checked_sub(special) else {
            return Err(TokenizeError::MaxLengthTooShort { max_length, special });
        };
        let encoding = self.pieces.encode(text, false);
        let encoding = encoding.map_err(|reason| TokenizeError::encode(text, reason))?;
        let all = encoding.len();
        let kept = if self.config.truncate_left { all.saturating_sub(room)..all } else { 0..all.min(room) };
        let ids = [&self.prefix, &encoding.get_ids()[kept.clone()], &self.suffix].concat();
        let mut words = vec![None; self.prefix.len()];
        words.extend_from_slice(&encoding.get_word_ids()[kept]);
        words.resize(ids.len(), None);
        Ok((ids, words))
    }

    /// The id of the mask token.
    ///
    /// # Errors
    /// The folder names none.
    pub fn mask_id(&self) -> Result<u32, TokenizeError> {
        self.mask.as_ref().map(|&(_, id)| id).ok_or(TokenizeError::NoToken { role: "mask_token" })
    }

    /// Tokens that stand around sentences, and those that the folder calls special.
    pub fn special_ids(&self) -> HashSet<u32> {
        let added = self.pieces.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id);
        special.chain(self.prefix.iter().chain(&self.suffix).copied()).collect()
    }

    /// All ids, ascending.
    pub fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.pieces.get_vocab(true).into_values().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
