//! Graphs of random encoders, run by ONNX Runtime beside the reference backend.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use ndarray::Array2;
use proptest::prelude::*;

use super::{LARGEST_FILE, OPSETS, Precision, Source, write_graph};
use crate::backend::Reference;
use crate::encoder::{Encoder, EncoderConfig, PackedBatch, Parameters, Pass, Pooling, SequenceId};
use crate::modules::DenseActivation;
use crate::onnx::session::Padded;
use crate::onnx::{Graph, Runtime};
use crate::random::Key;

/// ONNX Runtime; where there is none, says that the test is skipped, or fails under CI.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let load = || match Runtime::load(None) {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    };
    RUNTIME.get_or_init(load).as_ref()
}

/// A random encoder of some architecture, and a batch for it.
#[derive(Debug)]
struct Case {
    encoder: Encoder,
    max_length: usize,
    normalize: bool,
    seed: u64,
    sentences: Vec<Vec<u32>>,
    opset: u32,
}

/// Architectures, each with an id of its padding token.
const KINDS: [(&str, u32); 7] = [
    ("bert", 0),
    ("bert", 3),
    ("roberta", 1),
    ("xlm-roberta", 5),
    ("mpnet", 1),
    ("mpnet", 4),
    ("distilbert", 0),
];

const VOCABULARY: u32 = 23;
const LONGEST: usize = 9;

fn case() -> impl Strategy<Value = Case> {
    let shape = (1usize..4, 1usize..4, 4usize..9, 1usize..12, 1usize..3);
    let kind = (
        prop::sample::select(KINDS.to_vec()),
        prop::sample::select(vec!["gelu", "gelu_new", "quick_gelu", "relu", "silu"]),
        prop::sample::select(vec![1e-12, 1e-5]),
        prop::sample::select(Pooling::ALL.to_vec()),
    );
    let sentence = prop::collection::vec(0..VOCABULARY, 1..=LONGEST);
    let batch = prop::collection::vec(sentence, 1..5);
    let activation = prop::sample::select(DenseActivation::ALL.to_vec());
    let modules = prop::option::of((activation, 0usize..3, any::<bool>()));
    (shape, kind, batch, any::<u64>(), any::<bool>(), OPSETS, modules).prop_map(
        |(
            (layers, heads, head_size, intermediate, types),
            kind,
            sentences,
            seed,
            normalize,
            opset,
            modules,
        )| {
            let ((model_type, pad), activation, epsilon, pooling) = kind;
            let config = serde_json::json!({
                "model_type": model_type, "vocab_size": VOCABULARY, "hidden_size": heads * head_size,
                "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": intermediate,
                "hidden_act": activation, "activation": activation, "max_position_embeddings": LONGEST as u32 + pad + 3,
                "type_vocab_size": types, "layer_norm_eps": epsilon, "pad_token_id": pad,
                // As DistilBERT calls them.
                "dim": heads * head_size, "n_layers": layers, "n_heads": heads, "hidden_dim": intermediate,
            });
            let config = EncoderConfig::from_json(&config.to_string(), Path::new("config.json")).unwrap();
            let mut encoder = Encoder::new(config, pooling).on(Arc::new(Reference));
            if let Some((activation, order, residual)) = modules {
                let key = Key::new(seed).at(1 << 20);
                encoder.modules =
                    crate::modules::tests::modules(key, heads * head_size, activation, order, residual)
                        .into();
            }
            Case { encoder, max_length: LONGEST + 2, normalize, seed, sentences, opset }
        },
    )
}

impl Case {
    fn parameters(&self, scale: f64) -> Parameters {
        let layout = self.encoder.layout();
        let mut number = 0;
        Parameters::from_named(layout, candle_core::DType::F32, &Device::Cpu, |spec| {
            number += 1;
            let key = Key::new(self.seed).at(number);
            let one = if spec.is_norm_weight() { 1.0 } else { 0.0 };
            let values: Vec<f32> =
                (0..spec.len() as u32).map(|i| (key.normal(i) * scale + one) as f32).collect();
            Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)
        })
        .unwrap()
    }

    /// What the reference backend makes of the batch, `[batch, hidden]`.
    fn expected(&self, parameters: &Parameters) -> Array2<f32> {
        let mut batch = PackedBatch::new();
        for (i, tokens) in self.sentences.iter().enumerate() {
            let id = SequenceId { view: 0, sentence: i as u32 };
            self.encoder.push(&mut batch, tokens, id, self.max_length);
        }
        let embeddings = self.encoder.embed(parameters, &batch, None, &Pass::inference()).unwrap();
        let embeddings = self.encoder.modules.apply(embeddings).unwrap();
        let values = embeddings.flatten_all().unwrap().to_vec1().unwrap();
        let rows = Array2::from_shape_vec(embeddings.dims2().unwrap(), values).unwrap();
        if self.normalize { normalized(rows) } else { rows }
    }

    /// What the graph makes of it, with more padding than it needs.
    fn found(&self, parameters: &Parameters, precision: Precision, largest: usize) -> Option<Array2<f32>> {
        let runtime = runtime()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let (max_length, normalize) = (self.max_length, self.normalize);
        let source = Source { encoder: &self.encoder, parameters, max_length, normalize };
        let files = write_graph(source, precision, self.opset, &path, largest).unwrap();
        assert_eq!(files.len(), if largest == 0 { 2 } else { 1 });
        let graph = Graph::load(runtime, &path, 1).unwrap();
        let width = LONGEST + 1;
        let pad = i64::from(self.encoder.config.pad_token_id);
        let mut input_ids = Array2::from_elem((self.sentences.len(), width), pad);
        let mut attention_mask = Array2::zeros(input_ids.dim());
        for (row, tokens) in self.sentences.iter().enumerate() {
            for (column, &token) in tokens.iter().enumerate() {
                input_ids[[row, column]] = i64::from(token);
                attention_mask[[row, column]] = 1;
            }
        }
        Some(
            graph
                .embed(&Padded {
                    token_type_ids: ndarray::Array2::zeros(input_ids.dim()),
                    input_ids,
                    attention_mask,
                })
                .unwrap(),
        )
    }
}

fn normalized(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.rows_mut() {
        let norm = row.dot(&row).sqrt().max(1e-12);
        row.mapv_inplace(|value| value / norm);
    }
    rows
}

fn largest_difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the architecture, the operator set and the padding, a graph is the encoder; with its
    /// weights in a file of their own too.
    #[test]
    fn a_graph_computes_what_the_encoder_computes(case in case(), apart in any::<bool>()) {
        let parameters = case.parameters(0.3);
        let largest = if apart { 0 } else { LARGEST_FILE };
        if let Some(found) = case.found(&parameters, Precision::F32, largest) {
            let difference = largest_difference(&found, &case.expected(&parameters));
            prop_assert!(difference < 1e-4, "{difference}");
        }
    }

    #[test]
    fn in_f16_it_does_so_nearly(case in case()) {
        let parameters = case.parameters(0.1);
        if let Some(found) = case.found(&parameters, Precision::F16, LARGEST_FILE) {
            let difference =
                largest_difference(&normalized(found), &normalized(case.expected(&parameters)));
            prop_assert!(difference < 2e-2, "{difference}");
        }
    }
}
