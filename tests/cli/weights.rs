//! The same weights, however a folder holds them, give the same embeddings.

use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::models::{Kind, Model, Tensors, safetensors_bytes};
use crate::workspace::{Workspace, difference, jsonl};

fn embeddings(w: &Workspace, model: &str) -> Vec<Vec<f32>> {
    w.write("in.txt", "a man plays the guitar\ntwo dogs run\n\n");
    jsonl(&w.run(&format!("encode --model {model} --input in.txt")).stdout)
}

fn renamed(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(old, tensor)| (name(old), tensor.clone())).collect()
}

#[test]
fn names_and_number_formats_of_checkpoints() {
    let w = Workspace::new();
    for kind in [Kind::Bert, Kind::Roberta] {
        let model = w.model(kind, "m");
        let (expected, tensors) = (embeddings(&w, "m"), kind.tensors());
        let same = |what: &str, change: &dyn Fn(&Model)| {
            change(&model);
            assert_eq!(embeddings(&w, "m"), expected, "{kind:?}: {what}");
        };
        same("f16", &|m| m.set_tensors(&tensors, Dtype::F16));
        same("bf16", &|m| m.set_tensors(&tensors, Dtype::BF16));
        let prefixed = renamed(&tensors, |name| format!("{}{name}", kind.prefix()));
        same("prefix", &|m| m.set_tensors(&prefixed, Dtype::F32));
        let old = renamed(&prefixed, |name| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        });
        same("gamma and beta", &|m| m.set_tensors(&old, Dtype::F32));
        for prefix in
            ["module.", "0.auto_model.", "model.", "encoder.", "bert.bert.", "_orig_mod.", "any.thing."]
        {
            same(prefix, &|m| {
                m.set_tensors(
                    &renamed(&old, |n| format!("{prefix}{}", &n[kind.prefix().len()..])),
                    Dtype::F32,
                );
            });
        }
        same("a head beside it", &|m| {
            let mut more = tensors.clone();
            more.insert("lm_head.bias".into(), (vec![600], vec![0.5; 600]));
            m.set_tensors(&more, Dtype::F32);
        });
    }
}

/// The shards of a model: the tensors up to and from `encoder.layer.1`, and an index.
fn shards(tensors: &Tensors) -> (Tensors, Tensors) {
    tensors.clone().into_iter().partition(|(name, _)| name.contains("encoder.layer.1"))
}

fn index(files: &[(&str, &Tensors)]) -> String {
    let map: serde_json::Map<String, Value> = files
        .iter()
        .flat_map(|(file, tensors)| tensors.keys().map(move |name| (name.clone(), (*file).into())))
        .collect();
    json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()
}

#[test]
fn shards_are_read_whole_or_not_at_all() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    let expected = embeddings(&w, "m");
    std::fs::remove_file(w.path("m/model.safetensors")).unwrap();
    let all = renamed(&Kind::Bert.tensors(), |name| format!("module.{name}"));
    let (last, first) = shards(&all);
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    for (name, part) in names.iter().zip([&first, &last]) {
        model.write(name, safetensors_bytes(part, Dtype::F32));
    }
    let index_file = "model.safetensors.index.json";
    model.write(index_file, index(&[(names[0], &first), (names[1], &last)]));
    assert_eq!(embeddings(&w, "m"), expected);
    // An index that says the wrong one of two files is right about the files.
    model.write(index_file, index(&[(names[1], &first), (names[0], &last)]));
    assert_eq!(embeddings(&w, "m"), expected);
    let lacks = ["m/model-00001-of-00002.safetensors lacks the tensor", "module.encoder.layer.1."];
    model.write(index_file, index(&[(names[0], &all)]));
    w.fails("encode --model m", &lacks);
    model.write(index_file, index(&[(names[0], &first), (names[1], &last), ("absent.safetensors", &all)]));
    w.fails(
        "encode --model m",
        &["m/model.safetensors.index.json names \"absent.safetensors\", which is not there"],
    );
    for hostile in
        ["../m/model-00001-of-00002.safetensors", "/etc/passwd", ".hidden.safetensors", "config.json"]
    {
        model.write(index_file, index(&[(names[0], &first), (hostile, &last)]));
        w.fails(
            "encode --model m",
            &["m/model.safetensors.index.json", hostile, "cannot be a file of weights"],
        );
    }
    model.write(index_file, index(&[(names[0], &first), (names[1], &last)]));
    model.write(names[1], safetensors_bytes(&all, Dtype::F32));
    w.fails("encode --model m", &["model-00002-of-00002.safetensors", "it holds", "as m/model-00001"]);
}

