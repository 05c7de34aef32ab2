//! `mirror search`: what is found is what sorting all cosines would find.

use serde_json::Value;

use crate::models::{Kind, sentences};
use crate::workspace::{Workspace, jsonl};

fn found(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Line numbers of the hits of one query with one model.
fn lines(hits: &Value) -> Vec<u64> {
    hits.as_array().unwrap().iter().map(|hit| hit["line"].as_u64().unwrap()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// More lines than are encoded together, blank ones among them, and copies of a line in different blocks.
#[test]
fn finds_what_sorting_all_cosines_would() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut text = sentences(2600);
    text[7] = String::new();
    text[2300] = "  ".into();
    for copy in [100, 2100, 2599] {
        text[copy] = "two dogs run over the green fields".into();
    }
    w.write("in.txt", text.join("\n"));
    w.write("queries.txt", "two dogs run over the green fields\n\nsomeone sings\n");
    let json = found(&w.run("search --model m --input in.txt --queries queries.txt --top 5 --json").stdout);
    assert_eq!(json.as_array().unwrap().len(), 2, "a blank line is no query");

    let rows = jsonl(&w.run("encode --model m --input in.txt").stdout);
    let queries = jsonl(&w.run("encode --model m --input queries.txt").stdout);
    for (found, query) in json.as_array().unwrap().iter().zip([&queries[0], &queries[2]]) {
        let mut expected: Vec<(f64, usize)> = rows
            .iter()
            .enumerate()
            .filter(|(i, _)| !text[*i].trim().is_empty())
            .map(|(i, row)| (cosine(query, row), i + 1))
            .collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let hits = found["models"][0]["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 5);
        for (hit, (cosine, _)) in hits.iter().zip(&expected) {
            let line = hit["line"].as_u64().unwrap() as usize;
            assert!((hit["cosine"].as_f64().unwrap() - cosine).abs() < 1e-5, "{hit}");
            assert_eq!(hit["text"].as_str().unwrap(), text[line - 1]);
        }
    }
    // The query itself is there three times: as near as can be, and the earliest line first.
    assert_eq!(lines(&json[0]["models"][0]["hits"])[..3], [101, 2101, 2600]);

    // From standard input, and from an argument, it is the same.
    let query = "two dogs run over the green fields";
    let piped = w.run_with("search --model m --input in.txt --top 5 --json", query).stdout;
    assert_eq!(found(&piped)[0], json[0]);
    let text_piped = w
        .mirror("search --model m --input - --top 5 --json")
        .arg(query)
        .write_stdin(text.join("\n"))
        .output();
    assert_eq!(found(&String::from_utf8(text_piped.unwrap().stdout).unwrap())[0], json[0]);
}

#[test]
fn models_stand_side_by_side_within_the_width() {
    let w = Workspace::new();
    w.model(Kind::Bert, "a");
    w.model(Kind::Roberta, "b");
    let mut text = sentences(12);
    text[3] = format!("{}\x1b[31m\t界界", text[3]);
    w.write("in.txt", text.join("\n"));
    for (width, side_by_side) in [(100, true), (60, false)] {
        let output = w
            .mirror("search --model a --model b --input in.txt --top 12 --threads 1")
            .arg("a man plays")
            .env("COLUMNS", width.to_string())
            .output()
            .unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.starts_with("query: a man plays\n"), "{table}");
        let headings = table.lines().filter(|line| line.split_whitespace().eq(["a", "b"])).count();
        assert_eq!(headings == 1, side_by_side, "{table}");
        assert!(!table.contains(['\x1b', '\t']), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= width), "{table}");
        // Every line is found by both, so none is new, and moves are told.
        assert!(!table.contains("new") && table.contains("  +"), "{table}");
    }
    let json = found(&w.run("search --model a --model b --input in.txt --top 3 --json guitar").stdout);
    assert_eq!((&json[0]["models"][0]["model"], &json[0]["models"][1]["model"]), (&"a".into(), &"b".into()));
}

#[test]
fn what_cannot_be_searched_is_told() {
    let w = Workspace::new();
    w.write("in.txt", "a man plays\n");
    w.write("blank.txt", "\n  \n");
    w.write("bytes.txt", b"fine\n\xFF\n");
    w.refuses_usage("search query", &["--input"]);
    w.refuses_usage("search --input in.txt", &["no query"]);
    w.refuses_usage("search --input in.txt --queries blank.txt", &["no query"]);
    w.refuses_usage("search --input - ", &["--input -", "--queries FILE"]);
    w.refuses_usage("search --input in.txt --top 0 query", &["--top"]);
    w.refuses_usage("search --input in.txt --queries in.txt query", &["--queries"]);
    w.refuses_usage("search --model no/such/folder/here --input in.txt query", &["no/such/folder/here"]);
    w.fails("search --input absent.txt query", &["absent.txt", "No such file"]);
    w.write("other/notes.md", "a man plays\n");
    w.fails("search --input other query", &["other is a folder without text files", "notes.md"]);
    w.fails("search --input blank.txt query", &["blank.txt", "no sentences", "all 2 lines are blank"]);
    w.fails("search --input bytes.txt query", &["bytes.txt, line 2", "UTF-8"]);
    let fewer = found(&w.run("search --input in.txt --top 3 --json query").stdout);
    assert_eq!(lines(&fewer[0]["models"][0]["hits"]), [1]);
}
