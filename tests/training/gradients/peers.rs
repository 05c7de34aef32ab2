//! Every architecture against PyTorch, by tiny folders that transformers makes (tests/python/architectures.py).

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use mirror::model::Architecture;
use mirror::tokenize::Tokens;

use super::*;

/// The interpreter that MIRROR_PYTHON names; where it is not set, the test is skipped, or fails under CI.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("MIRROR_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON is not set; run scripts/test");
        let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON is not set; scripts/test sets it");
    }
    path
}

/// A folder of transformers' own, and what PyTorch computes with it.
struct Peer {
    folder: PathBuf,
    config: EncoderConfig,
    expected: HashMap<String, Tensor>,
}

impl Peer {
    fn open(folder: PathBuf) -> Self {
        let config = EncoderConfig::from_folder(&folder).unwrap();
        let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu);
        Peer { config, expected: expected.unwrap(), folder }
    }

    fn weights(&self, dtype: DType) -> Parameters {
        read_parameters(&self.folder, &Arc::new(self.config.layout()), dtype, &Device::Cpu).unwrap()
    }

    /// The embeddings and, of `sum(embeddings · direction)`, the gradient.
    fn pass(&self, pooling: Pooling, dtype: DType) -> (Tensor, Parameters) {
        let encoder = Encoder::new(self.config.clone(), pooling);
        let mut batch = PackedBatch::new();
        let [rows, types]: [Vec<Vec<i64>>; 2] =
            ["ids", "types"].map(|name| self.expected[name].to_vec2().unwrap());
        for (sentence, (row, types)) in rows.iter().zip(&types).enumerate() {
            let ids: Vec<u32> = row.iter().filter(|&&id| id >= 0).map(|&id| id as u32).collect();
            let types = types.iter().map(|&of_token| of_token as u32).collect();
            let id = SequenceId { view: 0, sentence: sentence as u32 };
            encoder.push_typed(&mut batch, &Tokens { ids, types, is_cut: false }, id, 198);
        }
        let weights = self.weights(dtype);
        let encoded = encoder.embed_tracked(&weights, &batch, None, &Pass::inference()).unwrap();
        let mut gradient = weights.zeros_like().unwrap();
        encoded.tape.backward(&weights, &self.expected["direction"], &mut gradient).unwrap();
        (encoded.embeddings, gradient)
    }

    fn embeddings_agree(&self, ours: &Tensor, pooling: &str, tolerance: f64) {
        let expected = values(&self.expected[pooling]);
        let largest = values(ours).iter().zip(&expected).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest < tolerance, "{}: {pooling} {largest:e}", self.folder.display());
    }

    /// Of each tensor, as a share of its largest value.
    fn gradient_agrees(&self, ours: &Parameters, tolerance: f64) {
        let mut compared = 0;
        for (group, spec) in ours.layout().tensors() {
            let told = format!("{}: {}", self.folder.display(), spec.name);
            let expected = values(&self.expected[&format!("gradient.{}", spec.name)]);
            let ours = values(&ours.view(group, spec).unwrap());
            let most = |values: &[f64]| values.iter().fold(0f64, |m, v| m.max(v.abs()));
            if is_key_bias(spec) {
                assert!(most(&ours) < 1e-4, "{told} {:e}", most(&ours));
            } else {
                let difference: Vec<f64> = ours.iter().zip(&expected).map(|(a, b)| a - b).collect();
                let error = most(&difference) / most(&expected);
                assert!(error < tolerance, "{told} {error:e}");
            }
            compared += 1;
        }
        // Nothing that PyTorch trains is left out.
        assert_eq!(compared, self.expected.keys().filter(|name| name.starts_with("gradient.")).count());
    }
}

#[test]
fn every_architecture_has_pytorchs_embeddings_and_gradients() {
    let Some(python) = python() else { return };
    let folders = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/architectures.py");
    let output =
        Command::new(python).arg(script).arg(folders.path()).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut seen = Vec::new();
    for folder in std::fs::read_dir(folders.path()).unwrap() {
        let peer = Peer::open(folder.unwrap().path());
        for (dtype, of_embeddings, of_gradients) in [(DType::F64, 1e-10, 1e-9), (DType::F32, 1e-5, 1e-4)] {
            let (embeddings, gradient) = peer.pass(Pooling::Mean, dtype);
            peer.embeddings_agree(&embeddings, "mean", of_embeddings);
            peer.gradient_agrees(&gradient, of_gradients);
            peer.embeddings_agree(&peer.pass(Pooling::Cls, dtype).0, "cls", of_embeddings);
        }
        seen.push(peer.config.architecture);
    }
    assert!(Architecture::ALL.iter().all(|known| seen.contains(known)), "{seen:?}");
}