#[test]
fn pickled_shards_and_the_order_of_forms() {
    let w = Workspace::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pickle-bert");
    let fixture = |file: &str| std::fs::read(fixture.join(file)).unwrap();
    let model = w.model(Kind::Bert, "m");
    model.set_config(&serde_json::from_slice(&fixture("config.json")).unwrap());
    model.set_weights(&fixture("model.safetensors"));
    let expected = embeddings(&w, "m");
    std::fs::remove_file(w.path("m/model.safetensors")).unwrap();
    model.write("pytorch_model-00001-of-00001.bin", fixture("pytorch_model.bin"));
    model.write(
        "pytorch_model.bin.index.json",
        index(&[("pytorch_model-00001-of-00001.bin", &Kind::Bert.tensors())]),
    );
    assert_eq!(embeddings(&w, "m"), expected);
    model.write("pytorch_model.bin.index.json", index(&[("model.safetensors", &Kind::Bert.tensors())]));
    w.fails("encode --model m", &["m/pytorch_model.bin.index.json", "cannot be a file of weights"]);
    // Each form goes before all that follow it: what is wrong with these is never met.
    model.write("pytorch_model.bin", fixture("pytorch_model.bin"));
    assert_eq!(embeddings(&w, "m"), expected);
    model.write("pytorch_model.bin", "broken");
    model.write("part.safetensors", fixture("model.safetensors"));
    model.write("model.safetensors.index.json", index(&[("part.safetensors", &Kind::Bert.tensors())]));
    assert_eq!(embeddings(&w, "m"), expected);
    model.write("model.safetensors.index.json", "broken");
    model.set_weights(&fixture("model.safetensors"));
    assert_eq!(embeddings(&w, "m"), expected);
}

#[test]
fn names_that_do_not_fit_are_told_with_those_that_are_there() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    let tensors = Kind::Bert.tensors();
    let mut two = renamed(&tensors, |name| format!("query.{name}"));
    two.extend(renamed(&tensors, |name| format!("passage.{name}")));
    model.set_tensors(&two, Dtype::F32);
    w.fails("encode --model m", &["m/model.safetensors holds two encoders", "\"passage.\"", "\"query.\""]);
    model.set_tensors(
        &renamed(&tensors, |name| name.replace("encoder.layer", "transformer.layer")),
        Dtype::F32,
    );
    let says = [
        "lacks the tensor encoder.layer.0.attention.self.query.weight",
        "but has \"transformer.layer.0.attention.output.LayerNorm.bias\"",
    ];
    w.fails("encode --model m", &says);
    model.set_tensors(&renamed(&tensors, |name| name.replace("embeddings", "emb\u{1b}[31m")), Dtype::F32);
    w.fails("encode --model m", &["lacks the tensor embeddings.word_embeddings.weight", "emb\\u{1b}[31m"]);
}

#[test]
fn weights_of_other_tools_are_named() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    std::fs::remove_file(w.path("m/model.safetensors")).unwrap();
    for file in ["flax_model.msgpack", "tf_model.h5"] {
        model.write(file, "x");
        w.fails("encode --model m", &["m has its weights only as", file, "save_pretrained"]);
    }
    model.write("adapter_config.json", "{}");
    w.fails("encode --model m", &["m has an adapter_config.json", "merge_and_unload"]);
    std::fs::remove_file(w.path("m/config.json")).unwrap();
    w.fails("encode --model m", &["m has an adapter_config.json"]);
}

