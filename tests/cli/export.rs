//! `mirror export`, and `--backend onnx` on what it wrote.

use std::path::PathBuf;

use mirror::onnx_file::proto::{Graph, Model, Node, OperatorSet, ValueInfo};
use prost::Message;
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::models::Kind;
use crate::workspace::{Workspace, contents, difference, jsonl};

/// ONNX Runtime's library, which scripts/test names.
fn library() -> Option<PathBuf> {
    crate::python::installed("ORT_DYLIB_PATH")
}

#[test]
fn the_folder_has_what_clients_look_for() {
    let w = Workspace::new();
    let model = w.model(Kind::Roberta, "m");
    model.write("sentence_bert_config.json", "{\"max_seq_length\": 20}");
    let said = w.run(
        "export --model m --output out/deep --precision int8,f32 --precision f16 --no-verify --normalize",
    );
    assert!(said.stdout.contains("written to out/deep"), "{}", said.stdout);
    let found: Vec<String> = contents(&w.path("out/deep"))
        .into_iter()
        .filter(|(_, bytes)| bytes.is_some())
        .map(|(path, _)| path.strip_prefix(w.path("out/deep")).unwrap().display().to_string())
        .collect();
    let mut expected = vec![
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "merges.txt",
        "modules.json",
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "onnx/model_int8.onnx",
        "sentence_bert_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "README.md",
        ".mirror.json",
    ];
    expected.sort();
    assert_eq!(found, expected);
    let tokenizer = w.json("out/deep/tokenizer.json");
    assert_eq!(tokenizer["truncation"]["max_length"], 20);
    assert_eq!(tokenizer["padding"]["pad_id"], 1);
    assert_eq!(w.json("out/deep/tokenizer_config.json")["model_max_length"], 20);
    assert_eq!(w.json("out/deep/sentence_bert_config.json")["max_seq_length"], 20);
    assert_eq!(w.json("out/deep/1_Pooling/config.json")["pooling_mode_cls_token"], true);
    assert_eq!(w.json("out/deep/modules.json").as_array().unwrap().len(), 3);

    let graph = Model::decode(w.read("out/deep/onnx/model.onnx").as_slice()).unwrap();
    assert_eq!(graph.producer_name.as_deref(), Some("mirror"));
    assert_eq!(graph.producer_version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(graph.opset_import[0].version, Some(17));
    let sizes = ["", "_fp16", "_int8"].map(|name| w.read(&format!("out/deep/onnx/model{name}.onnx")).len());
    assert!(sizes[1] < sizes[0] && sizes[2] < sizes[0], "{sizes:?}");
    // The same again, to the byte.
    w.run("export --model m --output again --precision f32,f16,int8 --no-verify --normalize");
    assert_eq!(contents(&w.path("again")).into_values().collect::<Vec<_>>(), {
        contents(&w.path("out/deep")).into_values().collect::<Vec<_>>()
    });
}

#[test]
fn a_graph_is_tried_beside_the_model_and_then_encodes_and_scores_like_it() {
    if library().is_none() {
        return;
    }
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write(
        "pairs.tsv",
        "5\ta man plays\ta man plays\n2\ta man plays\ttwo dogs\n0\tthe guitar\tgreen fields\n",
    );
    let said = w.run("export --model m --output out --precision f32,f16,int8");
    for part in ["largest difference", "mean cosine", "f32 ", "f16 ", "int8 ", "written to out"] {
        assert!(said.stdout.contains(part), "no {part:?} in {}", said.stdout);
    }
    assert!(said.stderr.contains("no STS data"), "{}", said.stderr);
    w.write("in.txt", "a man plays\n\n  two dogs \nthe guitar\n[MASK] and <mask>\n");
    let encode = |flags: &str| jsonl(&w.run(&format!("encode --input in.txt {flags}")).stdout);
    let expected = encode("--model m");
    for (flags, tolerance) in [("", 1e-4), ("--threads 1", 1e-4), ("--precision f16", 2e-2)] {
        let found = encode(&format!("--model out --backend onnx {flags}"));
        assert!(difference(&expected, &found) < tolerance, "{flags}");
    }
    let short = encode("--model m --max-length 4 --normalize");
    let found = encode("--model out --backend onnx --max-length 4 --normalize");
    assert!(difference(&short, &found) < 1e-5);
    let score = |flags: &str| {
        w.run(&format!("eval --set mine=pairs.tsv --json scores.json {flags}"));
        w.json("scores.json")[0]["tasks"]["mine"]["spearman"].clone()
    };
    assert_eq!(score("--model m"), score("--model out --backend onnx"));
}

#[test]
fn sts_b_dev_is_scored_where_it_is() {
    if library().is_none() {
        return;
    }
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let line = |score: f64, a: &str, b: &str| format!("main\tcaptions\t2012\t1\t{score}\t{a}\t{b}\n");
    let pairs =
        [(5.0, "a man plays", "a man sings"), (1.0, "two dogs", "the guitar"), (3.0, "a dog", "two dogs")];
    let lines: String = pairs.iter().map(|&(score, a, b)| line(score, a, b)).collect();
    w.write("sts/STS/STSBenchmark/sts-dev.csv", lines);
    let said = w.run("export --model m --output out --precision f32,f16 --data sts");
    assert!(said.stdout.contains("STS-B dev"), "{}", said.stdout);
    assert!(!said.stderr.contains("no STS data"), "{}", said.stderr);
}

#[test]
fn folders_of_other_forms_are_exported_too() {
    let w = Workspace::new();
    let export = |model: &str| {
        w.run(&format!("export --model {model} --output {model}-out --no-verify"));
        w.read(&format!("{model}-out/onnx/model.onnx"))
    };
    w.model(Kind::Bert, "plain");
    let plain = export("plain");
    w.model(Kind::Bert, "half").set_tensors(&Kind::Bert.tensors(), Dtype::F16);
    assert!(export("half") == plain);
    // Old folders of sentence-transformers keep the transformer in a folder of its own.
    w.model(Kind::Bert, "old/0_Transformer");
    let module = |path: &str, class: &str| json!({ "type": format!("sentence_transformers.models.{class}"), "path": path });
    let modules = json!([module("0_Transformer", "Transformer"), module("1_Pooling", "Pooling")]);
    w.write("old/modules.json", modules.to_string());
    w.write("old/1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}");
    assert!(export("old") == plain);
    assert_eq!(w.json("old-out/config.json"), w.json("plain-out/config.json"));
}

#[test]
fn every_operator_set_loads() {
    if library().is_none() {
        return;
    }
    let w = Workspace::new();
    w.model(Kind::Roberta, "m");
    for opset in [13, 16, 18, 20, 21, 23] {
        w.run(&format!(
            "export --model m --output o{opset} --opset {opset} --precision f32,f16 --pooling mean-padded"
        ));
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("full/file.txt", "mine");
    for (flags, says) in [
        ("--output out --opset 12", vec!["--opset", "13 to 23"]),
        ("--output out --opset 99", vec!["--opset", "13 to 23"]),
        ("--output out --precision f8", vec!["f8", "f32, f16 and int8"]),
        ("--output out --pooling max", vec!["max", "mean"]),
        ("", vec!["--output"]),
    ] {
        w.refuses_usage(&format!("export --model m --no-verify {flags}"), &says);
    }
    for (flags, says) in [
        ("--output full", vec!["full is not empty", "--overwrite"]),
        ("--output full/file.txt", vec!["is a file"]),
        ("--output full/file.txt/below", vec!["cannot write"]),
        ("--output out --max-length 65", vec!["--max-length is 65", "64 tokens"]),
        ("--output out --max-length 1", vec!["leaves no room"]),
    ] {
        w.fails(&format!("export --model m --no-verify {flags}"), &says);
    }
    w.fails("export --model nowhere/model --output out --no-verify", &["nowhere/model"]);
    w.run("export --model m --no-verify --output full --overwrite");
    assert_eq!(w.read("full/file.txt"), b"mine");
    w.run("export --model m --no-verify --output full --overwrite --precision f16");
    assert!(!w.path("full/onnx/model.onnx").exists() && w.path("full/onnx/model_fp16.onnx").exists());
}

#[test]
fn a_library_that_is_not_onnx_runtime_is_one_sentence() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let without = |arguments: &str, says: &[&str]| {
        let mut command = w.mirror(arguments);
        command.env_remove("ORT_DYLIB_PATH").env("XDG_DATA_HOME", w.path("nothing-here"));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        says.iter().for_each(|part| assert!(stderr.contains(part), "no {part:?} in {stderr}"));
        assert!(!w.path("out").exists());
    };
    without("export --model m --output out", &["scripts/fetch-onnxruntime", "--no-verify"]);
    without("encode --model m --backend onnx", &["scripts/fetch-onnxruntime"]);
    w.write("text.so", "no library at all");
    without("export --model m --output out --onnxruntime text.so", &["text.so", "1.24"]);
    without("export --model m --output out --onnxruntime absent.so", &["absent.so", "No such file"]);
    without("export --model m --output out --onnxruntime m", &["libonnxruntime"]);
    // A library, but another one.
    let other = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"];
    if let Some(other) = other.into_iter().find(|path| std::path::Path::new(path).exists()) {
        without(&format!("export --model m --output out --onnxruntime {other}"), &["OrtGetApiBase"]);
    }
}

#[test]
fn a_graph_that_is_none_or_another_one_is_refused() {
    if library().is_none() {
        return;
    }
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.run("export --model m --output out --no-verify");
    let fails = |says: &[&str]| {
        w.fails("encode --model out --backend onnx --output rows.npy", says);
        w.fails("eval --model out --backend onnx --json scores.json", says);
    };
    let whole = w.read("out/onnx/model.onnx");
    w.write("out/onnx/model.onnx", "this is no graph");
    fails(&["out/onnx/model.onnx is not a graph"]);
    w.write("out/onnx/model.onnx", &whole[..whole.len() / 2]);
    fails(&["out/onnx/model.onnx is not a graph"]);
    w.write("out/onnx/model.onnx", other_graph("x", "sentence_embedding"));
    fails(&["inputs x", "input_ids"]);
    w.write("out/onnx/model.onnx", other_graph("input_ids", "sentence_embedding"));
    fails(&["inputs input_ids,", "attention_mask"]);
    let mut renamed = Model::decode(whole.as_slice()).unwrap();
    let graph = renamed.graph.as_mut().unwrap();
    graph.output[1].name = Some("pooled".into());
    let last = graph.node.iter_mut().find(|node| node.output == ["sentence_embedding"]).unwrap();
    last.output = vec!["pooled".into()];
    w.write("out/onnx/model.onnx", renamed.encode_to_vec());
    fails(&["outputs last_hidden_state, pooled", "sentence_embedding"]);
    std::fs::remove_file(w.path("out/onnx/model.onnx")).unwrap();
    fails(&["onnx/model.onnx", "mirror export"]);
    w.write("out/onnx/model.onnx", &whole);
    w.write("in.txt", "a man plays\n");
    w.run("encode --model out --backend onnx --input in.txt --output rows.npy");

    for (flags, says) in [
        ("--backend onnx --pooling cls", "--pooling"),
        ("--backend onnx --precision f8", "f8"),
        ("--precision f16", "--backend onnx"),
        ("--backend tract", "tract"),
    ] {
        w.refuses_usage(&format!("encode --model out {flags}"), &[says]);
    }
    w.refuses_usage("encode --backend onnx", &["--model", "mirror export"]);
    w.refuses_usage("eval --model out --model builtin --backend onnx", &["--model", "mirror export"]);
    w.fails(
        "encode --model out --backend onnx --precision int8",
        &["onnx/model_int8.onnx", "onnx/model.onnx"],
    );
    w.fails("encode --model out --backend onnx --max-length 65", &["--max-length is 65", "64"]);
    w.run("export --model m --output fixed --no-verify --pooling mean-padded --normalize --max-length 12");
    w.fails(
        "encode --model fixed --backend onnx --max-length 8",
        &["--max-length is 8", "12 tokens", "mean-padded"],
    );
    w.refuses_usage(
        "encode --model fixed --backend onnx --no-normalize",
        &["--no-normalize", "export again"],
    );
    let expected =
        w.run_with("encode --model m --pooling mean-padded --normalize --max-length 12", "a man\n\nplays\n");
    let found = w.run_with("encode --model fixed --backend onnx", "a man\n\nplays\n");
    assert!(difference(&jsonl(&expected.stdout), &jsonl(&found.stdout)) < 1e-5);
    w.fails("encode --model out", &["no weights", "--backend onnx"]);
    let mut config = w.json("out/config.json");
    config["vocab_size"] = json!(50);
    w.write("out/config.json", config.to_string());
    fails(&["the tokenizer belongs to another model"]);
    w.fails("export --model out --output other --no-verify", &["another model"]);
}

/// A graph of one node from an input to an output.
fn other_graph(input: &str, output: &str) -> Vec<u8> {
    use mirror::onnx_file::proto::{DataType, Shape, TensorType, Type};
    let value = |name: &str, data_type: DataType| ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type {
            tensor_type: Some(TensorType {
                elem_type: Some(data_type as i32),
                shape: Some(Shape { dim: vec![Default::default(); 2] }),
            }),
        }),
    };
    let cast = mirror::export::graph::int("to", DataType::Float as i64);
    let node = Node {
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        op_type: Some("Cast".into()),
        attribute: vec![cast],
        ..Node::default()
    };
    let graph = Graph {
        name: Some("other".into()),
        node: vec![node],
        input: vec![value(input, DataType::Int64)],
        output: vec![value(output, DataType::Float)],
        ..Graph::default()
    };
    let opset = OperatorSet { domain: None, version: Some(17) };
    Model { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..Model::default() }
        .encode_to_vec()
}
