//! Without labels: `mirror eval --corpus`, and the lines that `mirror train` holds out.

use serde_json::Value;

use crate::models::{Kind, sentences};
use crate::workspace::Workspace;

const NUMBERS: [&str; 7] =
    ["recall_at_1", "mrr", "mean_rank", "alignment", "uniformity", "mean_cosine", "effective_dimension"];

#[test]
fn a_corpus_without_labels_is_measured_in_every_form() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut lines = sentences(60);
    lines.extend(lines.clone());
    w.write("corpus.txt", lines.join("\n"));
    let both = "eval --model builtin --model m --corpus corpus.txt";
    let said = w.run(&format!("{both} --json s.json --markdown s.md"));
    let reports = w.json("s.json");
    let markdown = String::from_utf8(w.read("s.md")).unwrap();
    for (report, model) in reports.as_array().unwrap().iter().zip(["builtin", "m"]) {
        assert_eq!(
            (report["model"].as_str(), report["sentences"].as_u64()),
            (Some(model), Some(60)),
            "repeats"
        );
        for number in NUMBERS {
            assert!(report[number].as_f64().unwrap().is_finite(), "{number}: {report}");
        }
        let mrr = format!("{:.4}", report["mrr"].as_f64().unwrap());
        assert!(said.stdout.contains(&mrr) && markdown.contains(&mrr), "{}", said.stdout);
    }
    assert!(reports[0]["mrr"].as_f64().unwrap() > 0.5, "{reports}");

    // A function of the seed, whatever the threads.
    let drawn = |flags: &str| {
        w.run(&format!("eval --model m --corpus corpus.txt --sentences 20 --json - {flags}")).stdout
    };
    assert_eq!(drawn("--threads 1"), drawn("--threads 2"));
    assert_ne!(drawn("--seed 1"), drawn("--seed 2"));
    let one: Value = serde_json::from_str(&drawn("")).unwrap();
    assert_eq!(one["sentences"], 20);
}

#[test]
fn what_cannot_be_measured_without_labels_is_told() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.write("short.txt", "one\ntwo\nthree\n");
    w.write("same.txt", "one\none\n");
    w.refuses_usage("eval --corpus corpus.txt --data sts", &["--corpus", "--data"]);
    w.refuses_usage("eval --corpus corpus.txt --set mine=pairs.tsv", &["--corpus", "--set"]);
    w.refuses_usage("eval --corpus corpus.txt --sentences 1", &["--sentences is 1"]);
    w.refuses_usage("eval --corpus corpus.txt --mask-span 0", &["--mask-span is 0"]);
    w.refuses_usage("eval --corpus corpus.txt --json - --markdown -", &["only one of"]);
    w.refuses_usage("eval --sentences 10", &["--corpus"]);
    w.fails("eval --corpus absent.txt", &["absent.txt", "No such file"]);
    w.fails("eval --corpus same.txt", &["same.txt", "only one different sentence"]);
    let said = w.run("eval --corpus short.txt --json -");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(said.stderr.contains("too short for a mask"), "{}", said.stderr);
    assert!(report["mrr"].is_null() && report["uniformity"].is_number(), "{report}");
}

/// The lines of metrics.jsonl that measure held-out lines.
fn measured(w: &Workspace, folder: &str) -> Vec<Value> {
    w.metrics(folder).into_iter().filter(|line| line.get("mrr").is_some()).collect()
}

#[test]
fn without_sts_data_a_twentieth_of_the_corpus_is_held_out_and_measured() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("corpus.txt", sentences(200).join("\n"));
    let train = "train --model m --corpus corpus.txt --batch-size 8 --lr 1e-3";
    let said = w.run(&format!("{train} --max-steps 4 --eval-every 2 --output out"));
    assert!(said.stderr.contains("corpus.txt: 10 lines are held out"), "{}", said.stderr);
    let lines = measured(&w, "out");
    let steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 2, 4]);
    for line in &lines {
        assert_eq!(line["sentences"], 10);
        assert!(NUMBERS.iter().all(|number| line[number].is_number()), "{line}");
    }
    assert!(said.stdout.contains("before ") && said.stdout.contains("after "), "{}", said.stdout);
    for line in [&lines[0], &lines[2]] {
        let mrr = format!("{:.4}", line["mrr"].as_f64().unwrap());
        let card = String::from_utf8(w.read("out/README.md")).unwrap();
        assert!(said.stdout.contains(&mrr) && card.contains(&mrr), "{}{card}", said.stdout);
    }
    let settings = String::from_utf8(w.read("out/train.toml")).unwrap();
    assert!(settings.contains("holdout = 10\n"), "{settings}");

    // An epoch is of what is left, and the saved settings repeat the run.
    w.run(&format!("{train} --output whole"));
    let last = w.metrics("whole").iter().filter_map(|line| line.get("loss").and(line["step"].as_u64())).max();
    assert_eq!(last, Some(190 / 8));
    w.run("train --config out/train.toml --output again");
    assert_eq!(w.read("out/model.safetensors"), w.read("again/model.safetensors"));
    assert_eq!(w.read("out/metrics.jsonl"), w.read("again/metrics.jsonl"));
}

