//! `mirror eval`: sets, forms and what they hold.

use serde_json::Value;

use crate::models::Kind;
use crate::workspace::Workspace;

const PAIRS: &str = "5\ta man plays the guitar\ta man plays a guitar\n0.5\ttwo dogs run\tsomeone sings loudly\n\
                     3\tgreen fields\tthe green fields and dogs\n1\ta dog\tthe guitar while someone sings\n";

#[test]
fn json_has_the_agreed_shape() {
    let w = Workspace::new();
    w.write("pairs.tsv", PAIRS);
    let said = w.run("eval --set mine=pairs.tsv --json -");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let task = &report["tasks"]["mine"];
    let spearman = task["spearman"].as_f64().unwrap();
    assert!((-100.0..=100.0).contains(&spearman));
    assert_eq!((task["pairs"].as_u64(), task["subsets"].is_object()), (Some(4), true), "{report}");
    assert_eq!(report["average"].as_f64(), Some(spearman));
}

#[test]
fn the_same_scores_in_every_form() {
    let w = Workspace::new();
    w.write("pairs.tsv", PAIRS);
    w.write(
        "pairs.csv",
        "score,sentence1,sentence2\n5,\"a man, plays\",a man\n1,two dogs,the guitar\n2,a,b\n",
    );
    w.write(
        "pairs.jsonl",
        "{\"score\": 4, \"sentence1\": \"a man\", \"sentence2\": \"a dog\"}\n\
         {\"score\": 1, \"sentence1\": \"someone\", \"sentence2\": \"a dog\"}\n\
         {\"score\": 2, \"sentence1\": \"green\", \"sentence2\": \"fields\"}\n",
    );
    let sets = "--set one=pairs.tsv --set two=pairs.csv --set three=pairs.jsonl";
    let said = w.run(&format!("eval {sets} --json s.json --markdown s.md --latex s.tex"));
    let report = w.json("s.json");
    let markdown = String::from_utf8(w.read("s.md")).unwrap();
    let latex = String::from_utf8(w.read("s.tex")).unwrap();
    for name in ["one", "two", "three"] {
        let score = format!("{:.2}", report["tasks"][name]["spearman"].as_f64().unwrap());
        for text in [&said.stdout, &markdown, &latex] {
            assert!(text.contains(&score) && text.contains(name), "{name} {score}:\n{text}");
        }
    }
    assert!(markdown.contains('|') && latex.contains("\\begin{tabular}"), "{markdown}{latex}");
    for form in ["markdown", "latex"] {
        let said = w.run(&format!("eval {sets} --{form} -"));
        assert_eq!(said.stdout.as_bytes(), w.read(if form == "latex" { "s.tex" } else { "s.md" }));
    }
    w.refuses_usage("eval --json - --markdown -", &["only one of"]);
}

#[test]
fn models_are_compared_side_by_side() {
    let w = Workspace::new();
    w.write("pairs.tsv", PAIRS);
    w.model(Kind::Roberta, "m");
    let said = w.run("eval --model builtin --model m --set mine=pairs.tsv --json -");
    let reports: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((reports[0]["model"].as_str(), reports[1]["model"].as_str()), (Some("builtin"), Some("m")));
    assert!(reports[1]["tasks"]["mine"]["spearman"].is_number());
}

#[test]
fn without_data_the_built_in_pairs_are_scored_and_that_is_said() {
    let w = Workspace::new();
    let said = w.run("eval --threads 1");
    assert!(
        said.stdout.contains("built-in pairs") && said.stderr.contains("no benchmark"),
        "{}",
        said.stderr
    );
}