/// Names that transformers has for one function give one model.
#[test]
fn names_of_the_same_activation() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    let mut seen = Vec::new();
    for names in [
        &["gelu", "gelu_python"][..],
        &["gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"],
        &["quick_gelu"],
        &["silu", "swish"],
        &["relu"],
    ] {
        let rows: Vec<_> = names
            .iter()
            .map(|name| {
                model.configure("hidden_act", (*name).into());
                embeddings(&w, "m")
            })
            .collect();
        assert!(rows.iter().all(|row| *row == rows[0]), "{names:?}");
        assert!(!seen.contains(&rows[0]), "{names:?}");
        seen.push(rows[0].clone());
    }
    for other in ["gelu_10", "mish", "relu6", "GELU"] {
        model.configure("hidden_act", other.into());
        w.fails("encode --model m", &["m/config.json", other, "quick_gelu"]);
    }
}

#[test]
fn a_byte_order_mark_before_json_is_passed_over() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let model = w.model(Kind::Bert, "m");
    model.write("1_Pooling/config.json", "{\"pooling_mode_cls_token\": true}");
    model.write("sentence_bert_config.json", "{\"max_seq_length\": 20}");
    let expected = embeddings(&w, "m");
    for file in ["config.json", "tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json"] {
        let text = w.read(&format!("m/{file}"));
        model.write(file, [b"\xEF\xBB\xBF", &text[..]].concat());
    }
    assert_eq!(embeddings(&w, "m"), expected);
    w.run(&format!("train --model m {} --output out", crate::train::TINY));
    assert_eq!(w.json("out/config.json")["model_type"], "bert");
    model.write("config.json", b"\xFF\xFE{\0}\0");
    w.fails("encode --model m", &["m/config.json", "it is UTF-16; save it as UTF-8"]);
}

#[test]
fn a_pickled_checkpoint() {
    let w = Workspace::new();
    let fixture = |file: &str| {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pickle-bert").join(file))
            .unwrap()
    };
    let model = w.model(Kind::Bert, "m");
    model.set_config(&serde_json::from_slice(&fixture("config.json")).unwrap());
    model.set_weights(&fixture("model.safetensors"));
    let expected = embeddings(&w, "m");
    assert!(difference(&expected[..1], &expected[1..2]) > 1e-2);
    std::fs::remove_file(w.path("m/model.safetensors")).unwrap();
    let pickled = fixture("pytorch_model.bin");
    model.write("pytorch_model.bin", &pickled);
    assert_eq!(embeddings(&w, "m"), expected);
    // Half a pickle, and none at all.
    for bytes in [&pickled[..pickled.len() / 2], &pickled[..200], b"not a pickle", b""] {
        model.write("pytorch_model.bin", bytes);
        w.fails("encode --model m --output o.npy", &["pytorch_model.bin is not a readable weights file"]);
    }
    std::fs::remove_file(w.path("m/pytorch_model.bin")).unwrap();
    w.fails("encode --model m", &["m has no weights", "model.safetensors or pytorch_model.bin"]);
}

#[test]
fn f16_weights_are_trained_and_written_as_f32() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let model = w.model(Kind::Roberta, "m");
    model.configure("torch_dtype", "float16".into());
    model.set_tensors(&Kind::Roberta.tensors(), Dtype::F16);
    w.run(&format!("train --model m {} --output out", crate::train::TINY));
    let config = w.json("out/config.json");
    assert_eq!((&config["dtype"], &config["torch_dtype"]), (&"float32".into(), &"float32".into()));
    let bytes = w.read("out/model.safetensors");
    let written = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, (shape, values)) in Kind::Roberta.tensors() {
        let tensor = written.tensor(&name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape.as_slice()), "{name}");
        let trained = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let moved = trained.zip(&values).filter(|(after, before)| after != *before).count();
        // Weight decay and Adam move what is not 0 and unused; a gradient moves the rest.
        assert!(moved * 4 > values.len() * 3, "{name}: {moved} of {} moved", values.len());
    }
}
