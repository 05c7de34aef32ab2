//! Encoders against candle-transformers' models: written by others, on padded tensors, a module a class.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, distilbert};
use mirror::encoder::{Encoder, EncoderConfig, PackedBatch, Pass, Pooling, SequenceId};
use mirror::model::Activation;
use mirror::model_folder::read_parameters;
use mirror::random::Key;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn tensors(folder: &Path) -> VarBuilder<'static> {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

fn config<C: serde::de::DeserializeOwned>(folder: &Path) -> C {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

/// Sentences of 1 to 40 tokens, all in one packed batch, against theirs one by one: `hidden_states` gives
/// `[1, tokens, hidden]`.
fn agrees(name: &str, activation: Activation, hidden_states: impl Fn(&Tensor) -> Result<Tensor>) {
    let folder = folder(name);
    let config = EncoderConfig { activation, ..EncoderConfig::from_folder(&folder).unwrap() };
    let encoder = Encoder::new(config, Pooling::Mean);
    let weights = read_parameters(&folder, &encoder.layout(), DType::F32, &Device::Cpu).unwrap();
    let vocabulary = encoder.config.dimensions.vocab_size as u64;
    let sentences: Vec<Vec<u32>> = [1, 2, 7, 18, 33, 40]
        .iter()
        .map(|&length| (0..length).map(|i| Key::new(length).at(i).below(vocabulary) as u32).collect())
        .collect();
    let mut batch = PackedBatch::new();
    for (i, tokens) in sentences.iter().enumerate() {
        encoder.push(&mut batch, tokens, SequenceId { view: 0, sentence: i as u32 }, 64);
    }
    let ours: Vec<Vec<f32>> =
        encoder.embed(&weights, &batch, None, &Pass::inference()).unwrap().to_vec2().unwrap();
    for (ours, tokens) in ours.iter().zip(&sentences) {
        let ids = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let theirs: Vec<f32> =
            hidden_states(&ids).unwrap().squeeze(0).unwrap().mean(0).unwrap().to_vec1().unwrap();
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{name}, {} tokens: {worst:e}", tokens.len());
    }
}

#[test]
fn bert_is_candle_transformers_bert() {
    let folder = folder("bert");
    let model = bert::BertModel::load(tensors(&folder), &config(&folder)).unwrap();
    agrees("bert", Activation::Gelu, |ids| model.forward(ids, &ids.zeros_like()?, None));
}

#[test]
fn distilbert_is_candle_transformers_distilbert() {
    let folder = folder("distilbert");
    let model = distilbert::DistilBertModel::load(tensors(&folder), &config(&folder)).unwrap();
    // Theirs has GELU's approximation by tanh, and masks where this is not 0.
    agrees("distilbert", Activation::GeluTanh, |ids| {
        model.forward(ids, &ids.zeros_like()?.to_dtype(DType::U8)?)
    });
}
