//! `mirror finetune` and `mirror predict`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mirror::random::Key;
use mirror::regularization::names;
use serde_json::Value;

use crate::models::{Kind, sentences};
use crate::python::installed;
use crate::workspace::Workspace;

/// Small steps on the examples of [`data`].
const TINY: &str = "--batch-size 8 --lr 1e-3 --max-length 24";

fn pairs(count: usize, seed: u64) -> Vec<(String, String, bool)> {
    let texts = sentences(60);
    let pair = |i: usize| {
        let key = Key::new(seed).at(i as u64);
        let first = texts[key.at(0).below(60) as usize].clone();
        let second = texts[key.at(1).below(60) as usize].clone();
        let follows = first.len() > second.len();
        (first, second, follows)
    };
    (0..count).map(pair).collect()
}

/// RTE's layout under `glue`, one's own files of three classes and of values, and texts to predict.
fn data(w: &Workspace) {
    for (name, count, seed) in [("train", 52, 1), ("dev", 21, 2)] {
        let rte = pairs(count, seed).iter().enumerate().fold(
            "index\tsentence1\tsentence2\tlabel\n".to_owned(),
            |all, (i, (first, second, follows))| {
                let label = if *follows { "entailment" } else { "not_entailment" };
                format!("{all}{i}\t{first}\t{second}\t{label}\n")
            },
        );
        w.write(&format!("glue/RTE/{name}.tsv"), rte);
        let own = |label: fn(&str) -> String| {
            let rows = pairs(count, seed).into_iter().map(|(text, _, _)| {
                serde_json::json!({"text": text, "label": label(&text)}).to_string() + "\n"
            });
            rows.collect::<String>()
        };
        let about = |text: &str| {
            let known = ["dogs", "guitar"].into_iter().find(|word| text.contains(word));
            known.unwrap_or("other").to_owned()
        };
        w.write(&format!("{name}.jsonl"), own(about));
        w.write(&format!("{name}-values.jsonl"), own(|text| format!("{}", text.len() as f64 / 10.0)));
    }
    let lines: String =
        pairs(15, 3).iter().map(|(first, second, _)| format!("{first}\t{second}\n")).collect();
    w.write("pairs.txt", lines);
    w.write("texts.txt", pairs(15, 4).iter().map(|(first, ..)| format!("{first}\n")).collect::<String>());
}

fn tiny(kind: Kind) -> Workspace {
    let w = Workspace::new();
    w.model(kind, "m");
    data(&w);
    w
}

/// The bytes of model.safetensors after three steps with dropout and drophead.
fn weights(w: &Workspace, flags: &str) -> Vec<u8> {
    let output = tempfile::tempdir().unwrap();
    let folder = output.path().join("out").display().to_string();
    w.run(&format!(
        "finetune --model m --task RTE --data glue {TINY} --max-steps 3 --drophead 0.1 --output {folder} {flags}"
    ));
    std::fs::read(output.path().join("out/model.safetensors")).unwrap()
}

#[test]
fn every_regularizer_trains_a_head_to_the_same_bytes_on_any_number_of_threads() {
    let w = tiny(Kind::Bert);
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for reg in std::iter::once("none").chain(names()).chain(["delta-sam,r3f", "sam,r-drop,smart"]) {
        let one = weights(&w, &format!("--reg {reg} --threads 1"));
        assert_eq!(one, weights(&w, &format!("--reg {reg} --threads 2")), "{reg}");
        assert_eq!(seen.insert(one, reg), None, "{reg} trains as another one does");
    }
    assert_ne!(weights(&w, ""), weights(&w, "--seed 43"));
    assert_eq!(weights(&w, "--reg delta-sam --beta 0"), weights(&w, "--reg sam"));
}

/// What transformers makes of the folder: every tensor has its place, and logits are the same.
#[test]
fn transformers_loads_the_folder_and_gives_the_same_logits() {
    let Some(python) = installed("MIRROR_PYTHON") else { return };
    let runtime = installed("ORT_DYLIB_PATH");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/classifies.py");
    for kind in [Kind::Bert, Kind::Roberta, Kind::Mpnet, Kind::DistilBert] {
        let w = tiny(kind);
        let agrees = |folder: &str, texts: &str, flags: &str| {
            let said = w.run(&format!("predict --model {folder} --input {texts} --json {flags}"));
            w.write("predicted.jsonl", said.stdout);
            // The graph is run beside the model here, too, where there is ONNX Runtime.
            let verify = if runtime.is_some() { "" } else { "--no-verify" };
            let exported = format!("{folder}-onnx");
            w.run(&format!("export --model {folder} --output {exported} --precision f32,f16 {verify}"));
            assert!(w.path(&format!("{exported}/onnx/model_fp16.onnx")).is_file());
            let output = Command::new(&python)
                .arg(&script)
                .args([folder, texts, "predicted.jsonl", &exported])
                .current_dir(w.path(""))
                .env("HF_HUB_OFFLINE", "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let failed = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind:?} {folder}: {said}{failed}");
        };
        w.run(&format!(
            "finetune --model m --task RTE --data glue {TINY} --max-steps 4 --reg sam --output rte"
        ));
        agrees("rte", "pairs.txt", "--pairs");
        w.run(&format!(
            "finetune --model m --train train.jsonl --dev dev.jsonl {TINY} --epochs 1 --output own"
        ));
        agrees("own", "texts.txt", "");
        let flags = "--train train-values.jsonl --dev dev-values.jsonl --regression";
        w.run(&format!("finetune --model m {flags} {TINY} --max-steps 4 --output values"));
        agrees("values", "texts.txt", "");
        // A folder with a head is one to start from: its head is taken, with its own classes.
        w.run(&format!("finetune --model rte --task RTE --data glue {TINY} --max-steps 1 --output again"));
        agrees("again", "pairs.txt", "--pairs");
    }
}

