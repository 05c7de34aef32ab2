//! Text that is put before each sentence, as models of queries and passages want it.
//!
//! A folder defines its prompts in config_sentence_transformers.json
//! ([`Settings`](crate::model_folder::Settings)); the sentence's tokens follow those of the prompt, and both
//! count towards the longest sentence. Where 1_Pooling has `include_prompt: false`, pooling leaves the prompt's
//! tokens out; attention never does.

use std::borrow::Cow;

use crate::tokenize::{TokenizeError, Tokenizer};

/// What is put before each sentence; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    pub text: String,
    /// Whether pooling leaves its tokens out.
    pub left_out: bool,
}

/// Sentences behind a prompt, as tokens.
pub struct Prompted {
    pub tokens: Vec<Vec<u32>>,
    /// How many tokens at the beginning of each are left out of pooling.
    pub left_out: usize,
}

impl Prompt {
    /// The text that is tokenized in a sentence's place.
    pub fn before<'a>(&self, sentence: &'a str) -> Cow<'a, str> {
        match self.text.as_str() {
            "" => Cow::Borrowed(sentence),
            prompt => Cow::Owned(format!("{prompt}{sentence}")),
        }
    }

    /// Tokens of each sentence behind the prompt, in order, at most `max_length` of them.
    pub fn tokenize(
        &self,
        tokenizer: &Tokenizer,
        sentences: &[&str],
        max_length: usize,
    ) -> Result<Prompted, TokenizeError> {
        if self.text.is_empty() {
            return Ok(Prompted { tokens: tokenizer.encode_batch(sentences, max_length)?, left_out: 0 });
        }
        let texts: Vec<Cow<str>> = sentences.iter().map(|sentence| self.before(sentence)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let left_out = if self.left_out { self.tokens(tokenizer, max_length)? } else { 0 };
        Ok(Prompted { tokens: tokenizer.encode_batch(&texts, max_length)?, left_out })
    }

    /// The prompt's own tokens, as sentence-transformers counts them: those of the prompt alone, special ones
    /// before it included, the one after it not.
    pub fn tokens(&self, tokenizer: &Tokenizer, max_length: usize) -> Result<usize, TokenizeError> {
        if self.text.is_empty() {
            return Ok(0);
        }
        let alone = tokenizer.encode(&self.text, max_length)?;
        let ends_specially = alone.last().is_some_and(|&last| tokenizer.is_special(last));
        Ok(alone.len() - usize::from(ends_specially))
    }
}
