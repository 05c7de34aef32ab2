//! all-MiniLM-L6-v2, of which MIRROR_MINILM names the folder (scripts/test sets it), against recorded token
//! ids and embeddings, and against its published STS scores.

use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candle_core::Device;
use mirror::encoder::Pooling;
use mirror::model::PoolingChoice;
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use serde_json::Value;

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Says what is not there past the test harness, which hides what a passing test prints.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// The model's folder; where it is not named, the test is skipped, or fails under CI.
fn minilm() -> Option<PathBuf> {
    let folder = std::env::var_os("MIRROR_MINILM").map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_MINILM is not set; run scripts/test");
        skipped("MIRROR_MINILM is not set; scripts/test sets it");
    }
    folder
}

struct Row {
    pooling: Pooling,
    sentence: String,
    input_ids: Vec<u32>,
    embedding: Vec<f32>,
}

fn rows() -> (usize, Vec<Row>) {
    let file = crate_root().join("tests/golden/all-minilm-l6-v2-embeddings.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let row = |row: &Value| Row {
        pooling: row["pooling"].as_str().unwrap().parse().unwrap(),
        sentence: row["sentence"].as_str().unwrap().to_owned(),
        input_ids: serde_json::from_value(row["input_ids"].clone()).unwrap(),
        embedding: serde_json::from_value(row["embedding"].clone()).unwrap(),
    };
    let rows: Vec<Row> = golden["rows"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(rows.len(), 100);
    (golden["max_length"].as_u64().unwrap() as usize, rows)
}

fn difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    ours.iter().zip(golden).fold(0.0, |most, (a, b)| {
        assert!(a.is_finite());
        most.max((a - b).abs())
    })
}

#[test]
fn token_ids_and_embeddings_of_the_library() {
    let Some(folder) = minilm() else { return };
    let (max_length, rows) = rows();
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let overrides = Overrides { pooling: PoolingChoice(Some(pooling)), max_length: Some(max_length) };
        let mut model = SentenceEncoder::load(&folder, overrides, &Device::Cpu).unwrap();
        assert!(model.normalize, "the folder has a Normalize module");
        model.normalize = false;
        let rows: Vec<&Row> = rows.iter().filter(|row| row.pooling == pooling).collect();
        let sentences: Vec<&str> = rows.iter().map(|row| row.sentence.as_str()).collect();
        let embeddings = model.encode(&sentences).unwrap();
        let mut worst = 0f32;
        for (row, ours) in rows.iter().zip(embeddings.outer_iter()) {
            let ids = model.tokenizer.encode(&row.sentence, max_length).unwrap();
            assert_eq!(ids, row.input_ids, "{:?}", row.sentence);
            let difference = difference(ours.as_slice().unwrap(), &row.embedding);
            assert!(difference < 1e-4, "{:?}: {difference:e}", row.sentence);
            worst = worst.max(difference);
        }
        println!("{pooling}: {} embeddings, largest difference {worst:.1e}", rows.len());
    }
}

#[test]
fn embeddings_of_the_program() {
    let Some(folder) = minilm() else { return };
    let (max_length, rows) = rows();
    // One line is one sentence: those with a line's end in them cannot be asked for here.
    let rows: Vec<Row> = rows.into_iter().filter(|row| !row.sentence.contains('\n')).collect();
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.pooling == pooling).collect();
        let lines: String = rows.iter().map(|row| format!("{}\n", row.sentence)).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .env("CUDA_VISIBLE_DEVICES", "")
            .args(["encode", "--no-normalize", "--pooling", pooling.name(), "--max-length"])
            .arg(max_length.to_string())
            .arg("--model")
            .arg(&folder)
            .write_stdin(lines)
            .assert()
            .success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert_eq!(text.lines().count(), rows.len());
        for (line, row) in text.lines().zip(&rows) {
            let ours: Vec<f32> = serde_json::from_str(line).unwrap();
            let difference = difference(&ours, &row.embedding);
            assert!(difference < 1e-4, "{:?}: {difference:e}", row.sentence);
        }
    }
}

/// Task, Spearman × 100, pairs.
const PUBLISHED: [(&str, f64, u64); 7] = [
    ("STS12", 72.37, 3108),
    ("STS13", 80.60, 1500),
    ("STS14", 75.59, 3750),
    ("STS15", 85.39, 3000),
    ("STS16", 78.99, 1186),
    ("STSB", 82.03, 1379),
    ("SICKR", 77.15, 4927),
];

#[test]
fn scores_on_the_seven_sets() {
    let Some(folder) = minilm() else { return };
    let data = crate_root().join("../shared/data/senteval/downstream");
    if !data.is_dir() {
        return skipped("no STS data at ../shared/data/senteval/downstream");
    }
    let scores = |convention: &str, precision: &str, data: &Path| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .env("CUDA_VISIBLE_DEVICES", "")
            .args(["eval", "--json", "-", "--convention", convention, "--precision", precision, "--model"])
            .arg(&folder)
            .arg("--data")
            .arg(data)
            .assert()
            .success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    };
    let near = |task: &Value, score: f64, pairs: u64, name: &str| {
        let ours = task["spearman"].as_f64().unwrap();
        assert!((ours - score).abs() <= 0.02, "{name}: {ours} {score}");
        assert_eq!(task["pairs"].as_u64(), Some(pairs), "{name}");
    };
    let report = scores("mirror-bert", "f32", &data);
    for (name, score, pairs) in PUBLISHED {
        near(&report["tasks"][name], score, pairs, name);
    }
    let mean = PUBLISHED.iter().map(|(_, score, _)| score).sum::<f64>() / 7.0;
    assert!((report["average"].as_f64().unwrap() - mean).abs() <= 0.02);
    for (precision, tolerance) in [("bf16", 0.05), ("int8", 0.5)] {
        let rounded = scores("mirror-bert", precision, &data);
        for (name, ..) in PUBLISHED {
            let [exact, ours] =
                [&report, &rounded].map(|report| report["tasks"][name]["spearman"].as_f64().unwrap());
            assert!((exact - ours).abs() <= tolerance, "{name} in {precision}: {ours} {exact}");
        }
    }
    // Of the conventions' difference, SICK-R is all.
    let sick = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(std::fs::canonicalize(data.join("SICK")).unwrap(), sick.path().join("SICK"))
        .unwrap();
    near(&scores("simcse", "f32", sick.path())["tasks"]["SICKR"], 77.58, 9927, "SICKR by simcse");
}
