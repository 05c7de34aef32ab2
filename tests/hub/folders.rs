//! Every layout of a model's folder: it encodes from the hub as it does from the disk, and what cannot be encoded is
//! refused before its weights are asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::Case;
use crate::server::{Hub, ID};

/// The folder of the built-in model.
pub fn builtin() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    mirror::builtin::unpack(folder.path()).unwrap();
    folder
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn remove(folder: &Path, name: &str) {
    std::fs::remove_file(folder.join(name)).unwrap();
}

/// Changes keys of a JSON file.
fn edit(folder: &Path, name: &str, changes: Value) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    write(folder, name, json.to_string());
}

fn modules(folder: &Path, modules: &[(&str, &str)]) {
    let list: Vec<_> = modules
        .iter()
        .enumerate()
        .map(|(i, (class, path))| {
            let class = format!("sentence_transformers.models.{class}");
            json!({"idx": i, "name": i.to_string(), "path": path, "type": class})
        })
        .collect();
    write(folder, "modules.json", Value::from(list).to_string());
}

fn pooling(folder: &Path, name: &str, mode: &str) {
    write(folder, name, json!({"word_embedding_dimension": 64, "pooling_mode": mode}).to_string());
}

fn in_a_folder_of_its_own(folder: &Path) {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    std::fs::create_dir(folder.join("0_Transformer")).unwrap();
    for name in names {
        std::fs::rename(folder.join(&name), folder.join("0_Transformer").join(&name)).unwrap();
    }
    write(folder, "0_Transformer/sentence_roberta_config.json", json!({"max_seq_length": 6}).to_string());
    modules(
        folder,
        &[("Transformer", "0_Transformer"), ("Pooling", "1_Pooling/"), ("Normalize", "2_Normalize")],
    );
    pooling(folder, "1_Pooling/config.json", "cls");
}

fn shards(folder: &Path) {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut map = BTreeMap::new();
    for part in 0..3 {
        let file = format!("model-{part}.safetensors");
        let own: Vec<_> = tensors.iter().enumerate().filter(|(i, _)| i % 3 == part).map(|(_, t)| t).collect();
        map.extend(own.iter().map(|(name, _)| ((*name).to_owned(), file.clone())));
        write(folder, &file, serialize(own, None).unwrap());
    }
    write(folder, "model.safetensors.index.json", json!({"metadata": {}, "weight_map": map}).to_string());
    remove(folder, "model.safetensors");
}

