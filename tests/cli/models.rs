//! Tiny models, written from a formula, and sentences to train them on.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use mirror::encoder::EncoderConfig;
use mirror::random::Key;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::workspace::Workspace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bert,
    Roberta,
    Mpnet,
    DistilBert,
}

/// Names, shapes and values of a model's tensors.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Kind {
    /// The prefix of a model with a head.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Bert => "bert.",
            Kind::Roberta => "roberta.",
            Kind::Mpnet => "mpnet.",
            Kind::DistilBert => "distilbert.",
        }
    }

    fn tokenizer_files(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Kind::Bert | Kind::DistilBert => ("tokenizer-bert", &["tokenizer.json", "vocab.txt"]),
            Kind::Mpnet => ("tokenizer-mpnet", &["tokenizer.json", "vocab.txt"]),
            Kind::Roberta => ("tokenizer-roberta", &["tokenizer.json", "vocab.json", "merges.txt"]),
        }
    }

    pub fn config(self) -> Value {
        // MPNet: beyond the distance from which its buckets are one.
        let longest = if self == Kind::Mpnet { 200 } else { 64 };
        let (model_type, pad, types) = match self {
            Kind::Bert => ("bert", 0, 2),
            Kind::Roberta => ("roberta", 1, 1),
            Kind::Mpnet => ("mpnet", 1, 0),
            Kind::DistilBert => return distilbert(),
        };
        json!({
            "model_type": model_type, "architectures": null, "vocab_size": 600, "hidden_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "hidden_act": "gelu",
            "max_position_embeddings": longest, "type_vocab_size": types, "layer_norm_eps": 1e-5,
            "pad_token_id": pad, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        })
    }

    /// Values that f16 and bf16 hold exactly: multiples of 1/64 of seven bits.
    pub fn tensors(self) -> Tensors {
        let config = EncoderConfig::from_json(&self.config().to_string(), Path::new("config.json")).unwrap();
        let layout = config.layout();
        let tensors = layout.tensors().enumerate().map(|(number, (_, spec))| {
            let key = Key::new(7).at(number as u64);
            let one = if spec.is_norm_weight() { 1.0 } else { 0.0 };
            let value = |i| ((key.normal(i) * 12.0).round().clamp(-63.0, 63.0) / 64.0 + one) as f32;
            (spec.name.clone(), (spec.shape.clone(), (0..spec.len() as u32).map(value).collect()))
        });
        tensors.collect()
    }
}

fn distilbert() -> Value {
    json!({
        "model_type": "distilbert", "architectures": null, "vocab_size": 600, "dim": 32, "n_layers": 2, "n_heads": 4,
        "hidden_dim": 64, "activation": "gelu", "max_position_embeddings": 64, "pad_token_id": 0, "dropout": 0.1,
        "attention_dropout": 0.1, "sinusoidal_pos_embds": false,
    })
}

impl Workspace {
    /// Writes a model of the kind into the folder `name`: config.json, tokenizer and f32 weights.
    pub fn model(&self, kind: Kind, name: &str) -> Model<'_> {
        let model = Model { workspace: self, kind, name: name.to_owned() };
        model.set_config(&kind.config());
        let (folder, files) = kind.tokenizer_files();
        for file in files {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder).join(file);
            self.write(&format!("{name}/{file}"), std::fs::read(from).unwrap());
        }
        model.set_tensors(&kind.tensors(), Dtype::F32);
        model
    }

    /// Writes 40 different sentences, one a line.
    pub fn corpus(&self, name: &str) {
        self.write(name, sentences(40).join("\n") + "\n");
    }
}

pub struct Model<'a> {
    workspace: &'a Workspace,
    kind: Kind,
    name: String,
}

impl Model<'_> {
    pub fn set_config(&self, config: &Value) {
        self.workspace.write(&format!("{}/config.json", self.name), config.to_string());
    }

    /// Changes one entry of config.json.
    pub fn configure(&self, key: &str, value: Value) {
        let mut config = self.kind.config();
        config[key] = value;
        self.set_config(&config);
    }

    pub fn set_weights(&self, bytes: &[u8]) {
        self.workspace.write(&format!("{}/model.safetensors", self.name), bytes);
    }

    pub fn set_tensors(&self, tensors: &Tensors, dtype: Dtype) {
        self.set_weights(&safetensors_bytes(tensors, dtype));
    }

    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        self.workspace.write(&format!("{}/{file}", self.name), bytes);
    }
}

pub fn safetensors_bytes(tensors: &Tensors, dtype: Dtype) -> Vec<u8> {
    let encode = |value: &f32| match dtype {
        Dtype::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
        Dtype::BF16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        Dtype::I64 => (*value as i64).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let buffers: Vec<(&str, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name.as_str(), shape, values.iter().flat_map(encode).collect()))
        .collect();
    let views = buffers
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Different sentences of 5 to 12 words.
pub fn sentences(count: usize) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "a", "man", "plays", "the", "guitar", "while", "two", "dogs", "run", "over", "green", "fields",
        "and", "someone", "sings", "loudly",
    ];
    (0..count as u64)
        .map(|i| {
            let key = Key::new(3).at(i);
            let length = 5 + key.below(8);
            let words = (0..length).map(|w| WORDS[key.at(w).below(16) as usize]);
            format!("{} {i}.", words.collect::<Vec<_>>().join(" "))
        })
        .collect()
}
