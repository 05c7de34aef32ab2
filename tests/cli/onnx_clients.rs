//! Exported folders in the hands of other people's tools, each held against `mirror encode`: onnx.checker,
//! onnxruntime, sentence-transformers, fastembed and transformers.js. scripts/test installs them and says
//! where they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::Device;
use mirror::encoder::Pooling;
use mirror::export::folder::{Export as Folder, write_folder};
use mirror::export::{DEFAULT_OPSET, Precision};
use mirror::model::PoolingChoice;
use mirror::sentence_encoder::{Overrides, SentenceEncoder};
use serde_json::{Value, json};

use crate::models::Kind;
use crate::workspace::Workspace;

/// What an environment variable names; where it is not set, says that a test is skipped, or fails under CI.
fn installed(variable: &str) -> Option<PathBuf> {
    crate::python::installed(variable)
}

/// Lines of all kinds: empty, emoji, combining characters, special tokens, long ones.
const SENTENCES: [&str; 21] = [
    "A man plays the guitar.",
    "",
    "loudly",
    "   ",
    "Ünïcödé, naïve façade, größere Straßen",
    "e\u{301}a\u{308} combining",
    "😀 👩‍👩‍👧‍👦 🇩🇪",
    "敏捷的棕色狐狸跳过了懒狗。",
    "速い茶色の狐",
    "다람쥐 헌 쳇바퀴",
    "الثعلب البني السريع",
    "[CLS] a [MASK] and a [SEP] [PAD] [UNK]",
    "<s> a <mask> and a </s> <pad> <unk>",
    "two dogs run over the green fields and someone sings, and sings, and sings again",
    "don't \u{201c}quote\u{201d} \u{2014} it's 3.14, 10,000 and 1e-5",
    "MiXeD cAsE   several  blanks\tand a tab",
    "?",
    "e-mail@example.org, https://example.org/a?b=c#d",
    "supercalifragilisticexpialidociousantidisestablishmentarianism",
    "zero\u{200d}width \u{a0}blanks",
    "LONG",
];

/// An export to be tried: the model's folder, and flags of both commands.
struct Export {
    name: &'static str,
    model: String,
    pooling: &'static str,
    /// Whether the graph itself is to give embeddings of length 1.
    normalized: bool,
    precisions: &'static [&'static str],
}

/// A BERT and a RoBERTa model with every pooling, the other architectures, and real models.
fn exports(w: &Workspace) -> Vec<Export> {
    w.model(Kind::Bert, "bert");
    w.model(Kind::Roberta, "roberta");
    w.model(Kind::Mpnet, "mpnet");
    w.model(Kind::DistilBert, "distilbert");
    let all = &["f32", "f16", "int8"];
    let some = &["f32"];
    let export = |name, model: &str, pooling, normalized, precisions| Export {
        name,
        model: model.to_owned(),
        pooling,
        normalized,
        precisions,
    };
    let mut exports = vec![
        export("bert-mean", "bert", "mean", true, all as &[_]),
        export("bert-cls", "bert", "cls", false, some),
        export("bert-mean-padded", "bert", "mean-padded", false, some),
        export("bert-first-last-avg", "bert", "first-last-avg", true, some),
        export("roberta-cls", "roberta", "cls", false, all),
        export("roberta-mean", "roberta", "mean", true, some),
        export("roberta-mean-padded", "roberta", "mean-padded", true, some),
        export("roberta-first-last-avg", "roberta", "first-last-avg", false, some),
        export("mpnet-mean", "mpnet", "mean", true, all),
        export("mpnet-mean-padded", "mpnet", "mean-padded", false, some),
        export("distilbert-mean", "distilbert", "mean", true, all),
        export("distilbert-cls", "distilbert", "cls", false, some),
        export("built-in", "builtin", "mean", false, all),
    ];
    if let Some(minilm) = installed("MIRROR_MINILM") {
        exports.push(export("minilm", minilm.to_str().unwrap(), "mean", true, all));
    }
    exports
}

