//! scripts/encode-ray.py: an exported model on several workers, as a person runs it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, difference, jsonl};

/// Reads what Ray wrote back, in order: texts to texts.txt, embeddings to embeddings.jsonl.
const READ_BACK: &str = "
import json, sys, pyarrow.parquet
table = pyarrow.parquet.read_table('embeddings')
rows = table.to_pylist()
open('texts.txt', 'w', encoding='utf-8', newline='').writelines(row['text'] + '\\n' for row in rows)
open('embeddings.jsonl', 'w').writelines(json.dumps(row['embedding']) + '\\n' for row in rows)
";

/// An interpreter with Ray; where there is none, says that the test is skipped, or fails under CI.
fn interpreter() -> Option<PathBuf> {
    crate::python::installed("ORT_DYLIB_PATH")?;
    ray("onnxruntime, pyarrow, ray, tokenizers")
}

/// An interpreter that can import these.
pub fn ray(imports: &str) -> Option<PathBuf> {
    let python = crate::python::installed("MIRROR_PYTHON")?;
    let found = Command::new(&python).args(["-c", &format!("import {imports}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON has no Ray; run scripts/test");
    // Past the test harness, which hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON has no Ray; scripts/test installs it");
    None
}

fn run(w: &Workspace, python: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(python)
        .args(arguments)
        .current_dir(w.path(""))
        .envs([("RAY_USAGE_STATS_ENABLED", "0"), ("PYTHONUTF8", "1")])
        // Ray keeps a token and its logs there.
        .env("HOME", w.path("home"))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", python.display()));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn two_workers_of_ray_give_the_embeddings_of_mirror_encode_in_order() {
    let Some(python) = interpreter() else { return };
    let w = Workspace::new();
    let odd = "A man plays the guitar.\n\n   \nÜnïcödé 😀 [MASK] and more\nloudly\none\rtwo\u{2028}three\u{85}\u{1c}\u{c}\n";
    let corpus: Vec<&str> = include_str!("../../data/builtin/corpus.txt").lines().take(400).collect();
    let mut all = String::new();
    for (number, lines) in corpus.chunks(100).enumerate() {
        let text = lines.join("\n") + "\n" + odd;
        w.write(&format!("in/{number}.txt"), &text);
        all += &text;
    }
    w.write("all.txt", &all);
    w.write("home/keep", "");
    w.run("export --model builtin --output model");
    w.run("encode --model builtin --input all.txt --output expected.jsonl");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/encode-ray.py");
    let script = script.to_str().unwrap();
    let (done, said) = run(
        &w,
        &python,
        &[script, "model", "in/*.txt", "embeddings", "--workers", "2", "--batch-size", "64"],
    );
    assert!(done, "{said}");
    let (done, said) = run(&w, &python, &["-c", READ_BACK]);
    assert!(done, "{said}");
    assert!(w.read("texts.txt") == all.as_bytes(), "texts come back whole and in order");
    let rows = |name: &str| jsonl(&String::from_utf8(w.read(name)).unwrap());
    let largest = difference(&rows("embeddings.jsonl"), &rows("expected.jsonl"));
    assert!(largest <= 1e-4, "{largest}");

    for (arguments, says) in [
        (["absent", "all.txt", "out"], "absent/onnx/model.onnx does not exist; write it with mirror export"),
        (["model", "absent.txt", "out"], "absent.txt does not exist"),
    ] {
        let (done, said) = run(&w, &python, &[&[script], &arguments[..]].concat());
        assert!(!done && said.contains(says), "{said}");
    }
}
