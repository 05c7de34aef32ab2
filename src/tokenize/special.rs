//! Which tokens are special.

use super::Tokenizer;

impl Tokenizer {
    /// Whether the token stands around sentences, or is one of those that the folder calls special.
    pub fn is_special(&self, id: u32) -> bool {
        let added = || self.pieces.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special);
        self.prefix.contains(&id) || self.suffix.contains(&id) || added()
    }
}
