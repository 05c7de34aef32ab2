//! What every backend owes, held against the reference on the same f32 tensors. A new backend joins [`backends`] or both lists.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use super::{
    AdamWConfig, Arithmetic, Backend, Cpu, CpuBf16, Encoded, Input, Precision, Readout, Reference, Update,
    prepared,
};
use crate::batch::{PackedBatch, Pass, SequenceId};
use crate::model::layout::{Dimensions, Layout};
use crate::model::{Activation, Architecture, EncoderConfig, Pooling};
use crate::random::Key;
use crate::weights::Parameters;

/// A backend, how far its passes may be from the reference's as a share of a tensor's largest value, and where it
/// computes.
type OnDevice<B> = (B, f64, Device);

/// Those that make passes.
fn backends() -> Vec<OnDevice<&'static dyn Backend>> {
    let on_cpu: [OnDevice<&'static dyn Backend>; 3] =
        [(&Cpu, 2e-5, Device::Cpu), (&CpuBf16, 4e-2, Device::Cpu), (&Reference, 2e-5, Device::Cpu)];
    on_cpu.into_iter().chain(on_gpu::backends()).collect()
}

/// Those that compute on flat buffers.
fn arithmetic() -> Vec<(&'static dyn Arithmetic, Device)> {
    let on_cpu: [(&'static dyn Arithmetic, Device); 2] = [(&Cpu, Device::Cpu), (&Reference, Device::Cpu)];
    on_cpu.into_iter().chain(on_gpu::arithmetic()).collect()
}

/// Those on the device that scripts/test-cuda tests on.
#[cfg(feature = "cuda")]
mod on_gpu {
    use super::*;
    use crate::backend::{Cuda, CudaBf16};

    fn gpu() -> Option<Device> {
        let asked = std::env::var_os("MIRROR_TEST_DEVICE").is_some_and(|device| device == "cuda");
        asked.then(|| Device::new_cuda(0).unwrap())
    }

    pub fn backends() -> Vec<OnDevice<&'static dyn Backend>> {
        let Some(gpu) = gpu() else { return Vec::new() };
        vec![(&Cuda, 2e-5, gpu.clone()), (&CudaBf16, 4e-2, gpu)]
    }

    pub fn arithmetic() -> Vec<(&'static dyn Arithmetic, Device)> {
        gpu().map(|gpu| (&Cuda as &dyn Arithmetic, gpu)).into_iter().collect()
    }
}

#[cfg(not(feature = "cuda"))]
mod on_gpu {
    use super::*;

    pub fn backends() -> [OnDevice<&'static dyn Backend>; 0] {
        []
    }

    pub fn arithmetic() -> [(&'static dyn Arithmetic, Device); 0] {
        []
    }
}

/// With token types, without, and with a relative bias.
const ARCHITECTURES: [Architecture; 3] = [Architecture::Bert, Architecture::DistilBert, Architecture::Mpnet];

/// More than one block of 65536 values.
const LEN: usize = 70_001;

fn normals(seed: u64) -> Tensor {
    let like = Tensor::zeros(LEN, DType::F32, &Device::Cpu).unwrap();
    Reference.normals(Key::new(seed), &like).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(backend: &dyn Backend, what: &str, ours: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((ours.dims(), ours.dtype()), (expected.dims(), expected.dtype()), "{backend:?} {what}");
    let expected = values(expected);
    let largest = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (i, (x, y)) in values(ours).iter().zip(&expected).enumerate() {
        assert!((x - y).abs() <= tolerance * largest, "{backend:?} {what} {i}: {x} {y}");
    }
}

/// A buffer of its own: what is written to must not be what others read.
fn own(tensor: &Tensor) -> Tensor {
    tensor.copy().unwrap()
}

#[test]
fn flat_arithmetic_is_the_references() {
    let (a, b) = (normals(1), normals(2));
    for (backend, device) in arithmetic() {
        let [a, b] = [&a, &b].map(|x| x.to_device(&device).unwrap());
        let close = |what, ours: &Tensor, expected| assert_close(backend, what, ours, &expected, 1e-6);
        let squares = backend.sum_of_squares(&[a.clone(), b.clone()]).unwrap();
        assert!(
            (squares - Reference.sum_of_squares(&[a.clone(), b.clone()]).unwrap()).abs() < 1e-9 * squares,
            "{backend:?}"
        );
        close("plus", &backend.plus(&a, 0.3, &b).unwrap(), Reference.plus(&a, 0.3, &b).unwrap());
        close("normals", &backend.normals(Key::new(5), &a).unwrap(), normals(5));
        let mut sum = own(&a);
        backend.add(&mut sum, 0.3, &b).unwrap();
        // Not only close: as plus rounds it.
        assert_eq!(values(&sum), values(&backend.plus(&a, 0.3, &b).unwrap()), "{backend:?}");
        let mut perturbed = own(&b);
        backend.perturb(&mut perturbed, 0.3, &a).unwrap();
        close("perturb", &perturbed, Reference.plus(&a, 0.3, &b).unwrap());
        assert_eq!(values(&b), values(&normals(2)), "{backend:?} wrote to what it reads");
    }
}

#[test]
fn updates_are_the_references() {
    let config = AdamWConfig { learning_rate: 1e-2, ..AdamWConfig::default() };
    let updated = |backend: &dyn Arithmetic, device: &Device| {
        let normals = |seed| own(&normals(seed)).to_device(device).unwrap();
        let mut tensors = [normals(1), normals(2).zeros_like().unwrap(), normals(2).zeros_like().unwrap()];
        for step in 1..=3 {
            let [weights, m, v] = &mut tensors;
            let gradient = &normals(10 + step);
            backend.adamw(&config, step, Update { weights, gradient, m, v }).unwrap();
        }
        tensors
    };
    let expected = updated(&Reference, &Device::Cpu);
    for (backend, device) in arithmetic() {
        for (what, (ours, expected)) in
            ["weights", "m", "v"].iter().zip(updated(backend, &device).iter().zip(&expected))
        {
            assert_close(backend, what, ours, expected, 2e-6);
        }
    }
}

/// A tiny encoder whose weights have a group behind the encoder's own.
struct Case {
    config: EncoderConfig,
    weights: Parameters,
    batch: PackedBatch,
    pass: Pass,
}

impl Case {
    fn new(architecture: Architecture) -> Self {
        let dimensions = Dimensions {
            vocab_size: 30,
            max_position_embeddings: 12,
            type_vocab_size: if architecture == Architecture::Bert { 2 } else { 0 },
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers: 2,
            relative_bias: if architecture == Architecture::Mpnet { [32, 2] } else { [0, 2] },
        };
        let config = EncoderConfig {
            architecture,
            dimensions,
            num_attention_heads: 2,
            activation: Activation::Gelu,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
        };
        // The layout of a deeper encoder: its last group is not this one's.
        let layout = Layout::new(architecture, &Dimensions { num_hidden_layers: 3, ..dimensions });
        let zeros = Parameters::zeros(Arc::new(layout), DType::F32, &Device::Cpu).unwrap();
        let weights = zeros.normals(Key::new(1)).unwrap().scaled(0.3).unwrap();
        let mut batch = PackedBatch::new();
        for (i, length) in [3u32, 9, 5].into_iter().enumerate() {
            let tokens: Vec<u32> = (0..length).map(|t| (7 * t + 11 * i as u32) % 30).collect();
            batch.push(&tokens, 0, SequenceId { view: 0, sentence: i as u32 });
            if dimensions.type_vocab_size > 1 {
                let types: Vec<u32> = (0..length).map(|token| u32::from(token > 3)).collect();
                batch.set_types_of_last(&types);
            }
        }
        let pass = Pass { hidden_dropout: 0.1, attention_dropout: 0.2, drophead: 0.3, ..Pass::inference() };
        Case { config, weights, batch, pass }
    }

    /// The same with weights on a device.
    fn on(&self, device: &Device) -> Case {
        let flats = self.weights.flats().iter().map(|flat| flat.to_device(device).unwrap()).collect();
        let weights = Parameters::from_flats(self.weights.layout().clone(), flats).unwrap();
        Case { config: self.config.clone(), weights, batch: self.batch.clone(), pass: self.pass }
    }

    fn input<'a>(&'a self, noise: Option<&'a Tensor>) -> Input<'a> {
        let (config, batch, pass) = (&self.config, &self.batch, &self.pass);
        Input { config, readout: Readout::of(Pooling::FirstLastAvg, batch), batch, noise, pass }
    }

    /// The gradient of Σ embeddings², `times` times over into the same buffers.
    fn gradient(&self, encoded: &Encoded, times: usize) -> Result<Parameters> {
        let mut gradient = self.weights.zeros_like()?;
        for _ in 0..times {
            encoded.tape.backward(&self.weights, &(&encoded.embeddings * 2.0)?, &mut gradient)?;
        }
        Ok(gradient)
    }
}

#[test]
fn passes_are_the_references_and_gradients_add() {
    for architecture in ARCHITECTURES {
        passes_are_the_references(Case::new(architecture));
        // Of the first sequence none, of the others a few rows.
        let mut case = Case::new(architecture);
        case.batch.chosen = Some(vec![4, 5, 9, 16]);
        passes_are_the_references(case);
    }
}

fn passes_are_the_references(case: Case) {
    let noise = Tensor::zeros((17, 8), DType::F64, &Device::Cpu).unwrap();
    let noise = Reference.normals(Key::new(9), &noise).unwrap().affine(0.1, 0.0).unwrap();
    let input = case.input(Some(&noise));
    let expected = Reference.embed_tracked(&case.weights, &input).unwrap();
    let expected_gradient = case.gradient(&expected, 1).unwrap();
    for (backend, tolerance, device) in backends() {
        let case = case.on(&device);
        let input = case.input(Some(&noise));
        let close = |what: &str, ours: &Tensor, expected: &Tensor| {
            assert_close(backend, what, ours, expected, tolerance);
        };
        let encoded = backend.embed_tracked(&case.weights, &input).unwrap();
        let untracked = backend.embed(&case.weights, &input).unwrap();
        assert_eq!(values(&encoded.embeddings), values(&untracked), "{backend:?}");
        close("embeddings", &encoded.embeddings, &expected.embeddings);

        let grad = (&encoded.embeddings * 2.0).unwrap();
        let ours = encoded.tape.noise_gradient(&case.weights, &grad).unwrap();
        assert_eq!(ours.dtype(), DType::F64, "{backend:?}: in the noise's form");
        close("noise", &ours, &expected.tape.noise_gradient(&case.weights, &grad).unwrap());

        let (once, twice) = (case.gradient(&encoded, 1).unwrap(), case.gradient(&encoded, 2).unwrap());
        for (group, flat) in once.flats().iter().enumerate() {
            close("gradient", flat, &expected_gradient.flats()[group]);
            close("gradients", &twice.flats()[group], &(flat * 2.0).unwrap());
        }
        assert_eq!(
            values(&once.flats()[3]).iter().fold(0f64, |m, x| m.max(x.abs())),
            0.0,
            "not the encoder's"
        );
    }
}

#[test]
fn a_gradient_of_another_form_is_an_error() {
    let case = Case::new(Architecture::Bert);
    for (backend, _, device) in backends() {
        let case = case.on(&device);
        let encoded = backend.embed_tracked(&case.weights, &case.input(None)).unwrap();
        let layout = Arc::new(case.config.layout());
        let mut shorter = Parameters::zeros(layout, DType::F32, &device).unwrap();
        assert!(
            encoded.tape.backward(&case.weights, &encoded.embeddings, &mut shorter).is_err(),
            "{backend:?}"
        );
    }
}

#[test]
fn prepared_weights_encode_as_the_reference_does_and_are_the_only_ones() {
    for architecture in ARCHITECTURES {
        let case = Case::new(architecture);
        let input = case.input(None);
        let expected = Reference.embed(&case.weights, &input).unwrap();
        for (precision, tolerance) in [(Precision::Bf16, 4e-2), (Precision::Int8, 8e-2)] {
            let backend = prepared(precision, &case.config, &case.weights).unwrap().unwrap();
            let ours = backend.embed(&case.weights.clone(), &input).unwrap();
            assert_close(&*backend, "embeddings", &ours, &expected, tolerance);
            assert_ne!(values(&ours), values(&Cpu.embed(&case.weights, &input).unwrap()), "{backend:?}");
            assert!(backend.embed(&case.weights.copy().unwrap(), &input).is_err(), "{backend:?}");
            assert!(backend.embed_tracked(&case.weights, &input).is_err(), "{backend:?}");
        }
        assert!(prepared(Precision::F32, &case.config, &case.weights).unwrap().is_none());
        // What one pass rounds is what is rounded once.
        let bf16 = prepared(Precision::Bf16, &case.config, &case.weights).unwrap().unwrap();
        let (once, each) = (bf16.embed(&case.weights, &input), CpuBf16.embed(&case.weights, &input));
        assert_eq!(values(&once.unwrap()), values(&each.unwrap()));
    }
}
