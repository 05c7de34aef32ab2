//! How messages quote third-party text, which may be long and hold anything, and how they count.

use std::fmt::Display;

const LONGEST: usize = 60;

/// The beginning of a name, in quotation marks, with control characters escaped.
pub(crate) fn quoted(name: &str) -> String {
    format!("{:?}", beginning(name))
}

/// The beginning of a JSON value.
pub(crate) fn shortened(value: &serde_json::Value) -> String {
    beginning(&value.to_string())
}

/// The line of a text's byte `place`, from 1 on.
pub(crate) fn line_of(text: &[u8], place: usize) -> usize {
    1 + text[..place.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// What a library reports of a file, which may repeat much of the file.
pub(crate) fn reason(error: impl Display) -> String {
    cut(one_line(&error.to_string()), 300)
}

/// A message in which control characters are escaped: it could be an order to the terminal, or look like two.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// The beginning of what could be long.
pub(crate) fn beginning(text: &str) -> String {
    cut(text.to_owned(), LONGEST)
}

/// The first `longest` characters, with an ellipsis where there are more.
fn cut(mut text: String, longest: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(longest) {
        text.replace_range(end.., "…");
    }
    text
}

/// A number of things, in words: "1 line", "3 lines".
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), r#""a\nb\u{1b}[31m""#);
        assert_eq!(quoted(&"x".repeat(LONGEST)), format!("{:?}", "x".repeat(LONGEST)));
        assert_eq!(quoted(&"é".repeat(9999)), format!("\"{}…\"", "é".repeat(LONGEST)));
        assert_eq!(one_line("a\nb \u{1b}[31m é"), r"a\nb \u{1b}[31m é");
        assert_eq!(reason("a\nb"), r"a\nb");
        assert_eq!(reason("é".repeat(9999)), format!("{}…", "é".repeat(300)));
        assert_eq!(shortened(&serde_json::json!({"a": ["\n"]})), r#"{"a":["\n"]}"#);
    }
}
