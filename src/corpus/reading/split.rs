//! Paragraphs cut into sentences: by Unicode's rules (UAX #29), and where those cut after an abbreviation, not there.
//!
//! The rules know no language: "Mr. Smith" is cut in two. Unicode's own remedy are the suppressions of CLDR, a list for
//! each language; the words here are of those lists for English, German, French, Spanish, Italian and Portuguese, less
//! the ones that are everyday words at the end of a sentence ("in.", "go.").

use unicode_segmentation::UnicodeSegmentation;

use super::record::in_one_line;
use crate::corpus::is_blank;

/// In lower case, without the period at the end.
const ABBREVIATIONS: [&str; 104] = [
    "abb", "abs", "adj", "adm", "adv", "allg", "approx", "art", "assn", "asst", "aug", "ave", "bd", "blvd",
    "brig", "bzgl", "bzw", "ca", "cap", "capt", "cf", "cmdr", "co", "col", "comm", "conn", "corp", "dec",
    "dept", "dott", "dr", "dra", "dras", "drs", "ed", "eds", "est", "evtl", "ex", "feb", "fig", "figs", "fn",
    "fr", "gen", "gov", "hon", "hr", "hrsg", "inc", "insb", "jan", "jr", "jul", "jun", "lic", "lt", "ltd",
    "maj", "mar", "max", "messrs", "mgr", "mlle", "mm", "mme", "mmes", "mr", "mrs", "ms", "mt", "mwst",
    "nov", "nr", "num", "oct", "okt", "op", "phd", "pp", "prof", "profa", "pvt", "rep", "rev", "sen", "sep",
    "sept", "sgt", "sig", "sr", "sra", "srta", "st", "str", "tel", "univ", "usw", "vgl", "vol", "vols", "vs",
    "zool", "zzgl",
];

/// Calls `each` with the sentences of a text, white space around them taken off. An empty line ends a sentence; a single
/// line break is a space.
pub fn sentences(text: &str, mut each: impl FnMut(&str)) {
    if !text.contains('\n') {
        return of_paragraph(text, &mut each);
    }
    let lines: Vec<&str> = text.split('\n').collect();
    for paragraph in lines.split(|line| is_blank(line)) {
        of_paragraph(&in_one_line(&paragraph.join("\n")), &mut each);
    }
}

fn of_paragraph(text: &str, each: &mut impl FnMut(&str)) {
    let mut start = 0;
    let mut tell = |piece: &str| {
        let piece = piece.trim();
        if !is_blank(piece) {
            each(piece);
        }
    };
    for (cut, _) in text.split_sentence_bound_indices().skip(1) {
        let cut = before_opening(text, cut);
        if cut > start && !goes_on(&text[start..cut], &text[cut..]) {
            tell(&text[start..cut]);
            start = cut;
        }
    }
    tell(&text[start..]);
}

/// A bracket or quotation mark that opens belongs to what comes after it. Marks that open in one language and close
/// in another stay where Unicode's rules leave them.
fn before_opening(text: &str, cut: usize) -> usize {
    let before = text[..cut].trim_end();
    let kept = before.trim_end_matches(|c: char| "([{¿¡„「『（【《〈".contains(c));
    if kept.len() < before.len() { kept.len() } else { cut }
}

/// Whether a sentence goes on after this cut.
fn goes_on(before: &str, after: &str) -> bool {
    let before = before.trim_end();
    if !before.chars().any(char::is_alphabetic) {
        return true; // "1." of a list, or a dash: not a sentence.
    }
    let begins_small =
        after.trim_start().chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
    // "Really?" she said.
    let is_quoted = before.ends_with(['"', '”', '’', '\'', '»', '“', ')']);
    (begins_small && is_quoted) || ends_abbreviated(before)
}

fn ends_abbreviated(before: &str) -> bool {
    let Some(before) = before.strip_suffix('.') else { return false };
    let word = before.rsplit(|c: char| c.is_whitespace() || "([\"'“‘„".contains(c)).next().unwrap_or(before);
    // Initials, and what is made of them: J., U.S., z. B.
    let is_initials = word.split('.').all(|part| {
        let mut letters = part.chars();
        letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
    });
    is_initials || ABBREVIATIONS.binary_search(&word.to_lowercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        sentences(text, |sentence| found.push(sentence.to_owned()));
        found
    }

    #[test]
    fn abbreviations_are_in_order() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn sentences_are_cut_where_people_would() {
        for (text, expected) in [
            ("One. Two!  Three?", &["One.", "Two!", "Three?"][..]),
            (
                "Mr. Smith met Dr. J. R. Jones, e.g. on Monday. \"Really?\" she said. Yes!",
                &["Mr. Smith met Dr. J. R. Jones, e.g. on Monday.", "\"Really?\" she said.", "Yes!"],
            ),
            (
                "Version 2.5 is out. See Fig. 3. It works (really!). So.",
                &["Version 2.5 is out.", "See Fig. 3.", "It works (really!).", "So."],
            ),
            (
                "Das ist z. B. gut. Er sagte: „Ja.“ Dann ging er.",
                &["Das ist z. B. gut.", "Er sagte: „Ja.“", "Dann ging er."],
            ),
            (
                "今日は晴れ。明日は雨！「そうですか？」と彼は言った。",
                &["今日は晴れ。", "明日は雨！", "「そうですか？」", "と彼は言った。"],
            ),
            ("क्या हाल है। मैं ठीक हूँ।", &["क्या हाल है।", "मैं ठीक हूँ।"]),
            ("1. First point. 2. Second point.", &["1. First point.", "2. Second point."]),
            (
                "A title\n\nA line that\n  goes on. And ends.\r\n \r\nNext",
                &["A title", "A line that goes on.", "And ends.", "Next"],
            ),
            (" \n ", &[]),
            ("...", &["..."]),
            ("no end", &["no end"]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    proptest! {
        /// Nothing is lost but white space, and a second cut changes nothing of single sentences' content.
        #[test]
        fn letters_are_kept_in_order(text in "([A-Za-zé.!?\"「」 \n]|Mr\\. |\\PC){0,80}") {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let found = split(&text);
            let seen: String = found.iter().map(|sentence| letters(sentence)).collect();
            let blank_aside = |text: String| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(blank_aside(seen), blank_aside(letters(&text)));
            for sentence in found {
                prop_assert!(!is_blank(&sentence) && !sentence.contains('\n') && sentence.trim() == sentence);
            }
        }
    }
}