/// An export whose weights lie beside the graph, as those beyond 2 GB do.
fn write_apart(w: &Workspace, source: &str, name: &str) -> Export {
    let overrides = Overrides { pooling: PoolingChoice(Some(Pooling::Mean)), max_length: None };
    let source_folder = w.path(source);
    let model = SentenceEncoder::load(&source_folder, overrides, &Device::Cpu).unwrap();
    let export = Folder {
        model: &model,
        source: &source_folder,
        precisions: &[Precision::F32, Precision::F16],
        opset: DEFAULT_OPSET,
        largest_file: 10_000,
    };
    let folder = w.path(&format!("exported/{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let files = write_folder(&export, &folder).unwrap();
    let names: Vec<&str> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["model.onnx", "model.onnx_data", "model_fp16.onnx", "model_fp16.onnx_data"]);
    assert!(files[0].metadata().unwrap().len() < files[1].metadata().unwrap().len());
    let (pooling, normalized) = ("mean", false);
    Export { name: "bert-apart", model: source.to_owned(), pooling, normalized, precisions: &["f32", "f16"] }
}

/// Exports everything, encodes everything, and writes what the clients are told: cases.json.
fn write_cases(w: &Workspace) {
    let sentences: Vec<String> = SENTENCES
        .iter()
        .map(|line| if *line == "LONG" { "word after word ".repeat(300) } else { (*line).to_owned() })
        .collect();
    w.write("sentences.txt", sentences.join("\n") + "\n");
    let mut exports = exports(w);
    for Export { name, model, pooling, normalized, precisions } in &exports {
        let normalize = if *normalized { "--normalize" } else { "--no-normalize" };
        let precisions = precisions.join(",");
        let said = w.run(&format!(
            "export --model {model} --pooling {pooling} {normalize} --precision {precisions} --output exported/{name}"
        ));
        let warned = said.stderr.contains("warning:") && said.stderr.contains("sentence_embedding");
        assert_eq!(warned, !matches!(*pooling, "mean" | "cls"), "{}", said.stderr);
    }
    exports.push(write_apart(w, "bert", "bert-apart"));
    let mut cases = Vec::new();
    for Export { name, model, pooling, normalized, precisions } in exports {
        w.run(&format!(
            "encode --model {model} --pooling {pooling} --normalize --input sentences.txt --output {name}.jsonl"
        ));
        cases.push(json!({
            "name": name, "folder": w.path(&format!("exported/{name}")), "pooling": pooling,
            "normalized": normalized, "precisions": precisions, "sentences": sentences,
            "expected": w.path(&format!("{name}.jsonl")), "batch": 8,
        }));
    }
    w.write("cases.json", Value::from(cases).to_string());
}

/// Runs a client on the cases; it fails where it is further off than a precision allows.
fn try_client(w: &Workspace, client: &mut Command) {
    let output = client
        .arg("cases.json")
        .current_dir(w.path(""))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{client:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("largest difference"), "{said}");
    println!("{said}");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn exported_folders_give_the_same_embeddings_in_every_client() {
    if installed("ORT_DYLIB_PATH").is_none() {
        return;
    }
    let w = Workspace::new();
    write_cases(&w);
    if let Some(python) = installed("MIRROR_PYTHON") {
        try_client(&w, Command::new(&python).arg(script("python/onnx_runtime.py")));
        if let Some(packages) = installed("MIRROR_OPTIMUM") {
            let mut client = Command::new(python);
            client.env("PYTHONPATH", packages).arg(script("python/sentence_transformers_onnx.py"));
            try_client(&w, &mut client);
        }
    }
    if let Some(fastembed) = installed("MIRROR_FASTEMBED") {
        try_client(&w, &mut Command::new(fastembed));
    }
    if let Some(modules) = installed("MIRROR_NODE_MODULES") {
        let mut client = Command::new("node");
        client.env("MIRROR_NODE_MODULES", modules).arg(script("node/transformers_js.mjs"));
        try_client(&w, &mut client);
    }
}
