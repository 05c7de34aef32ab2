//! `mirror sharpness`: numbers, the drawing, and what it refuses.

use crate::models::Kind;
use crate::workspace::Workspace;

const SMALL: &str = "--batch-size 6 --batches 2 --directions 2 --instances 5";

#[test]
fn numbers_and_the_drawing_are_the_same_on_any_number_of_threads() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Roberta, "m");
    let asked = format!("sharpness --model m --corpus corpus.txt {SMALL} --dropout 0.1");
    let said = w.run(&format!("{asked} --output a.svg --json a.json --threads 1"));
    w.run(&format!("{asked} --output b.svg --json b.json --threads 2"));
    assert_eq!(w.read("a.json"), w.read("b.json"));
    assert_eq!(w.read("a.svg"), w.read("b.svg"));

    let report = w.json("a.json");
    assert_eq!((report["beta"].as_f64(), report["sampled"].as_u64()), (Some(5.0), Some(5)), "{report}");
    for name in ["loss", "batch", "weighted", "random", "random_absolute", "instance"] {
        let value = |part: &str| report[name][part].as_f64().unwrap();
        assert!(value("low") <= value("estimate") && value("estimate") <= value("high"), "{name}: {report}");
    }
    // An instance's own ascent raises its loss more than a random direction does.
    assert!(report["instance"]["estimate"].as_f64() > report["random_absolute"]["estimate"].as_f64());
    let lines = report["curve"]["lines"].as_array().unwrap();
    let points = report["curve"]["t"].as_array().unwrap().len();
    assert_eq!((lines.len(), points), (3, 21), "{report}");
    assert!(lines.iter().all(|line| line["loss"].as_array().unwrap().len() == points));
    for told in ["R_batch", "R_s", "R_inst", "Spearman", "12 instances in 2 batches of 6", "a.svg"] {
        assert!(said.stdout.contains(told), "{told}: {}", said.stdout);
    }
    let only_json = w.run(&format!("{asked} --json -"));
    let without_curve: serde_json::Value = serde_json::from_str(&only_json.stdout).unwrap();
    assert_eq!(without_curve["instance"], report["instance"]);
    assert!(without_curve.get("curve").is_none());
}

#[test]
fn the_built_in_model_needs_no_files() {
    let said = Workspace::new().run(&format!("sharpness {SMALL}"));
    assert!(said.stdout.contains("loss at the weights"), "{}", said.stdout);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let w = Workspace::new();
    for (flag, values) in [
        ("--rho", "0 -0.05 nan inf x"),
        ("--beta", "-1 nan inf"),
        ("--batch-size", "0 1 -2"),
        ("--batches", "0 1001 -1"),
        ("--directions", "0"),
        ("--instances", "0"),
        ("--dropout", "1 -0.1 nan"),
        ("--temperature", "0 nan"),
        ("--max-length", "2"),
        ("--output", "plot.png nowhere/plot.svg"),
        ("--json", "nowhere/numbers.json"),
    ] {
        for value in values.split(' ') {
            w.refuses_usage(&format!("sharpness {flag} {value}"), &[flag]);
        }
    }
    w.model(Kind::Bert, "m");
    w.refuses_usage("sharpness --model m", &["--corpus"]);
    w.write("corpus.txt", "one\ntwo\nthree\n");
    w.fails("sharpness --model m --corpus corpus.txt", &["corpus.txt", "3"]);
    w.fails("sharpness --model m --corpus corpus.txt --batch-size 2 --rho 1e39", &["--rho"]);
}
