//! The same weights, however a folder holds them, give the same embeddings.

use std::path::Path;

use safetensors::tensor::Dtype;

use crate::models::{Kind, Model, Tensors};
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
        same("a head beside it", &|m| {
            let mut more = tensors.clone();
            more.insert("lm_head.bias".into(), (vec![600], vec![0.5; 600]));
            m.set_tensors(&more, Dtype::F32);
        });
    }
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