#[test]
fn training_learns_and_the_best_weights_are_kept() {
    let w = tiny(Kind::Bert);
    let flags = "--epochs 5 --keep-best --json --output own";
    let said = w.run(&format!("finetune --train train.jsonl --dev train.jsonl {TINY} {flags}"));
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let evaluations = report["evaluations"].as_array().unwrap();
    // Before, and after each epoch of seven steps, the last of which has four examples.
    assert_eq!((evaluations.len(), report["steps"].as_u64()), (6, Some(35)));
    let accuracies: Vec<f64> = evaluations.iter().map(|e| e["accuracy"].as_f64().unwrap()).collect();
    let best = accuracies.iter().copied().fold(0.0, f64::max);
    assert!(best > accuracies[0] + 0.1 && best > 0.6, "{accuracies:?}");
    let first = accuracies.iter().position(|&accuracy| accuracy == best).unwrap();
    assert_eq!(report["saved_step"].as_u64(), Some(7 * first as u64));
    // The folder gives what was scored.
    let labels: Vec<Value> = String::from_utf8(w.read("train.jsonl"))
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    w.write(
        "train.txt",
        labels.iter().map(|row| row["text"].as_str().unwrap().to_owned() + "\n").collect::<String>(),
    );
    let predicted = w.run("predict --model own --input train.txt").stdout;
    let right =
        predicted.lines().zip(&labels).filter(|(line, row)| line.split('\t').next() == row["label"].as_str());
    assert!((right.count() as f64 / 52.0 - best).abs() < 1e-9);
    // metrics.jsonl has steps and evaluations.
    let metrics = w.metrics("own");
    assert_eq!(metrics.iter().filter(|row| row.get("dev_loss").is_some()).count(), 6);
    assert_eq!(metrics.iter().filter(|row| row.get("gradient_norm").is_some()).count(), 35);
}

/// Killed at any point, the run goes on to the same bytes: head, schedule and best weights included.
#[test]
fn a_killed_run_is_resumed_to_the_same_bytes() {
    let w = tiny(Kind::Bert);
    let flags = format!(
        "--model m --task RTE --data glue {TINY} --epochs 3 --reg delta-sam,smart --keep-best --save-every 1"
    );
    w.run(&format!("finetune {flags} --output whole"));
    let mut arguments = format!("finetune {flags} --output killed");
    for lines in [2, 9, 17] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args(arguments.split_whitespace())
            .current_dir(w.path(""))
            .env("CUDA_VISIBLE_DEVICES", "")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let so_far =
            || std::fs::read_to_string(w.path("killed/metrics.jsonl")).map_or(0, |text| text.lines().count());
        while so_far() < lines {
            assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        arguments = "finetune --resume killed".to_owned();
    }
    w.run("finetune --resume killed");
    for file in ["model.safetensors", "metrics.jsonl", "config.json"] {
        assert!(w.read(&format!("whole/{file}")) == w.read(&format!("killed/{file}")), "{file}");
    }
    assert!(w.run("finetune --resume killed").stdout.contains("is finished"));
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let w = tiny(Kind::Bert);
    w.refuses_usage("finetune --model m", &["--task TASK", "--train FILE"]);
    w.refuses_usage("finetune --model m --task RTE", &["--data DIR"]);
    w.refuses_usage("finetune --model m --task RET --data glue", &["there is no task", "RTE"]);
    w.refuses_usage("finetune --model m --task RTE --data glue --lr 0", &["--learning-rate"]);
    w.refuses_usage("finetune --model m --task RTE --data glue --max-length 2", &["--max-length"]);
    w.fails("finetune --model m --task MRPC --data glue", &["MRPC"]);
    w.write("odd.jsonl", "{\"text\": \"a\", \"label\": \"cats\"}\n");
    w.fails("finetune --model m --train train.jsonl --dev odd.jsonl", &["cats", "odd.jsonl, line 1"]);
    w.fails("predict --model m --input texts.txt", &["names no classes"]);
    w.run(&format!(
        "finetune --model m --train train.jsonl --dev dev.jsonl {TINY} --max-steps 1 --output own"
    ));
    // What is read is never written over, nor what is there without being asked.
    w.refuses_usage("finetune --model m --task RTE --data glue --output m", &["--output", "--model"]);
    w.refuses_usage(
        "finetune --model m --task RTE --data glue --output glue/RTE/dev.tsv",
        &["--output", "--data"],
    );
    w.fails("finetune --model m --task RTE --data glue --output own", &["own is not empty", "--overwrite"]);
    // Three classes are no two.
    let flags = format!("--task RTE --data glue {TINY} --max-steps 1");
    let refused = w.mirror(&format!("finetune --model own {flags} --output rte")).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("classifier.weight") && said.contains("--new-head"), "{said}");
    w.run(&format!("finetune --model own {flags} --new-head --output rte-new"));
    w.refuses_usage("finetune --resume own --lr 1", &["--resume", "--learning-rate"]);
    w.refuses_usage("export --model own --output o --no-verify --precision int8", &["logits", "f32 or f16"]);
    w.fails("predict --model own --input texts.txt --pairs", &["line 1", "no tab"]);
}
