//! A user's own pairs in three formats.

use proptest::prelude::*;
use sts_eval::{PairFormat, Task, UserSet};

fn pairs(task: &Task) -> Vec<(f64, &str, &str)> {
    task.pairs().map(|pair| (pair.gold, pair.first.as_str(), pair.second.as_str())).collect()
}

#[test]
fn the_same_pairs_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("a.tsv", "4.5\tsay \"hi\"\ta, b\n\n\tnot\trated\n-1e-1\t é \t\n"),
        (
            "b.TSV",
            "\u{feff}Sentence2\tid\tSCORE\tsentence1\r\na, b\t1\t4.5\tsay \"hi\"\r\nrated\t2\t\tnot\r\n\t3\t-0.1\t é \r\n",
        ),
        ("c.csv", "4.5,\"say \"\"hi\"\"\",\"a, b\"\n,not,rated\n-0.1, é ,\n"),
        (
            "d.csv",
            "score,sentence1,sentence2\r\n\r\n4.5,\"say \"\"hi\"\"\",\"a, b\"\r\n,not,rated\r\n-0.1, é ,\"\"",
        ),
        (
            "e.jsonl",
            "{\"sentence1\": \"say \\\"hi\\\"\", \"sentence2\": \"a, b\", \"score\": 4.5, \"id\": [1]}\n \n\
             {\"score\": null, \"sentence1\": \"not\", \"sentence2\": \"rated\"}\n\
             {\"score\": -0.1, \"sentence1\": \" é \", \"sentence2\": \"\"}",
        ),
    ];
    for (file, content) in files {
        let path = folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        let set: UserSet = format!("mine={}", path.display()).parse().unwrap();
        let task = set.read().unwrap();
        assert_eq!(pairs(&task), [(4.5, "say \"hi\"", "a, b"), (-0.1, " é ", "")], "{file}");
        assert_eq!((task.name.as_str(), task.without_gold), ("mine", 1), "{file}");
    }
}

#[test]
fn a_quoted_field_may_span_lines() {
    let task = Task::from_text("p", "1,\"a\nb\",c\n2,d,\"e\n\"\n", PairFormat::Csv).unwrap();
    assert_eq!(pairs(&task), [(1.0, "a\nb", "c"), (2.0, "d", "e\n")]);
}

#[test]
fn the_argument_is_split_at_its_first_equals_sign() {
    let set: UserSet = "news = a=b.csv".parse().unwrap();
    assert_eq!((set.name.as_str(), set.path.to_str().unwrap()), ("news", " a=b.csv"));
}

proptest! {
    /// Whatever a file holds, reading it ends in pairs or in an error, never in a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\t\n\r\",{}0-9]{0,80}") {
        for format in [PairFormat::Tsv, PairFormat::Csv, PairFormat::Jsonl] {
            if let Ok(task) = Task::from_text("p", &text, format) {
                prop_assert!(task.pair_count() > 0);
            }
        }
    }

    /// What a CSV writer writes comes back, with quotes, commas and line breaks in the sentences.
    #[test]
    fn written_csv_comes_back(
        rows in prop::collection::vec((-9i32..9, "[a\", \n\r]{0,8}", "[b\", \n\r]{0,8}"), 1..6),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let text: String = rows
            .iter()
            .map(|(score, first, second)| format!("{score},{},{}\n", quoted(first), quoted(second)))
            .collect();
        let task = Task::from_text("p", &text, PairFormat::Csv).unwrap();
        let expected: Vec<_> =
            rows.iter().map(|(score, a, b)| (f64::from(*score), a.as_str(), b.as_str())).collect();
        prop_assert_eq!(pairs(&task), expected);
    }
}