#[test]
fn sets_that_cannot_be_read_are_named_by_file_and_line() {
    let w = Workspace::new();
    for (file, text, says) in [
        ("p.tsv", "1\ta\tb\nhigh\tc\td\n", ["p.tsv, line 2", "\"high\" is not a finite number"]),
        ("p.tsv", "1\ta\tb\nnan\tc\td\n", ["p.tsv, line 2", "not a finite number"]),
        ("p.tsv", "1\ta\tb\n2\tc\n", ["p.tsv, line 2", "2 columns where three are needed"]),
        ("p.csv", "score,sentence1\n1,a\n", ["p.csv, line 1", "sentence2"]),
        ("p.jsonl", "{\"score\": 1}\n", ["p.jsonl, line 1", "sentence1"]),
        ("p.tsv", "", ["p.tsv", "no pair"]),
    ] {
        w.write(file, text);
        w.fails(&format!("eval --set mine={file}"), &says);
    }
    w.write("p.tsv", b"1\ta\tb\n2\t\xFF\tc\n");
    w.fails("eval --set mine=p.tsv", &["p.tsv, line 2", "UTF-8"]);
    w.fails("eval --set mine=absent.tsv", &["absent.tsv", "No such file"]);
    w.fails("eval --data absent", &["absent", "does not exist"]);
    w.refuses_usage("eval --set mine", &["NAME=FILE"]);
    w.refuses_usage("eval --convention senteval", &["mirror-bert, simcse"]);
    // An STS folder with a broken line, in SentEval's layout.
    w.write("sts/STS/STSBenchmark/sts-dev.csv", "main\tf\t2012\t1\t2.5\ta\n");
    w.write("sts/STS/STSBenchmark/sts-test.csv", "main\tf\t2012\t1\t2.5\ta\tb\n");
    w.fails("train --data sts", &["sts-dev.csv, line 1", "column"]);
}

#[test]
fn word_pairs_are_scored_as_sentences_are() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let rows = ["a man\tdog", "guitar\tgreen", "loudly\tloud", "fields\tfield", "runs\trun", "sings\tdogs"];
    let table = |order: usize, separator: &str| {
        let row =
            |(i, row): (usize, &&str)| format!("{row}\t{}.5\n", (i * order) % 7).replace('\t', separator);
        rows.iter().enumerate().map(row).collect::<String>()
    };
    w.write("words/multisimlex-en.tsv", table(2, "\t"));
    w.write("words/SimLex-999.csv", format!("word1,word2,SimLex999\n{}", table(3, ",")));
    w.write("words/EN-SimVerb-3500.txt", table(4, "\t").replace('\n', "\r\n"));
    w.write("words/simlex-german.txt", table(5, "\t"));
    let said =
        w.run("eval --model m --words words --json s.json --markdown s.md --latex s.tex --html s.html");
    let report = w.json("s.json");
    let names = ["Multi-SimLex", "SimLex-999", "SimVerb-3500"];
    assert_eq!(report["averaged"], serde_json::json!(names), "{report}");
    for (name, order) in names.into_iter().zip([2, 3, 4]) {
        let task = &report["tasks"][name];
        // The same pairs as somebody's own.
        let scored: String = table(order, "\t")
            .lines()
            .map(|line| line.rsplit_once('\t').unwrap())
            .map(|(words, score)| format!("{score}\t{words}\n"))
            .collect();
        w.write("own.tsv", scored);
        w.run("eval --model m --set own=own.tsv --json own.json");
        assert_eq!(task["spearman"], w.json("own.json")["tasks"]["own"]["spearman"], "{name}");
        assert!(task["interval"]["low"].is_number(), "{report}");
        let score = format!("{:.2}", task["spearman"].as_f64().unwrap());
        for form in ["s.md", "s.tex", "s.html"] {
            let text = String::from_utf8(w.read(form)).unwrap();
            assert!(text.contains(name) && text.contains(&score), "{form}: {text}");
        }
        assert!(said.stdout.contains(name) && said.stdout.contains(&score), "{}", said.stdout);
        assert!(
            said.stderr.contains(&format!("warning: {name}: 6 pairs, where the published set has")),
            "{}",
            said.stderr
        );
    }
    assert!(said.stderr.contains("words/simlex-german.txt: left out"), "{}", said.stderr);
    // Any of them will do, beside other sets.
    std::fs::remove_file(w.path("words/SimLex-999.csv")).unwrap();
    let said = w.run("eval --model m --words words --set own=own.tsv --json -");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let tasks: Vec<&String> = report["tasks"].as_object().unwrap().keys().collect();
    assert_eq!(tasks, ["Multi-SimLex", "SimVerb-3500", "own"]);

    w.write("words/EN-SimVerb-3500.txt", "take\tremove\t6.8\nwalk\ttrail\n");
    w.fails("eval --model m --words words", &["words/EN-SimVerb-3500.txt, line 2: 2 columns where"]);
    w.write("else/notes.txt", "nothing");
    w.fails(
        "eval --model m --words else",
        &["else holds no set", "Multi-SimLex (", "SimLex-999.txt", "SimVerb-3500.txt"],
    );
    w.fails("eval --model m --words absent", &["absent is no folder", "SimLex-999.txt"]);
    w.fails("eval --model m --words own.tsv", &["own.tsv is no folder"]);
    w.refuses_usage("eval --model m --words words --corpus own.tsv", &["--words", "--corpus"]);
}
