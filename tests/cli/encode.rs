//! `mirror encode`: one row a line, whatever the lines and wherever they go.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::models::Kind;
use crate::workspace::{NO_GPU, Workspace, difference, jsonl, npy};

#[test]
fn rows_and_lines_stay_aligned() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let lines = ["a man plays", "", "  two dogs ", "the guitar", "\t"];
    // Line endings of either kind, and none at the end.
    w.write("in.txt", "a man plays\n\n  two dogs \r\nthe guitar\n\t");
    w.run("encode --model m --input in.txt --output out.npy");
    w.run("encode --model m --input in.txt --output out.jsonl");
    let rows = npy(&w.read("out.npy"));
    assert_eq!((rows.len(), rows[0].len()), (5, 32));
    assert_eq!(rows, jsonl(&String::from_utf8(w.read("out.jsonl")).unwrap()));
    for (line, row) in lines.iter().zip(&rows) {
        let alone = jsonl(&w.run_with("encode --model m", &format!("{line}\n")).stdout);
        assert!(difference(&alone, std::slice::from_ref(row)) < 1e-6, "{line:?}");
    }
    assert!(difference(&rows[..1], &rows[3..4]) > 1e-3);
    // Nothing in, nothing out, and still an array.
    w.write("empty.txt", "");
    w.run("encode --model m --input empty.txt --output empty.npy");
    assert_eq!(npy(&w.read("empty.npy")), Vec::<Vec<f32>>::new());
    assert_eq!(w.run_with("encode --model m", "").stdout, "");
    assert_eq!(jsonl(&w.run_with("encode --model m --input - --output -", "a").stdout).len(), 1);
}

#[test]
fn a_row_depends_on_its_line_alone() {
    let w = Workspace::new();
    w.model(Kind::Roberta, "m");
    let lines = crate::models::sentences(2500);
    w.write("in.txt", lines.join("\n"));
    w.run("encode --model m --input in.txt --output out.npy --threads 2");
    let rows = npy(&w.read("out.npy"));
    assert_eq!(rows.len(), 2500);
    for i in [0, 2047, 2048, 2499] {
        let alone = jsonl(&w.run_with("encode --model m", &lines[i]).stdout);
        assert!(difference(&alone, &rows[i..=i]) < 1e-5, "line {}", i + 1);
    }
}

#[test]
fn a_long_line_is_cut_and_an_endless_one_refused() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("long.txt", format!("short\n{}\n", "word ".repeat(300_000)));
    w.write("cut.txt", format!("short\n{}\n", "word ".repeat(100)));
    let rows = |input: &str| jsonl(&w.run(&format!("encode --model m --input {input}")).stdout);
    assert_eq!(rows("long.txt"), rows("cut.txt"));
    w.write("endless.txt", format!("short\n{}", "x".repeat((16 << 20) + 1)));
    w.fails("encode --model m --input endless.txt --output o.npy", &["endless.txt, line 2", "16 MiB"]);
}

#[test]
fn pooling_is_what_the_folder_says_else_what_the_architecture_has() {
    let w = Workspace::new();
    w.write("in.txt", "a man plays the guitar\nloudly\n");
    for (kind, default, other) in [(Kind::Bert, "mean", "cls"), (Kind::Roberta, "cls", "mean")] {
        let name = format!("{kind:?}");
        let model = w.model(kind, &name);
        let encode =
            |flags: &str| jsonl(&w.run(&format!("encode --model {name} --input in.txt {flags}")).stdout);
        let (by_default, by_other) =
            (encode(&format!("--pooling {default}")), encode(&format!("--pooling {other}")));
        assert!(difference(&by_default, &by_other) > 1e-3);
        assert_eq!(encode(""), by_default, "{kind:?}");
        model.write(
            "1_Pooling/config.json",
            json!({ "pooling_mode_cls_token": other == "cls", "pooling_mode_mean_tokens": other == "mean" })
                .to_string(),
        );
        assert_eq!(encode(""), by_other, "{kind:?}");
    }
}

#[test]
fn a_normalize_module_is_followed_and_flags_override_it() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    w.write("in.txt", "a man plays the guitar\n\n");
    let encode = |flags: &str| jsonl(&w.run(&format!("encode --model m --input in.txt {flags}")).stdout);
    let plain = encode("");
    let scaled: Vec<Vec<f32>> = plain
        .iter()
        .map(|row| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(|v| v / norm).collect()
        })
        .collect();
    assert!(difference(&encode("--normalize"), &scaled) < 1e-6 && difference(&plain, &scaled) > 1e-2);
    let module = |class: &str, path: &str| json!({ "type": format!("sentence_transformers.models.{class}"), "path": path });
    let modules = json!([
        module("Transformer", ""),
        module("Pooling", "1_Pooling"),
        module("Normalize", "2_Normalize")
    ]);
    model.write("modules.json", modules.to_string());
    model.write("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}");
    assert!(difference(&encode(""), &scaled) < 1e-6);
    assert_eq!(encode("--no-normalize"), plain);
}

#[test]
fn lengths_of_the_folder_are_followed() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    w.write("in.txt", "two dogs run over the green fields and someone sings loudly\n");
    let encode = |flags: &str| jsonl(&w.run(&format!("encode --model m --input in.txt {flags}")).stdout);
    let whole = encode("");
    model.write("sentence_bert_config.json", "{\"max_seq_length\": 6}");
    let cut = encode("");
    assert!(difference(&whole, &cut) > 1e-3);
    assert_eq!((encode("--max-length 6"), encode("--max-length 64")), (cut, whole));
    w.fails("encode --model m --input in.txt --max-length 65", &["--max-length is 65", "64 tokens"]);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut program = Command::new(env!("CARGO_BIN_EXE_mirror"))
        .args(["encode", "--model", "m"])
        .env(NO_GPU.0, NO_GPU.1)
        .current_dir(w.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        // Ends by itself: the program stops reading when nobody reads it.
        for _ in 0..20_000 {
            if stdin.write_all(b"a man plays the guitar\n").is_err() {
                break;
            }
        }
    });
    let mut stdout = BufReader::new(program.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(jsonl(&first)[0].len(), 32);
    drop(stdout);
    let output = program.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