fn dense(folder: &Path) {
    let width = 8;
    let bytes =
        |count: usize| (0..count).flat_map(|i| (i as f32 / 99.0).sin().to_le_bytes()).collect::<Vec<u8>>();
    let config: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let hidden = config["hidden_size"].as_u64().unwrap() as usize;
    let (weight, bias) = (bytes(width * hidden), bytes(width));
    let tensors = [
        ("linear.weight", TensorView::new(Dtype::F32, vec![width, hidden], &weight).unwrap()),
        ("linear.bias", TensorView::new(Dtype::F32, vec![width], &bias).unwrap()),
    ];
    write(folder, "2_Dense/model.safetensors", serialize(tensors, None).unwrap());
    let config = json!({"in_features": hidden, "out_features": width, "bias": true,
                        "activation_function": "torch.nn.modules.activation.Tanh"});
    write(folder, "2_Dense/config.json", config.to_string());
    modules(folder, &[("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]);
    pooling(folder, "1_Pooling/config.json", "mean");
}

/// A layout, and how it comes from that of the built-in model.
type Layout = (&'static str, fn(&Path));

const LAYOUTS: [Layout; 9] = [
    ("as transformers writes it", |_| {}),
    ("a vocabulary alone", |folder| {
        remove(folder, "tokenizer.json");
        remove(folder, "special_tokens_map.json");
    }),
    ("settings of the tokenizer in older files", |folder| {
        remove(folder, "tokenizer.json");
        remove(folder, "tokenizer_config.json");
        write(folder, "added_tokens.json", "{}");
    }),
    ("sentence-transformers without modules", |folder| {
        pooling(folder, "1_Pooling/config.json", "cls");
        write(folder, "sentence_bert_config.json", json!({"max_seq_length": 5}).to_string());
    }),
    ("an older name of the transformer's settings", |folder| {
        modules(folder, &[("Transformer", ""), ("Pooling", "1_Pooling")]);
        pooling(folder, "1_Pooling/config.json", "mean");
        write(folder, "sentence_xlnet_config.json", json!({"max_seq_length": 4}).to_string());
    }),
    ("folders with other names", |folder| {
        modules(folder, &[("Transformer", ""), ("Pooling", "9_The-Pooling"), ("Normalize", "2_Normalize")]);
        pooling(folder, "9_The-Pooling/config.json", "cls");
        let settings = json!({"prompts": {"query": "ask: "}, "default_prompt_name": "query"});
        write(folder, "config_sentence_transformers.json", settings.to_string());
    }),
    ("a transformer in a folder of its own", in_a_folder_of_its_own),
    ("weights in shards", shards),
    ("a dense layer", dense),
];

fn encode(case: &Case, model: &str) -> Output {
    let text = "A man is playing the guitar in the park.\nTwo dogs run.\nHow do I reset my password?\n";
    std::fs::write(case.home.path().join("text.txt"), text).unwrap();
    let mut command = case.clean(env!("CARGO_BIN_EXE_mirror"));
    command.args(["encode", "--model", model, "--input", "text.txt"]).output().unwrap()
}

#[test]
fn a_folder_encodes_from_the_hub_as_from_the_disk() {
    let mut seen = Vec::new();
    for (what, change) in LAYOUTS {
        let folder = builtin();
        change(folder.path());
        let hub = Hub::start();
        hub.serve_folder(folder.path());
        let case = Case::new(&hub.address);
        let expected = encode(&case, folder.path().to_str().unwrap());
        let online = encode(&case, ID);
        let said = String::from_utf8_lossy(&online.stderr).into_owned();
        assert_eq!(online.status.code(), expected.status.code(), "{what}: {said}");
        assert!(online.stdout == expected.stdout, "{what}");
        if !expected.status.success() {
            println!("{what}: refused from both, {said}");
            continue;
        }
        hub.requests();
        let again = encode(&case, ID);
        assert!(again.stdout == expected.stdout && hub.requests().len() == 1, "{what}: asked again");
        let case = case.with("HF_HUB_OFFLINE", "1");
        assert!(encode(&case, ID).stdout == expected.stdout, "{what}: offline");
        seen.push(expected.stdout);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 4, "the layouts differ in what they encode to, or the test cannot fail");
}

/// A reason to refuse, what the message names, and how a folder comes by it.
type Refusal = (&'static str, fn(&Path));

const REFUSALS: [Refusal; 8] = [
    ("camembert, mpnet and distilbert", |folder| {
        edit(folder, "config.json", json!({"model_type": "electra"}))
    }),
    ("mish", |folder| edit(folder, "config.json", json!({"hidden_act": "mish"}))),
    ("is_decoder", |folder| edit(folder, "config.json", json!({"is_decoder": true}))),
    ("MTokenizer", |folder| {
        remove(folder, "tokenizer.json");
        edit(folder, "tokenizer_config.json", json!({"tokenizer_class": "MTokenizer"}));
    }),
    ("vocab_size", |folder| edit(folder, "config.json", json!({"vocab_size": 99}))),
    ("CNN", |folder| {
        modules(folder, &[("Transformer", ""), ("Pooling", "1_Pooling"), ("CNN", "2_CNN")]);
        pooling(folder, "1_Pooling/config.json", "mean");
        write(folder, "2_CNN/pytorch_model.bin", "weights");
    }),
    ("lasttoken", |folder| pooling(folder, "1_Pooling/config.json", "lasttoken")),
    ("tokenizer.json", |folder| write(folder, "tokenizer.json", r#"{"version": "1.0"}"#)),
];

#[test]
fn what_is_refused_is_refused_before_the_weights_are_asked_for() {
    for (what, change) in REFUSALS {
        let folder = builtin();
        change(folder.path());
        let hub = Hub::start();
        hub.serve_folder(folder.path());
        let case = Case::new(&hub.address);
        let from_disk = encode(&case, folder.path().to_str().unwrap());
        let from_hub = encode(&case, ID);
        let said = String::from_utf8(from_hub.stderr).unwrap();
        assert!(!from_disk.status.success() && from_hub.status.code() == Some(1), "{what}: {said}");
        assert!(said.contains(what) && said.lines().count() == 1, "{what}: {said}");
        // The same sentence, of the same file in another place.
        let tail = |said: &str| said.rsplit('/').next().unwrap_or_default().to_owned();
        assert_eq!(tail(&said), tail(&String::from_utf8(from_disk.stderr).unwrap()));
        let is_weights = |path: &str| path.ends_with(".safetensors") || path.ends_with(".bin");
        let asked = hub.requests();
        assert!(asked.iter().all(|request| !is_weights(&request.path)), "{what}: {asked:?}");
        let of_config = ["camembert, mpnet and distilbert", "mish", "is_decoder"].contains(&what);
        assert!(
            !of_config || asked.len() <= 4,
            "{what}: more than the configuration was asked for: {asked:?}"
        );
    }
}
