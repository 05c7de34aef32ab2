//! Pairs of texts as one sequence: `[CLS] first [SEP] second [SEP]`, or whatever the tokenizer's own post-processor makes
//! of them.

use rayon::prelude::*;
use tokenizers::{
    Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy,
    utils::truncation::truncate_encodings,
};

use super::{TokenizeError, Tokenizer};

/// The tokens of a text or of a pair of texts, special ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// In the model's vocabulary.
    pub ids: Vec<u32>,
    /// Of each token, 0 for the first text and 1 for the second where the post-processor tells them apart.
    pub types: Vec<u32>,
    /// Whether the text was too long and lost tokens.
    pub is_cut: bool,
}

impl Tokenizer {
    /// Tokens of a text, or of a pair where there is a `second`, at most `max_length` of them: the longer text loses
    /// tokens first, then both alike, as `transformers` does with `truncation=True`.
    ///
    /// # Errors
    /// `max_length` is less than the number of special tokens.
    pub fn encode_pair(
        &self,
        first: &str,
        second: Option<&str>,
        max_length: usize,
    ) -> Result<Tokens, TokenizeError> {
        let special = self.special_tokens_of(second.is_some());
        let Some(room) = max_length.checked_sub(special) else {
            return Err(TokenizeError::MaxLengthTooShort { max_length, special });
        };
        let first_encoding = self.plain(first, 0)?;
        let second_encoding = second.map(|second| self.plain(second, 1)).transpose()?;
        let length = first_encoding.len() + second_encoding.as_ref().map_or(0, Encoding::len);
        let direction =
            if self.config.truncate_left { TruncationDirection::Left } else { TruncationDirection::Right };
        let strategy = TruncationStrategy::LongestFirst;
        let params = TruncationParams { direction, max_length: room, strategy, stride: 0 };
        let framed = truncate_encodings(first_encoding, second_encoding, &params)
            .and_then(|(first, second)| self.pieces.post_process(first, second, true))
            .map_err(|reason| TokenizeError::encode(first, reason))?;
        let (ids, types) = (framed.get_ids().to_vec(), framed.get_type_ids().to_vec());
        Ok(Tokens { ids, types, is_cut: length > room })
    }

    /// [`Self::encode_pair`] of each, in order, on all threads of the current rayon pool.
    pub fn encode_pairs(
        &self,
        texts: &[(&str, Option<&str>)],
        max_length: usize,
    ) -> Result<Vec<Tokens>, TokenizeError> {
        texts.par_iter().map(|&(first, second)| self.encode_pair(first, second, max_length)).collect()
    }

    /// How many special tokens stand around a text, or around and between a pair.
    pub fn special_tokens_of(&self, is_pair: bool) -> usize {
        self.pieces.get_post_processor().map_or(0, |frame| frame.added_tokens(is_pair))
    }

    /// The whole text's tokens alone, of a type. A window is not enough: of a pair, which text is longer decides what
    /// is cut.
    fn plain(&self, text: &str, of_type: u32) -> Result<Encoding, TokenizeError> {
        let encoding = self.pieces.encode_fast(text, false);
        let mut encoding = encoding.map_err(|reason| TokenizeError::encode(text, reason))?;
        encoding.set_type_ids(vec![of_type; encoding.len()]);
        Ok(encoding)
    }
}