#[test]
fn holdout_is_what_is_asked_for() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("corpus.txt", sentences(200).join("\n"));
    let train = "train --model m --corpus corpus.txt --batch-size 8 --max-steps 1";
    for (flags, held_out) in
        [("--holdout 30", 30), ("--holdout 0", 0), ("--no-eval", 0), ("--no-eval --holdout 30", 0)]
    {
        let output = flags.replace([' ', '-'], "");
        let said = w.run(&format!("{train} {flags} --output {output}"));
        assert_eq!(said.stderr.contains("held out"), held_out > 0, "{flags}: {}", said.stderr);
        let lines = measured(&w, &output);
        assert!(lines.iter().all(|line| line["sentences"] == held_out), "{flags}");
        assert_eq!(lines.is_empty(), held_out == 0, "{flags}");
        let settings = String::from_utf8(w.read(&format!("{output}/train.toml"))).unwrap();
        assert!(settings.contains(&format!("holdout = {held_out}\n")), "{settings}");
    }
    w.refuses_usage(&format!("{train} --holdout 1"), &["--holdout is 1", "at least 2"]);
    w.refuses_usage(&format!("{train} --holdout few"), &["--holdout", "few"]);
    w.fails(&format!("{train} --holdout 199"), &["hold out 199 of the 200 sentences"]);
    w.fails(&format!("{train} --holdout 195"), &["--batch-size 8", "5 different sentences"]);
    // Where none can be spared and none was asked for, all are trained on.
    w.write("tight.txt", sentences(40).join("\n"));
    let said = w.run("train --model m --corpus tight.txt --batch-size 40 --output tight");
    assert!(!said.stderr.contains("held out"), "{}", said.stderr);
    // The built-in run has its pairs to go by.
    let said = w.run("train --max-steps 1 --batch-size 8 --output own");
    assert!(!said.stderr.contains("held out") && said.stdout.contains("built-in pairs"), "{}", said.stderr);
    // Pairs: the second column is to find the first.
    let pairs: String = sentences(80).chunks(2).map(|pair| format!("{}\t{}\n", pair[0], pair[1])).collect();
    w.write("pairs.txt", pairs);
    w.run(
        "train --model m --pairs --corpus pairs.txt --batch-size 8 --max-steps 1 --holdout 12 --output pairs",
    );
    assert!(
        measured(&w, "pairs")
            .iter()
            .all(|line| (line["views"].as_u64(), line["mrr"].is_number()) == (Some(12), true))
    );
}

#[test]
fn collapse_is_told_where_it_happens_and_only_there() {
    let w = Workspace::new();
    let corpus: Vec<&str> = mirror::builtin::CORPUS.lines().take(400).collect();
    w.write("corpus.txt", corpus.join("\n"));
    // In a folder, it has no scored pairs to go by.
    std::fs::create_dir(w.path("m")).unwrap();
    mirror::builtin::unpack(&w.path("m")).unwrap();
    let train = "train --model m --corpus corpus.txt --batch-size 40 --max-steps 8 --max-length 20";
    let healthy = w.run(&format!("{train} --output healthy"));
    assert!(!healthy.stderr.contains("collapsed"), "{}", healthy.stderr);
    let absurd = w.run(&format!("{train} --lr 0.1 --output absurd"));
    for part in
        ["warning: the embeddings have collapsed", "two random sentences have a cosine of", "--learning-rate"]
    {
        assert!(absurd.stderr.contains(part), "no {part:?} in: {}", absurd.stderr);
    }
}
