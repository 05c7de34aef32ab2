//! The two columns of a line of pairs.

use super::CorpusError;

/// How the lines of a corpus are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A sentence a line; the second view is the sentence with a span masked.
    Sentences,
    /// Two columns a line, separated by a tab or, in a line without one, by `||`; they are the views.
    Pairs,
}

impl Format {
    /// The texts of a line: a sentence twice, or the columns of a pair. Nothing is trimmed.
    /// The error says what was found instead of a pair.
    pub(super) fn columns(self, text: &str) -> Result<[&str; 2], &'static str> {
        if self == Format::Sentences {
            return Ok([text, text]);
        }
        let separator = if text.contains('\t') { "\t" } else { "||" };
        let one = if text.contains(',') { "one column (commas separate none)" } else { "one column" };
        let (first, second) = text.split_once(separator).ok_or(one)?;
        match (is_blank(first), is_blank(second)) {
            _ if second.contains(separator) => Err("more than two columns"),
            (true, _) => Err("an empty first column"),
            (false, true) => Err("an empty second column"),
            (false, false) => Ok([first, second]),
        }
    }

    pub(super) fn check(self, text: &str, name: &str, line: u64) -> Result<(), CorpusError> {
        let found = |found| CorpusError::Columns { name: name.to_owned(), line, found };
        self.columns(text).map(drop).map_err(found)
    }
}

/// Whether nothing of a line can be seen: it has white space, control characters and characters of no width alone.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || has_no_width(c))
}

/// Marks that are there for layout alone: a zero-width space or joiner, a byte order mark, a direction, a variation.
fn has_no_width(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_blank() {
        for blank in [
            "",
            " \t\r",
            "\u{3000}\u{2028}\u{85}",
            "\u{200B}\u{FEFF}\u{200D}",
            "\u{1}\u{1b}\u{7f}",
            "\u{ad}\u{fe0f}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in ["a", "\u{200B}a", ".", "\u{301}", "犬", "\u{2800}", "\u{1F600}", "0"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn a_tab_wins_and_columns_are_not_trimmed() {
        let pairs = |text| Format::Pairs.columns(text);
        assert_eq!(pairs("a || b"), Ok(["a ", " b"]));
        assert_eq!(pairs("a || b\tc"), Ok(["a || b", "c"]));
        assert_eq!(pairs("a|b||c|d"), Ok(["a|b", "c|d"]));
        assert_eq!(pairs("a\t"), Err("an empty second column"));
        assert_eq!(pairs("\tb"), Err("an empty first column"));
        assert_eq!(pairs("a b"), Err("one column"));
        assert_eq!(pairs("a, b"), Err("one column (commas separate none)"));
        assert_eq!(pairs("\u{200B}\tb"), Err("an empty first column"));
        assert_eq!(pairs("a\tb\tc"), Err("more than two columns"));
        assert_eq!(pairs("a||b||c"), Err("more than two columns"));
        assert_eq!(Format::Sentences.columns("a\tb||c"), Ok(["a\tb||c", "a\tb||c"]));
    }
}
