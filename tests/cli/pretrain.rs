//! `mirror pretrain`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use mirror::encoder::{Encoder, PackedBatch, Pass, Pooling, SequenceId};
use mirror::model_folder::ModelFolder;
use mirror::model_folder::words::read_with_word_head;
use mirror::objective::{Leaf, MaskedWords, Objective, OwnWeights};
use mirror::regularization::names;
use serde_json::{Value, json};

use crate::models::{Kind, sentences};
use crate::python::installed;
use crate::workspace::Workspace;

/// Small batches of the sentences of a workspace.
const SMALL: &str = "--corpus corpus.txt --batch-size 8";
/// The same in small steps.
const TINY: &str = "--corpus corpus.txt --batch-size 8 --lr 1e-3 --max-length 24";

fn tiny(kind: Kind) -> Workspace {
    let w = Workspace::new();
    w.model(kind, "m");
    w.corpus("corpus.txt");
    w
}

/// The bytes of model.safetensors after three steps with dropout and drophead.
fn weights(w: &Workspace, flags: &str) -> Vec<u8> {
    let output = tempfile::tempdir().unwrap();
    let folder = output.path().join("out").display().to_string();
    w.run(&format!("pretrain --model m {TINY} --max-steps 3 --drophead 0.1 --output {folder} {flags}"));
    std::fs::read(output.path().join("out/model.safetensors")).unwrap()
}

#[test]
fn every_regularizer_pretrains_to_the_same_bytes_on_any_number_of_threads() {
    let w = tiny(Kind::Bert);
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for reg in std::iter::once("none").chain(names()).chain(["delta-sam,r3f", "sam,r-drop,smart"]) {
        let one = weights(&w, &format!("--reg {reg} --threads 1"));
        assert!(one == weights(&w, &format!("--reg {reg} --threads 2")), "{reg}");
        assert_eq!(seen.insert(one, reg), None, "{reg} trains as another one does");
    }
    assert!(weights(&w, "") != weights(&w, "--seed 43"));
    assert!(weights(&w, "") != weights(&w, "--whole-words"));
    assert!(weights(&w, "") != weights(&w, "--mask-share 0.3"));
    assert!(weights(&w, "--reg delta-sam --beta 0") == weights(&w, "--reg sam"));
}

/// Losses of words at all places of some sentences, as the library computes them of a folder.
fn losses(folder: &Path, texts: &[String]) -> String {
    let ModelFolder { config, tokenizer, .. } = ModelFolder::read(folder).unwrap();
    let head = config.word_head();
    let no_new = |_: &_| -> candle_core::Result<_> { panic!("the folder has a head") };
    let (parameters, is_of_folder) =
        read_with_word_head(folder, &config, &head, false, no_new, &Device::Cpu).unwrap();
    assert!(is_of_folder);
    let encoder = Encoder::new(config, Pooling::Mean);
    let mut lines = String::new();
    for (i, text) in texts.iter().enumerate() {
        let ids = tokenizer.encode(text, 24).unwrap();
        let mut batch = PackedBatch::new();
        encoder.push(&mut batch, &ids, SequenceId { view: 0, sentence: 0 }, 24);
        batch.chosen = Some((0..ids.len()).collect());
        let vocab_size = head.vocab_size as u32;
        let targets: Vec<u32> = ids.iter().map(|id| (id + 7 * i as u32) % vocab_size).collect();
        let objective = MaskedWords { head: head.clone(), targets: targets.clone() };
        let own = OwnWeights::constants_sharing(&encoder, &parameters, objective.shared()).unwrap();
        let pass = Pass::inference();
        let states = encoder.embed(&parameters, &batch, None, &pass).unwrap();
        let embeddings = &states.to_dtype(DType::F64).unwrap();
        let words = objective.words(&Leaf { embeddings, own: &own, batch: &batch, pass: &pass }).unwrap();
        let losses: Vec<f64> = words.losses_of_rows().unwrap().to_vec1().unwrap();
        lines += &format!("{}\n", json!({"ids": ids, "targets": targets, "losses": losses}));
    }
    lines
}

/// What transformers makes of the folder: every tensor has its place, and so has every logit.
#[test]
fn transformers_loads_the_folder_and_predicts_the_same_words() {
    let Some(python) = installed("MIRROR_PYTHON") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/predicts_words.py");
    for kind in [Kind::Bert, Kind::Roberta, Kind::Mpnet, Kind::DistilBert] {
        let w = tiny(kind);
        w.run(&format!("pretrain --model m {TINY} --max-steps 4 --reg sam --output domain"));
        w.write("rows.jsonl", losses(&w.path("domain"), &sentences(12)));
        let output = Command::new(&python)
            .arg(&script)
            .args(["domain", "rows.jsonl"])
            .current_dir(w.path(""))
            .env("HF_HUB_OFFLINE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind:?}: {said}{failed}");
        // The folder is one to start from.
        w.run("train --model domain --corpus corpus.txt --batch-size 8 --max-steps 2 --output encoder");
        w.run("encode --model encoder --input corpus.txt --output vectors.npy");
    }
}

