//! `--dimensions`, `--embedding-type` and `--calibration`: smaller vectors, against sentence-transformers' own
//! (MIRROR_PYTHON).

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::models::{Kind, sentences};
use crate::python::installed;
use crate::workspace::{Workspace, difference, jsonl, npy};

/// A model, one that normalises, and one that normalises and cuts to 12 values; 300 sentences, a blank line among them.
fn workspace() -> Workspace {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    for (name, settings) in [("unit", json!({})), ("cut", json!({ "truncate_dim": 12 }))] {
        let model = w.model(Kind::Bert, name);
        let module = |index: usize, class: &str, path: &str| {
            json!({ "idx": index, "name": index.to_string(), "path": path,
                "type": format!("sentence_transformers.models.{class}") })
        };
        let modules = [
            module(0, "Transformer", ""),
            module(1, "Pooling", "1_Pooling"),
            module(2, "Normalize", "2_Normalize"),
        ];
        model.write("modules.json", json!(modules).to_string());
        model.write(
            "1_Pooling/config.json",
            "{\"word_embedding_dimension\": 32, \"pooling_mode_mean_tokens\": true}",
        );
        model.write("config_sentence_transformers.json", settings.to_string());
    }
    let mut lines = sentences(300);
    lines[7].clear();
    w.write("in.txt", lines.join("\n") + "\n");
    w
}

