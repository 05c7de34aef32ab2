//! A trained folder in the hands of Python's sentence-transformers and transformers, which the interpreter
//! that MIRROR_PYTHON names has (scripts/test sets it).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::tensor::Dtype;
use serde_json::json;

use crate::models::{Kind, Tensors};
use crate::train::TINY;
use crate::workspace::Workspace;

/// The interpreter; where there is none, says that the test is skipped, or fails under CI.
fn interpreter() -> Option<PathBuf> {
    installed("MIRROR_PYTHON")
}

/// What an environment variable of scripts/test names; where it is not set, says that a test is skipped,
/// or fails under CI.
pub fn installed(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set; run scripts/test");
        // Past the test harness, which hides what a passing test prints.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {variable} is not set; scripts/test sets it");
    }
    path
}

/// Encodes with the program and compares with what Python makes of the folder.
fn loads(w: &Workspace, python: &Path, folder: &str) {
    let sentences = "A man plays the guitar.\nloudly\n\n[MASK] dogs and Ünïcödé\n\
                     <s> a <pad> b <pad> <mask> </s> and [PAD] [CLS]\n\
                     two dogs run over the green fields and someone sings, and sings, and sings again\n";
    w.write("in.txt", sentences);
    w.run(&format!("encode --model {folder} --input in.txt --output {folder}.jsonl"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/loads.py");
    let output = Command::new(python)
        .arg(script)
        .args([folder, "in.txt", &format!("{folder}.jsonl")])
        .current_dir(w.path(""))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", python.display()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{folder}: {said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("largest difference").count(), 2, "{said}");
    println!("{folder}\n{said}");
}

#[test]
fn trained_folders_load_in_sentence_transformers_and_transformers() {
    let Some(python) = interpreter() else { return };
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "bert");
    w.model(Kind::Roberta, "roberta");
    for (kind, name) in [(Kind::Mpnet, "mpnet"), (Kind::DistilBert, "distilbert")] {
        let model = w.model(kind, name);
        // As a model with a head is saved, with what belongs to the head.
        let mut tensors: Tensors = kind
            .tensors()
            .into_iter()
            .map(|(tensor, values)| (kind.prefix().to_owned() + &tensor, values))
            .collect();
        tensors.insert("lm_head.dense.bias".to_owned(), (vec![1], vec![0.5]));
        model.set_tensors(&tensors, Dtype::F32);
        w.run(&format!("train --model {name} {TINY} --reg delta-sam,r3f --output {name}-trained"));
        // From vocab.txt alone, the folder says nothing else of its tokenizer.
        std::fs::remove_file(w.path(name).join("tokenizer.json")).unwrap();
        w.run(&format!("train --model {name}-trained {TINY} --output {name}-again"));
        w.run(&format!("train --model {name} {TINY} --pooling cls --output {name}-vocab"));
    }
    w.run(&format!("train --model bert {TINY} --output bert-mean"));
    w.run(&format!("train --model roberta {TINY} --output roberta-cls"));
    let normalised = w.model(Kind::Bert, "normalised");
    let module = |class: &str, path: &str| json!({ "type": format!("sentence_transformers.models.{class}"), "path": path });
    let modules =
        [module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")];
    normalised.write("modules.json", json!(modules).to_string());
    normalised.write("1_Pooling/config.json", "{\"pooling_mode_cls_token\": true}");
    w.run(&format!("train --model normalised {TINY} --output bert-normalised"));
    // The built-in one is stored as f16, and has a tokenizer of its own.
    w.run("train --batch-size 16 --max-steps 1 --no-eval --output built-in");
    for folder in [
        "bert-mean",
        "roberta-cls",
        "bert-normalised",
        "built-in",
        "mpnet-trained",
        "mpnet-again",
        "mpnet-vocab",
        "distilbert-trained",
        "distilbert-again",
        "distilbert-vocab",
    ] {
        loads(&w, &python, folder);
    }
}

/// pytorch_model.bin as PyTorch writes it, of tensors that are views of others.
#[test]
fn pickled_weights_are_those_that_pytorch_wrote() {
    let Some(python) = interpreter() else { return };
    let w = Workspace::new();
    w.write("in.txt", "a man plays the guitar\ntwo dogs run\n");
    for (kind, form) in [
        (Kind::Bert, "zip"),
        (Kind::Roberta, "zip"),
        (Kind::Bert, "legacy"),
        (Kind::Bert, "state_dict"),
        (Kind::Roberta, "model"),
        (Kind::Bert, "shards"),
    ] {
        w.model(kind, "m");
        let expected = w.run("encode --model m --input in.txt").stdout;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/pickles.py");
        let output = Command::new(&python).arg(script).arg(w.path("m")).arg(form).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!w.path("m/model.safetensors").exists());
        assert_eq!(w.run("encode --model m --input in.txt").stdout, expected, "{kind:?}, {form}");
        std::fs::remove_dir_all(w.path("m")).unwrap();
    }
}

/// What these are computed as, and that their trained folders load.
#[test]
fn xlm_roberta_and_camembert_folders_load() {
    let Some(python) = interpreter() else { return };
    let w = Workspace::new();
    w.corpus("corpus.txt");
    for (model_type, typed) in [("xlm-roberta", true), ("camembert", false)] {
        crate::tokenizers::model(
            &w,
            model_type,
            model_type,
            &[crate::tokenizers::tokenizer_json("unigram", typed)],
        );
        w.run(&format!("train --model {model_type} {TINY} --output {model_type}-trained"));
        loads(&w, &python, &format!("{model_type}-trained"));
    }
}