#[test]
fn perplexity_falls_and_the_head_of_a_folder_is_taken() {
    let w = tiny(Kind::Bert);
    w.write("corpus.txt", sentences(200).join("\n") + "\n");
    let flags = "--epochs 4 --holdout 20 --lr 3e-3 --dropout 0 --max-length 24 --json";
    let said = w.run(&format!("pretrain --model m {SMALL} {flags} --output domain"));
    assert!(said.stderr.contains("the head for masked words is new"), "{}", said.stderr);
    assert!(said.stderr.contains("20 lines held out"), "{}", said.stderr);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let evaluations = report["evaluations"].as_array().unwrap();
    // Before, and after each epoch.
    assert_eq!(evaluations.len(), 5);
    let perplexities: Vec<f64> = evaluations.iter().map(|e| e["perplexity"].as_f64().unwrap()).collect();
    assert!(perplexities[4] < 0.8 * perplexities[0], "{perplexities:?}");
    for evaluation in evaluations {
        let [loss, perplexity] = ["masked_loss", "perplexity"].map(|name| evaluation[name].as_f64().unwrap());
        assert!((loss.exp() - perplexity).abs() < 1e-9 * perplexity);
        assert_eq!(evaluation["masked_tokens"], evaluations[0]["masked_tokens"]);
    }
    // What is measured is in metrics.jsonl, and where the next run begins this one ended.
    let metrics = w.metrics("domain");
    assert_eq!(metrics.iter().filter(|row| row.get("perplexity").is_some()).count(), 5);
    let said = w.run(&format!("pretrain --model domain {SMALL} {flags} --max-steps 1 --output again"));
    assert!(said.stderr.contains("is that of the model's folder"), "{}", said.stderr);
    let again: Value = serde_json::from_str(&said.stdout).unwrap();
    let before = again["evaluations"][0]["perplexity"].as_f64().unwrap();
    assert!((before - perplexities[4]).abs() < 1e-6 * before, "{before} {}", perplexities[4]);
    let said =
        w.run(&format!("pretrain --model domain {SMALL} {flags} --new-head --max-steps 1 --output new"));
    assert!(said.stderr.contains("the head for masked words is new"), "{}", said.stderr);
    // The best weights are kept, and a run that gains nothing ends.
    let bad =
        "--lr 0.5 --epochs 9 --eval-every 2 --keep-best --early-stop 2 --holdout 20 --max-length 24 --json";
    let said = w.run(&format!("pretrain --model domain {SMALL} {bad} --output best"));
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(report["steps"].as_u64().unwrap() < 30, "{report}");
    let scores = report["evaluations"].as_array().unwrap().iter();
    let best = scores
        .min_by(|a, b| a["masked_loss"].as_f64().unwrap().total_cmp(&b["masked_loss"].as_f64().unwrap()));
    assert_eq!(report["saved_step"], best.unwrap()["step"]);
}

/// Killed at any point, the run goes on to the same bytes: masks, head, schedule and best weights included.
#[test]
fn a_killed_run_is_resumed_to_the_same_bytes() {
    let w = tiny(Kind::Roberta);
    let flags = format!(
        "--model m {TINY} --epochs 6 --reg delta-sam,smart --whole-words --holdout 9 --eval-every 4 \
         --keep-best --save-every 1"
    );
    w.run(&format!("pretrain {flags} --output whole"));
    let mut arguments = format!("pretrain {flags} --output killed");
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
        arguments = "pretrain --resume killed".to_owned();
    }
    w.run("pretrain --resume killed");
    for file in ["model.safetensors", "metrics.jsonl", "config.json"] {
        assert!(w.read(&format!("whole/{file}")) == w.read(&format!("killed/{file}")), "{file}");
    }
    assert!(w.run("pretrain --resume killed").stdout.contains("is finished"));
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let w = tiny(Kind::Bert);
    w.refuses_usage("pretrain --model m", &["--corpus FILE"]);
    w.refuses_usage(&format!("pretrain --model m {TINY} --mask-share 1"), &["--mask-share"]);
    w.refuses_usage(&format!("pretrain --model m {SMALL} --max-length 2"), &["--max-length"]);
    w.refuses_usage("pretrain --model m --corpus -", &["standard input"]);
    w.refuses_usage(&format!("pretrain --model m {TINY} --holdout 0 --keep-best"), &["--holdout N"]);
    w.refuses_usage("pretrain --model m --corpus corpus.txt --output m", &["--output", "--model"]);
    w.fails(
        &format!("pretrain --model m {SMALL} --max-length 4000"),
        &["--max-length is 4000", "positions for"],
    );
    w.run(&format!("pretrain --model m {TINY} --max-steps 1 --output domain"));
    w.fails(&format!("pretrain --model m {TINY} --output domain"), &["domain is not empty", "--overwrite"]);
    w.run(&format!("pretrain --model m {TINY} --max-steps 1 --overwrite --output domain"));
    w.refuses_usage("pretrain --resume domain --lr 1", &["--resume", "--learning-rate"]);
    let shown = w.run(&format!("pretrain --model m {TINY} --show")).stdout;
    assert!(shown.contains("mask-share = 0.15") && shown.contains("command line"), "{shown}");
    // A decoder of its own, and a tokenizer that cannot mask.
    let model = w.model(Kind::Bert, "untied");
    model.configure("tie_word_embeddings", json!(false));
    w.fails(&format!("pretrain --model untied {TINY}"), &["tie_word_embeddings", "start from another model"]);
    w.model(Kind::Bert, "maskless");
    std::fs::remove_file(w.path("maskless/tokenizer.json")).unwrap();
    let vocabulary = String::from_utf8(w.read("maskless/vocab.txt")).unwrap();
    w.write("maskless/vocab.txt", vocabulary.replace("[MASK]\n", "[unused]\n"));
    w.write("maskless/tokenizer_config.json", json!({"tokenizer_class": "BertTokenizer"}).to_string());
    w.fails(&format!("pretrain --model maskless {TINY}"), &["the tokenizer has no mask_token"]);
}
