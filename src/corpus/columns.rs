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
        let (first, second) = text.split_once(separator).ok_or("one column")?;
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

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_wins_and_columns_are_not_trimmed() {
        let pairs = |text| Format::Pairs.columns(text);
        assert_eq!(pairs("a || b"), Ok(["a ", " b"]));
        assert_eq!(pairs("a || b\tc"), Ok(["a || b", "c"]));
        assert_eq!(pairs("a|b||c|d"), Ok(["a|b", "c|d"]));
        assert_eq!(pairs("a\t"), Err("an empty second column"));
        assert_eq!(pairs("\tb"), Err("an empty first column"));
        assert_eq!(pairs("a b"), Err("one column"));
        assert_eq!(pairs("a\tb\tc"), Err("more than two columns"));
        assert_eq!(pairs("a||b||c"), Err("more than two columns"));
        assert_eq!(Format::Sentences.columns("a\tb||c"), Ok(["a\tb||c", "a\tb||c"]));
    }
}
