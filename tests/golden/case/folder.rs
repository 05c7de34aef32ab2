//! A recorded folder, and how numbers are compared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use mirror::encoder::layout::TensorSpec;
use mirror::encoder::{Encoder, EncoderConfig, Layout, PackedBatch, Parameters, Pass, SequenceId};
use mirror::model::{Kind, Part};
use mirror::model_folder::read_parameters;
use mirror::objective::HashedDraws;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision {
    Composed64,
    Fused32,
}

impl Precision {
    pub fn dtype(self) -> DType {
        match self {
            Precision::Composed64 => DType::F64,
            Precision::Fused32 => DType::F32,
        }
    }

    /// Of each tensor's largest value: losses, gradients, embeddings, perturbations.
    pub fn values(self) -> f64 {
        if self == Precision::Composed64 { 1e-6 } else { 1e-4 }
    }

    pub fn weights(self, steps: usize) -> f64 {
        match (self, steps) {
            (Precision::Composed64, _) => 1e-6,
            (Precision::Fused32, 1) => 5e-4,
            (Precision::Fused32, _) => 2e-3,
        }
    }
}

pub struct Folder {
    pub path: PathBuf,
    pub config: EncoderConfig,
    pub expected: Value,
    pub tensors: HashMap<String, Tensor>,
    pub inputs: HashMap<String, Tensor>,
}

impl Folder {
    /// The folder that MIRROR_GOLDEN names, if its objective is one of these, else those in the repository of these names.
    /// Contrastive folders name none.
    pub fn all(names: &[&str], objectives: &[Option<&str>]) -> Vec<Self> {
        let found: Vec<Folder> = match std::env::var_os("MIRROR_GOLDEN") {
            Some(path) => vec![Folder::open(PathBuf::from(path))],
            None => {
                let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
                names.iter().map(|name| Folder::open(own.join(name))).collect()
            }
        };
        found
            .into_iter()
            .filter(|folder| objectives.contains(&folder.expected["objective"].as_str()))
            .collect()
    }

    fn open(path: PathBuf) -> Self {
        let read = |name: &str| candle_core::safetensors::load(path.join(name), &Device::Cpu).unwrap();
        let text = std::fs::read_to_string(path.join("expected.json")).unwrap();
        Folder {
            config: EncoderConfig::from_folder(&path).unwrap(),
            expected: serde_json::from_str(&text).unwrap(),
            tensors: read("expected.safetensors"),
            inputs: read("inputs.safetensors"),
            path,
        }
    }

    pub fn number(&self, name: &str) -> f64 {
        self.expected[name].as_f64().unwrap_or_else(|| panic!("expected.json lacks {name}"))
    }

    pub fn encoder(&self, pooling: &str) -> Encoder {
        Encoder::new(self.config.clone(), pooling.parse().unwrap())
    }

    pub fn parameters(&self, precision: Precision) -> Parameters {
        let layout = Arc::new(self.config.layout());
        read_parameters(&self.path, &layout, precision.dtype(), &device()).unwrap()
    }

    /// The weights of an encoder and a head on it, none of which may be left out.
    pub fn parameters_of(&self, layout: Layout, precision: Precision) -> Parameters {
        let stored =
            candle_core::safetensors::load(self.path.join("model.safetensors"), &Device::Cpu).unwrap();
        assert_eq!(layout.tensors().count(), stored.len());
        Parameters::from_named(Arc::new(layout), precision.dtype(), &device(), |spec| {
            Ok::<_, candle_core::Error>(stored[&self.recorded_name(&spec.name)].clone())
        })
        .unwrap()
    }

    /// The pass of a step under dropout. The masks are those of one step of a seed, in all five steps.
    pub fn dropout_pass(&self) -> Pass {
        let draws = HashedDraws::new(self.number("dropout_seed") as u64, self.number("dropout_step") as u64);
        Pass {
            key: draws.pass_key(),
            hidden_dropout: self.number("hidden_dropout"),
            attention_dropout: self.number("attention_dropout"),
            drophead: 0.0,
        }
    }

    /// Real lengths of the sentences and the token ids of one view, row by row.
    fn rows(&self, view: u32) -> Vec<Vec<u32>> {
        let ids: Vec<Vec<i64>> = self.inputs[&format!("input_ids_{}", view + 1)].to_vec2().unwrap();
        let mask: Vec<Vec<i64>> = self.inputs["attention_mask"].to_vec2().unwrap();
        let real = |(ids, mask): (Vec<i64>, Vec<i64>)| {
            ids.into_iter().zip(mask).filter(|&(_, m)| m == 1).map(|(id, _)| id as u32).collect()
        };
        ids.into_iter().zip(mask).map(real).collect()
    }

    pub fn batch(&self, encoder: &Encoder, views: &[u32]) -> PackedBatch {
        let width = self.inputs["attention_mask"].dims()[1];
        let mut batch = PackedBatch::new();
        for &view in views {
            for (sentence, tokens) in self.rows(view).iter().enumerate() {
                encoder.push(&mut batch, tokens, SequenceId { view, sentence: sentence as u32 }, width);
            }
        }
        batch
    }

    /// A tensor's name in the folder, which is that of a class with a head where there is one.
    pub fn recorded_name(&self, name: &str) -> String {
        let is_of_encoder = !["classifier", "cls.", "lm_head."].iter().any(|head| name.starts_with(head));
        match self.expected["objective"].is_string() && is_of_encoder {
            true => format!("{}{name}", self.config.architecture.description().prefix),
            false => name.to_owned(),
        }
    }

    pub fn embeddings(&self, pooling: &str, precision: Precision) -> f64 {
        let encoder = self.encoder(pooling);
        let batch = self.batch(&encoder, &[0]);
        let ours = encoder.embed(&self.parameters(precision), &batch, None, &Pass::inference()).unwrap();
        let error = relative_error(&ours, &self.tensors[&format!("embeddings/{pooling}")]);
        assert!(error <= precision.values(), "embeddings/{pooling}: {error:e}");
        error
    }
}

/// The CPU, or the device that MIRROR_TEST_DEVICE names.
pub fn device() -> Device {
    match std::env::var("MIRROR_TEST_DEVICE").as_deref() {
        Ok("cuda") => Device::new_cuda(0).unwrap(),
        _ => Device::Cpu,
    }
}

/// The largest difference, as a share of the expected tensor's largest value.
pub fn relative_error(ours: &Tensor, expected: &Tensor) -> f64 {
    relative_error_of(&flat(ours), &flat(expected))
}

pub fn flat(tensor: &Tensor) -> Vec<f64> {
    let values = || tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1();
    values().unwrap()
}

pub fn relative_error_of(ours: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(ours.len(), expected.len());
    let largest = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
    let difference = ours.iter().zip(expected).fold(0f64, |m, (a, b)| {
        assert!(a.is_finite() && b.is_finite());
        m.max((a - b).abs())
    });
    difference / largest
}

/// A key's bias adds the same to all scores of a row: no gradient in exact arithmetic.
pub fn is_key_bias(spec: &TensorSpec) -> bool {
    (spec.part, spec.kind) == (Part::Key, Kind::Bias)
}
