//! What is left out, and what stays.

use std::collections::HashSet;
use std::fmt::Write;

use proptest::prelude::*;

use super::min_hash::{MinHash, Shingles};
use super::*;
use crate::corpus::reading::{CorpusOptions, list};
use crate::corpus::{Corpus, Format};

fn read(text: &str, dedup: Option<Dedup>, format: Format) -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.txt");
    std::fs::write(&path, text).unwrap();
    let options = CorpusOptions { dedup, ..CorpusOptions::default() };
    Corpus::read(list("--corpus", &[path], &options).unwrap(), &options, format).unwrap()
}

fn texts(corpus: &Corpus) -> Vec<(u64, String)> {
    let entries = (0..corpus.len()).map(|i| corpus.entry(i).unwrap());
    entries.map(|entry| (entry.line, entry.texts.join("|"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Of equal texts the first stays, on its line, and all else is as it was: counts, too.
    #[test]
    fn the_first_of_equal_sentences_stays(
        lines in proptest::collection::vec("[ab]{0,2} ?", 1..60), pairs in any::<bool>(),
    ) {
        let format = if pairs { Format::Pairs } else { Format::Sentences };
        let lines: Vec<String> =
            if pairs { lines.iter().map(|line| format!("x{line}||y{line}")).collect() } else { lines };
        let text = lines.join("\n") + "\nend||end\n";
        let mut seen = HashSet::new();
        let all = texts(&read(&text, None, format));
        let trimmed = |text: &str| text.split('|').map(str::trim).collect::<Vec<_>>().join("|");
        let expected: Vec<_> = all.into_iter().filter(|(_, text)| seen.insert(trimmed(text))).collect();
        let corpus = read(&text, Some(Dedup::Exact), format);
        prop_assert_eq!(texts(&corpus), expected.clone());
        let plain: String = expected.iter().fold(String::new(), |mut all, (_, text)| {
            // The texts of a sentence are twice the same.
            let line = if pairs { text.replacen('|', "||", 1) } else { text[..text.len() / 2].to_owned() };
            let _ = writeln!(all, "{line}");
            all
        });
        let same = read(&plain, None, format);
        for span in [1, 5] {
            prop_assert_eq!(corpus.equal_views(span).unwrap(), same.equal_views(span).unwrap());
        }
    }

    /// Each that was left out is near to one before it, and what stays was hardly ever near to another.
    #[test]
    fn near_sentences_are_left_out(
        sentences in proptest::collection::vec("([a-z]{2,7} ){4,9}", 2..20),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..4), 0..20),
    ) {
        let mut lines = sentences;
        for (which, change) in changes {
            let line = which.get(&lines).clone();
            lines.push(match change {
                0 => line.to_uppercase(),
                1 => line.trim().replace(' ', ", ") + "!",
                2 => format!("{line}x"),
                _ => line.chars().skip(1).collect(),
            });
        }
        let text = lines.join("\n");
        let all = texts(&read(&text, None, Format::Sentences));
        let kept = texts(&read(&text, Some(Dedup::Near), Format::Sentences));
        let shingles = |text: &str| Shingles::of(&text[..text.len() / 2]);
        let numbers: HashSet<u64> = kept.iter().map(|(line, _)| *line).collect();
        for (line, text) in all.iter().filter(|(line, _)| !numbers.contains(line)) {
            let before = all.iter().take_while(|(other, _)| other < line);
            let most = before.map(|(_, other)| shingles(other).likeness(&shingles(text))).fold(0.0, f64::max);
            prop_assert!(most >= NEAR, "{text} was left out at {most}");
        }
        for (i, (_, text)) in kept.iter().enumerate() {
            // At this likeness one in a million is not found.
            let near = kept[..i].iter().find(|(_, other)| shingles(other).likeness(&shingles(text)) > 0.97);
            prop_assert!(near.is_none(), "{text} and {near:?}");
        }
    }
}

#[test]
fn case_and_punctuation_are_near_and_other_words_are_not() {
    for (a, b, near) in [
        ("A man is playing a guitar.", "a man is playing a guitar", true),
        ("A man is playing a guitar.", "The man is playing a guitar!", true),
        ("A man is playing a guitar.", "A man is playing a flute.", false),
        ("\u{201c}Order 12 was shipped,\u{201d} he said", "Order 12 was shipped he said", true),
        ("今日は晴れ。", "今日は晴れ", true),
        ("今日は晴れ。", "明日は雨。", false),
        ("!!!", "???", false),
        ("!!!", "!!!", true),
    ] {
        assert_eq!(Shingles::of(a).likeness(&Shingles::of(b)) >= NEAR, near, "{a} / {b}");
    }
}

/// Which sentences are trained on depends on these hashes: they are the same in every build.
#[test]
fn hashes_stay_the_same() {
    let keys = MinHash::new().keys(&Shingles::of("A man is playing a guitar."));
    assert_eq!(keys[..2], [0xB987_534F_0F30_789D, 0xDB23_0AAA_6AC1_E7E6]);
}

#[test]
fn many_templates_and_many_repeats_end() {
    let mut text = String::new();
    for i in 0..20_000 {
        let _ = writeln!(text, "Your order {} of yesterday was shipped today and will arrive soon", i % 5000);
    }
    let corpus = read(&text, Some(Dedup::Exact), Format::Sentences);
    assert_eq!(corpus.len(), 5000);
    assert!(corpus.remarks()[0].contains("15000 sentences repeated"), "{:?}", corpus.remarks());
    let corpus = read(&text, Some(Dedup::Near), Format::Sentences);
    assert!(corpus.len() < 5000, "{}", corpus.len());
}
