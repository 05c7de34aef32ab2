//! Which column of a table of word pairs holds what.

/// Names of columns in the published headers, without blanks and signs, in lower case.
const FIRST: [&str; 8] = ["word1", "w1", "verb1", "eng1", "concept1", "firstword", "wordone", "first"];
const SECOND: [&str; 8] = ["word2", "w2", "verb2", "eng2", "concept2", "secondword", "wordtwo", "second"];
/// The first of these that is there counts.
const SCORE: [&str; 16] = [
    "simlex999",
    "simverb3500",
    "eng",
    "score",
    "similarity",
    "simscore",
    "sim",
    "rating",
    "mean",
    "average",
    "avg",
    "averagescore",
    "meanscore",
    "goldscore",
    "gold",
    "human",
];
/// A number follows: each annotator has a column, and the score is their mean.
const ANNOTATOR: &str = "annotator";

/// What messages say of names.
pub const KNOWN: &str =
    "word1, word2 (or ENG 1, ENG 2), and score, similarity, SimLex999, ENG or Annotator1, Annotator2, …";

/// What a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub words: Option<[usize; 2]>,
    /// Several where annotators have columns of their own.
    pub scores: Vec<usize>,
    pub count: usize,
    /// SimLex-999's own score column is there.
    pub simlex_999: bool,
    /// Multi-SimLex's English words are there, and its English scores.
    pub eng: [bool; 2],
}

impl Columns {
    /// The columns that a first row names; `None` where it names no word and no score, or has a number: "mean" and
    /// "average" may be a pair.
    pub fn named_in(row: &[String]) -> Option<Self> {
        if row.iter().any(|field| is_number(field)) {
            return None;
        }
        let names: Vec<String> = row.iter().map(|name| plain(name)).collect();
        let position = |known: &str| names.iter().position(|name| name == known);
        let of = |known: &[&str]| known.iter().find_map(|known| position(known));
        let words = of(&FIRST).zip(of(&SECOND)).map(|(first, second)| [first, second]);
        let annotators = |name: &String| {
            name.strip_prefix(ANNOTATOR)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let scores = match of(&SCORE) {
            Some(score) => vec![score],
            None => (0..names.len()).filter(|&column| annotators(&names[column])).collect(),
        };
        let eng = [position("eng1").is_some() && position("eng2").is_some(), position("eng").is_some()];
        let simlex_999 = position("simlex999").is_some() && words.is_some();
        (words.is_some() || !scores.is_empty()).then_some(Self {
            words,
            scores,
            count: names.len(),
            simlex_999,
            eng,
        })
    }

    /// The columns of a row without a header: the first two that are no numbers, and the first number after them.
    pub fn seen_in(row: &[String]) -> Option<Self> {
        let mut words = (0..row.len()).filter(|&column| !is_number(&row[column]) && !row[column].is_empty());
        let words = [words.next()?, words.next()?];
        let score = (words[1] + 1..row.len()).find(|&column| is_number(&row[column]))?;
        Some(Self {
            words: Some(words),
            scores: vec![score],
            count: row.len(),
            simlex_999: false,
            eng: [false; 2],
        })
    }

    /// The same places of words and score, whatever stands besides.
    pub fn agrees(&self, other: &Self) -> bool {
        self.words == other.words && self.scores == other.scores
    }

    /// Columns that a row must have: up to the words and the score, or up to one of the annotators'.
    pub fn needed(&self) -> usize {
        self.words.iter().flatten().chain(self.scores.iter().take(1)).max().map_or(0, |last| last + 1)
    }
}

fn is_number(field: &str) -> bool {
    field.parse::<f64>().is_ok_and(f64::is_finite)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A part of speech in the published writings.
pub fn part_of_speech(field: &str) -> Option<&'static str> {
    match field.to_ascii_lowercase().as_str() {
        "n" | "noun" | "nouns" => Some("nouns"),
        "v" | "verb" | "verbs" => Some("verbs"),
        "a" | "adj" | "adjective" | "adjectives" => Some("adjectives"),
        "r" | "adv" | "adverb" | "adverbs" => Some("adverbs"),
        _ => None,
    }
}
