//! How much of a long sentence has to be tokenized for its first tokens to be exact.
//!
//! A sentence of a megabyte is cut to `max_length` tokens in the end. Where the tokenizer's rules never look across
//! the place between a letter and a blank, tokens before that place do not depend on what follows it, so a prefix
//! that ends there is enough as soon as it gives enough tokens.

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, Tokenizer as Pieces};

/// Whether tokens before a boundary (see [`prefix_of`]) never depend on the text after it.
pub(crate) fn splits_at_blanks(pieces: &Pieces) -> bool {
    let pre_tokenizer = match pieces.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::BertPreTokenizer(_)) => true,
        Some(PreTokenizerWrapper::ByteLevel(byte_level)) => byte_level.use_regex,
        _ => false,
    };
    pre_tokenizer
        && pieces.get_normalizer().is_none_or(is_local)
        && pieces.get_added_tokens_decoder().values().all(within_a_word)
}

/// Normalizers that keep a blank a blank and do not look across it.
fn is_local(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(is_local),
        _ => false,
    }
}

/// An added token that cannot match across a blank. (Normalizing can put blanks into what is not ASCII.)
fn within_a_word(token: &AddedToken) -> bool {
    if token.normalized {
        token.content.chars().all(|c| c.is_ascii_graphic())
    } else {
        !token.content.contains(char::is_whitespace)
    }
}

/// The longest prefix of at most `window` bytes that ends at a boundary: after a letter, digit or ASCII
/// punctuation and before a blank. Where there is none, the shortest longer one, at most the whole text.
pub(super) fn prefix_of(text: &str, window: usize) -> &str {
    if text.len() <= window {
        return text;
    }
    let end = (0..=window).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = text[..end].rmatch_indices(' ').map(|(at, _)| at);
    let after = text[end..].match_indices(' ').map(|(at, _)| end + at);
    let boundary = before.chain(after).find(|at| {
        text[..*at]
            .chars()
            .next_back()
            .is_some_and(|last| last.is_alphanumeric() || last.is_ascii_punctuation())
    });
    &text[..boundary.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::prefix_of;

    #[test]
    fn a_prefix_ends_before_a_blank_that_follows_a_word() {
        assert_eq!(prefix_of("one two three", 20), "one two three");
        assert_eq!(prefix_of("one two three", 8), "one two");
        assert_eq!(prefix_of("one two three", 7), "one");
        assert_eq!(prefix_of("one   two", 5), "one");
        assert_eq!(prefix_of("abcdefgh ij", 3), "abcdefgh");
        assert_eq!(prefix_of("abcdefghij", 3), "abcdefghij");
        assert_eq!(prefix_of("\u{200b} \u{301} x", 4), "\u{200b} \u{301} x");
        assert_eq!(prefix_of("ñandú grande", 1), "ñandú");
    }
}