fn python(w: &Workspace, interpreter: &Path, arguments: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/vectors.py");
    let output = Command::new(interpreter)
        .arg(script)
        .args(arguments.split_whitespace())
        .current_dir(w.path(""))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let told = format!("{arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

fn encode(w: &Workspace, arguments: &str) -> Vec<Vec<f32>> {
    jsonl(&w.run(&format!("encode --input in.txt {arguments}")).stdout)
}

/// The first values of rows, scaled to length 1 where asked for.
fn first(rows: &[Vec<f32>], dimensions: usize, unit: bool) -> Vec<Vec<f32>> {
    let row = |row: &Vec<f32>| {
        let norm = row[..dimensions].iter().map(|v| v * v).sum::<f32>().sqrt();
        row[..dimensions].iter().map(|v| if unit { v / norm } else { *v }).collect()
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_first_values_are_kept_and_scaled_where_the_folder_normalises() {
    let w = workspace();
    let plain = encode(&w, "--model m");
    assert_eq!(encode(&w, "--model m --dimensions 5"), first(&plain, 5, false));
    assert_eq!(encode(&w, "--model m --dimensions 32"), plain);
    let unit = encode(&w, "--model unit");
    assert_eq!(encode(&w, "--model unit --dimensions 32"), unit);
    for (arguments, dimensions, scaled) in [
        ("--model m --normalize", 5, true),
        ("--model unit", 5, true),
        ("--model unit --no-normalize", 5, false),
        // In place of the folder's own: fewer, as many, more.
        ("--model cut", 5, true),
        ("--model cut", 12, true),
        ("--model cut", 20, true),
        ("--model cut", 32, true),
        ("--model cut --no-normalize", 20, false),
    ] {
        let found = encode(&w, &format!("{arguments} --dimensions {dimensions}"));
        let told = format!("{arguments} {dimensions}");
        assert!(difference(&found, &first(&plain, dimensions, scaled)) < 1e-6, "{told}");
    }
    // What the folder itself cuts is not scaled, as in sentence-transformers.
    assert!(difference(&encode(&w, "--model cut"), &first(&unit, 12, false)) < 1e-6);
}

#[test]
fn dimensions_that_a_model_does_not_have() {
    let w = workspace();
    w.write("pairs.tsv", "1\ta man\ttwo dogs\n2\tgreen\tfields\n3\tman\tman\n");
    for command in [
        "encode --input in.txt",
        "encode --input in.txt --output out.npy",
        "search --input in.txt dogs",
        "eval --set p=pairs.tsv",
        "eval --corpus in.txt",
    ] {
        for model in ["m", "cut"] {
            let arguments = format!("{command} --model {model} --dimensions");
            w.refuses_usage(&format!("{arguments} 33"), &["--dimensions is 33", "have 32 values"]);
        }
        w.refuses_usage(&format!("{command} --model m --dimensions 0"), &["--dimensions", "above 0"]);
        w.refuses_usage(&format!("{command} --model m --dimensions -3"), &["--dimensions"]);
    }
    // The built-in model, of which nothing is known before it is there.
    w.refuses_usage("encode --input in.txt --dimensions 100000", &["--dimensions is 100000"]);
}

const TYPES: [&str; 5] = ["f16", "int8", "uint8", "binary", "ubinary"];

#[test]
fn types_are_those_of_sentence_transformers_to_the_bit() {
    let w = workspace();
    let Some(interpreter) = installed("MIRROR_PYTHON") else { return };
    w.write("sample.txt", sentences(150)[20..].join("\n"));
    // 27 values are bits of four bytes, the last of them in part.
    for flags in ["--model m", "--model unit --dimensions 27"] {
        w.run(&format!("encode --input in.txt {flags} --output whole.npy"));
        w.run(&format!("encode --input sample.txt {flags} --output sample.npy"));
        for sample in ["", "--calibration sample.txt"] {
            let mut files = String::new();
            for name in TYPES.into_iter().filter(|name| sample.is_empty() || name.ends_with("int8")) {
                let encode = format!("encode --input in.txt {flags} --embedding-type {name} {sample}");
                let said = w.run(&format!("{encode} --output {name}.npy"));
                assert_eq!(said.stderr, "", "{encode}");
                files += &format!(" {name}={name}.npy");
            }
            let calibration = if sample.is_empty() { "-" } else { "sample.npy" };
            let said = python(&w, &interpreter, &format!("quantized whole.npy {calibration}{files}"));
            assert_eq!(said.lines().count(), if sample.is_empty() { 5 } else { 2 }, "{said}");
        }
    }
    for (model, dimensions) in [("unit", 5), ("cut", 5), ("cut", 20)] {
        w.run(&format!("encode --input in.txt --model {model} --dimensions {dimensions} --output some.npy"));
        python(&w, &interpreter, &format!("truncated {model} in.txt {dimensions} some.npy"));
    }
}

/// The values of a .npy array of whole numbers.
fn whole_numbers(bytes: &[u8], signed: bool) -> Vec<Vec<f32>> {
    let text = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(text.contains(if signed { "'|i1'" } else { "'|u1'" }), "{text}");
    let shape = text.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    let columns: usize = shape.split(", ").nth(1).unwrap().parse().unwrap();
    let value = |&byte: &u8| if signed { f32::from(byte as i8) } else { f32::from(byte) };
    bytes[128..].chunks(columns).map(|row| row.iter().map(value).collect()).collect()
}

#[test]
fn lines_hold_the_same_numbers_as_arrays() {
    let w = workspace();
    for (name, signed) in [("int8", true), ("uint8", false), ("binary", true), ("ubinary", false)] {
        w.run(&format!("encode --model m --input in.txt --embedding-type {name} --output rows.npy"));
        let lines = encode(&w, &format!("--model m --embedding-type {name}"));
        assert_eq!(whole_numbers(&w.read("rows.npy"), signed), lines, "{name}");
        assert_eq!((lines.len(), lines[0].len()), (300, if name.ends_with("int8") { 32 } else { 4 }));
        // Nothing in, nothing out, and still an array that is known as ours.
        w.write("empty.txt", "");
        w.run(&format!("encode --model m --input empty.txt --embedding-type {name} --output rows.npy"));
        assert_eq!(w.read("rows.npy").len(), 128);
    }
    let plain = encode(&w, "--model m");
    let half = encode(&w, "--model m --embedding-type f16");
    assert!(difference(&plain, &half) < 2e-3 && plain != half);
    assert_eq!(encode(&w, "--model m --embedding-type f32"), plain);
    w.run("encode --model m --input in.txt --embedding-type float16 --output half.npy");
    assert_eq!(w.read("half.npy").len(), 128 + 300 * 32 * 2);
}

#[test]
fn samples_that_say_nothing_are_refused() {
    let w = workspace();
    w.write("one.txt", "a man plays\n");
    w.write("none.txt", "");
    let encode = "encode --model m --input in.txt --output out.npy --embedding-type";
    w.refuses_usage(&format!("{encode} int4"), &["int4", "int8", "ubinary"]);
    for name in ["f32", "f16", "binary", "ubinary"] {
        let said = ["--calibration is for --embedding-type int8 and uint8", name];
        w.refuses_usage(&format!("{encode} {name} --calibration in.txt"), &said);
    }
    w.refuses_usage(&format!("{encode} int8 --calibration -"), &["--calibration takes a file"]);
    w.fails(&format!("{encode} int8 --calibration none.txt"), &["--calibration none.txt has no lines"]);
    w.fails(&format!("{encode} int8 --calibration absent.txt"), &["absent.txt"]);
    w.fails(&format!("{encode} int8 --calibration m"), &["m is a folder", "--calibration"]);
    w.write("utf16.txt", b"\xff\xfea\0 \0m\0a\0n\0\n\0");
    w.fails(&format!("{encode} int8 --calibration utf16.txt"), &["utf16.txt", "UTF-16"]);
    // One sentence has no range of its own, and takes that of others.
    let one = "encode --model m --input one.txt --embedding-type";
    w.fails(&format!("{one} uint8"), &["uint8", "one embedding has none", "--calibration FILE"]);
    assert_eq!(jsonl(&w.run(&format!("{one} uint8 --calibration in.txt")).stdout).len(), 1);
    assert_eq!(jsonl(&w.run(&format!("{one} binary")).stdout).len(), 1);
    // A few sentences are told of.
    w.write("few.txt", sentences(7).join("\n"));
    let said = w.run("encode --model m --input few.txt --embedding-type int8").stderr;
    assert!(said.contains("ranges are taken from 7 embeddings"), "{said}");
}

/// Scored pairs of many different sentences.
fn pairs(w: &Workspace) {
    let lines = sentences(240);
    let pair = |i: usize| format!("{}\t{}\t{}\n", (i * 7) % 11, lines[i], lines[239 - i]);
    w.write("pairs.tsv", (0..120).map(pair).collect::<String>());
}

fn score(w: &Workspace, flags: &str) -> f64 {
    w.run(&format!("eval --set p=pairs.tsv --json scores.json --overwrite {flags}"));
    w.json("scores.json")["tasks"]["p"]["spearman"].as_f64().unwrap()
}

#[test]
fn smaller_vectors_are_scored_as_sentence_transformers_scores_them() {
    let w = workspace();
    let Some(interpreter) = installed("MIRROR_PYTHON") else { return };
    pairs(&w);
    let mut different = std::collections::BTreeSet::new();
    for (dimensions, flags) in [("-", "--model unit"), ("20", "--model unit --dimensions 20")] {
        let expected = python(&w, &interpreter, &format!("scores unit pairs.tsv {dimensions}"));
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for (name, theirs) in expected.as_object().unwrap() {
            let ours = score(&w, &format!("{flags} --embedding-type {name}"));
            assert!((ours - theirs.as_f64().unwrap()).abs() < 0.01, "{flags} {name}: {ours} {theirs}");
            different.insert(ours.to_bits());
        }
    }
    assert!(different.len() >= 6, "{different:?}");
}

#[test]
fn every_measure_is_of_the_smaller_vectors() {
    let w = workspace();
    pairs(&w);
    let whole = score(&w, "--model m");
    assert_eq!(score(&w, "--model m --dimensions 32"), whole);
    assert_ne!(score(&w, "--model m --dimensions 3"), whole);
    assert_ne!(score(&w, "--model m --embedding-type int8"), whole);
    // Ranges of other sentences are other ranges.
    w.write("sample.txt", sentences(400)[250..].join("\n"));
    assert_ne!(
        score(&w, "--model m --embedding-type int8"),
        score(&w, "--model m --embedding-type int8 --calibration sample.txt")
    );
    w.run("eval --model m --dimensions 6 --embedding-type int8 --set p=pairs.tsv --mteb results");
    let meta = crate::workspace::contents(&w.path("results"))
        .into_iter()
        .find(|(path, _)| path.ends_with("model_meta.json"))
        .and_then(|(_, bytes)| bytes)
        .unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&meta).unwrap()["embed_dim"], 6);
    let unlabeled = |flags: &str| {
        w.run(&format!("eval --model m --corpus in.txt --json found.json --overwrite {flags}"));
        w.json("found.json")
    };
    let [all, some, bits] = ["", "--dimensions 3", "--embedding-type binary"].map(unlabeled);
    assert!(all != some && all != bits && some != bits);
    let found = |flags: &str| w.run(&format!("search --model m --input in.txt --json {flags} dogs")).stdout;
    assert_eq!(found(""), found("--dimensions 32"));
    assert_ne!(found(""), found("--dimensions 2"));
}

#[test]
fn graphs_give_the_same_vectors() {
    if installed("ORT_DYLIB_PATH").is_none() {
        return;
    }
    let w = workspace();
    for model in ["m", "unit", "cut"] {
        w.run(&format!("export --model {model} --output {model}-onnx"));
        let graph = format!("--model {model}-onnx --backend onnx --dimensions 9");
        let [ours, theirs] = [encode(&w, &graph), encode(&w, &format!("--model {model} --dimensions 9"))];
        assert!(difference(&ours, &theirs) < 1e-5, "{model}");
        w.run(&format!("encode --input in.txt {graph} --embedding-type int8 --output rows.npy"));
        assert_eq!(w.read("rows.npy").len(), 128 + 300 * 9);
        // A graph has cut what its folder cuts.
        let most = if model == "cut" { 12 } else { 32 };
        let asked = format!("--model {model}-onnx --backend onnx --dimensions {}", most + 1);
        w.refuses_usage(&format!("encode --input in.txt {asked}"), &[&format!("have {most} values")]);
    }
    // An array of f32 is what it was.
    w.run("encode --input in.txt --model m --output whole.npy");
    assert_eq!(npy(&w.read("whole.npy")), encode(&w, "--model m"));
}
