//! The fused encoder against the plain f64 one, over random shapes.

use super::buffers::Buffer;
use super::encoder::{Activations, embed, embed_tracked};
use super::narrow::{bf16, int8};
use super::products::{Backward, F32, Forward, Stored};
use super::reference;
use super::shape::EncoderShape;
use crate::backend::Readout;
use crate::backend::shape::ShapeError;
use crate::batch::{PackedBatch, Pass, SequenceId};
use crate::model::layout::{Dimensions, Layout};
use crate::model::{Activation, Architecture, Pooling, RelativeBias};
use crate::random::Key;
use proptest::prelude::*;

pub fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

const MEAN: Readout = Readout::Pooled(Pooling::Mean);
const CLS: Readout = Readout::Pooled(Pooling::Cls);
const FIRST_LAST: Readout = Readout::Pooled(Pooling::FirstLastAvg);
const READOUTS: [Readout; 4] = [MEAN, CLS, FIRST_LAST, Readout::Chosen];

/// A random encoder with a batch for it.
#[derive(Clone, Debug)]
pub struct Case {
    pub shape: EncoderShape,
    pub layout: Layout,
    pub weights: Vec<Vec<f32>>,
    pub batch: PackedBatch,
    pub noise: Option<Vec<f32>>,
    pub pass: Pass,
    pub readout: Readout,
    /// `[outputs, hidden]`
    pub embedding_gradients: Vec<f32>,
}

/// Few distances, so that a short sequence has all buckets.
const RELATIVE: RelativeBias = RelativeBias { buckets: 32, max_distance: 30 };

fn normals(key: Key, n: usize, scale: f64) -> Vec<f32> {
    (0..n).map(|i| (key.at(i as u64).normal(0) * scale) as f32).collect()
}

/// `lens`: rows and attended rows of each sequence.
pub fn case(
    mut shape: EncoderShape,
    seed: u64,
    lens: &[(usize, usize)],
    pass: Pass,
    readout: Readout,
) -> Case {
    (shape.vocab_size, shape.max_position_embeddings) = (23, 80);
    shape.relative_rows = if shape.relative.is_some() { 32 } else { 0 };
    let dimensions = Dimensions {
        vocab_size: shape.vocab_size,
        max_position_embeddings: shape.max_position_embeddings,
        type_vocab_size: shape.type_vocab_size,
        hidden_size: shape.hidden,
        intermediate_size: shape.intermediate,
        num_hidden_layers: shape.layers,
        relative_bias: [shape.relative_rows, shape.heads],
    };
    let layout = Layout::new(Architecture::Bert, &dimensions);
    let key = Key::new(seed);
    let group = |(g, group): (usize, &crate::model::layout::Group)| {
        let mut values = Vec::with_capacity(group.len);
        for (t, tensor) in group.tensors.iter().enumerate() {
            let norm_weight = tensor.is_norm_weight();
            let scale = if tensor.shape.len() == 2 { 0.7 / (tensor.shape[1] as f64).sqrt() } else { 0.2 };
            let drawn = normals(key.at(g as u64).at(t as u64), tensor.len(), scale);
            values.extend(drawn.iter().map(|x| if norm_weight { 1.0 + x } else { *x }));
        }
        values
    };
    let weights = layout.groups.iter().enumerate().map(group).collect();
    let mut batch = PackedBatch::new();
    for (i, &(rows, keys)) in lens.iter().enumerate() {
        let token = |t: usize| key.at(99).at(i as u64).at(t as u64).below(shape.vocab_size as u64) as u32;
        let tokens: Vec<u32> = (0..keys).map(token).collect();
        batch.push(&tokens, 1, SequenceId { view: i as u32 % 2, sentence: i as u32 / 2 });
        batch.pad_last(rows - keys, 0, |p| p as u32 + 1);
        // Sentences by themselves, and pairs.
        let second = |t: usize| u32::from(i % 3 == 2 && shape.type_vocab_size > 1 && t > keys / 2);
        batch.set_types_of_last(&(0..keys).map(second).collect::<Vec<u32>>());
    }
    let noise =
        (seed.is_multiple_of(2)).then(|| normals(key.at(98), batch.total_tokens() * shape.hidden, 0.1));
    if readout == Readout::Chosen {
        // Of some sequences none.
        let is_chosen = |&row: &usize| key.at(96).at(row as u64).below(4) == 0;
        batch.chosen = Some((0..batch.total_tokens()).filter(is_chosen).collect());
    }
    let embedding_gradients = normals(key.at(97), batch.total_outputs() * shape.hidden, 1.0);
    Case { shape, layout, weights, batch, noise, pass, readout, embedding_gradients }
}

impl Case {
    fn slices(&self) -> Vec<&[f32]> {
        self.weights.iter().map(|w| &w[..]).collect()
    }

    fn embed(&self) -> Vec<f32> {
        self.embed_by(&F32)
    }

    fn embed_by(&self, products: &impl Forward) -> Vec<f32> {
        let noise = self.noise.as_deref();
        embed(&self.shape, (&self.slices(), products), &self.batch, noise, &self.pass, self.readout)
    }

    fn tracked(&self) -> (Vec<f32>, Activations<Buffer>) {
        self.tracked_by(&F32)
    }

    fn tracked_by<A: Stored>(&self, products: &impl Forward) -> (Vec<f32>, Activations<A>) {
        let noise = self.noise.as_deref();
        embed_tracked(&self.shape, (&self.slices(), products), &self.batch, noise, &self.pass, self.readout)
    }

    fn gradients(&self, tape: &Activations<Buffer>) -> Vec<Vec<f32>> {
        self.gradients_by(&F32, tape)
    }

    fn gradients_by<A: Stored>(
        &self,
        products: &impl Backward<Stored = A>,
        tape: &Activations<A>,
    ) -> Vec<Vec<f32>> {
        let mut gradients: Vec<Vec<f32>> = self.weights.iter().map(|w| vec![0.0; w.len()]).collect();
        let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(|g| &mut g[..]).collect();
        tape.backward((&self.slices(), products), &self.embedding_gradients, &mut slices);
        gradients
    }

    fn reference(&self, weights: &reference::Weights, noise: Option<&[f64]>) -> Vec<f64> {
        reference::embed(&self.shape, weights, &self.batch, noise, &self.pass, self.readout)
    }

    /// Σ embeddings · embedding_gradients, in f64.
    fn loss(&self, weights: &reference::Weights, noise: Option<&[f64]>) -> f64 {
        let embeddings = self.reference(weights, noise);
        embeddings.iter().zip(&self.embedding_gradients).map(|(e, &g)| e * f64::from(g)).sum()
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

prop_compose! {
    fn cases()(
        heads in 1usize..4, d in 1usize..20, intermediate in 1usize..50, layers in 1usize..3,
        seed in any::<u64>(), lens in prop::collection::vec((1usize..40, 0usize..4), 1..5),
        hidden_dropout in prop::sample::select(vec![0.0, 0.1, 0.4]),
        attention_dropout in prop::sample::select(vec![0.0, 0.2]),
        drophead in prop::sample::select(vec![0.0, 0.4]),
        activation in prop::sample::select(vec![
            Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Silu]),
        readout in prop::sample::select(READOUTS.to_vec()),
        type_vocab_size in prop::sample::select(vec![0, 2]),
        relative in prop::sample::select(vec![None, Some(RELATIVE)]),
        left_out in prop_oneof![Just(vec![0; 4]), prop::collection::vec(0usize..12, 4)],
    ) -> Case {
        let shape = EncoderShape {
            // Of one or two channels, LayerNorm leaves only signs: no slope to compare.
            hidden: heads * (d + 3), heads, intermediate, layers, activation, layer_norm_eps: 1e-5,
            vocab_size: 0, max_position_embeddings: 0, type_vocab_size, relative, relative_rows: 0,
        };
        let lens: Vec<_> = lens.iter().map(|&(rows, pad)| (rows, rows.saturating_sub(pad).max(1))).collect();
        let pass = Pass { key: Key::new(seed).at(5), hidden_dropout, attention_dropout, drophead };
        let mut case = case(shape, seed, &lens, pass, readout);
        for (i, (&(rows, _), left_out)) in lens.iter().zip(left_out).enumerate() {
            case.batch.unpooled[i] = left_out.min(rows);
        }
        case
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn embeddings_and_gradients_are_those_of_the_plain_encoder(case in cases()) {
        let weights: reference::Weights = case.weights.iter().map(|w| wide(w)).collect();
        let noise = case.noise.as_deref().map(wide);
        let want = case.reference(&weights, noise.as_deref());
        let (got, tape) = case.tracked();
        prop_assert_eq!(&got, &case.embed(), "a tape changes no bits");
        for (got, want) in got.iter().zip(&want) {
            prop_assert!((f64::from(*got) - want).abs() < 2e-5 * want.abs().max(1.0), "{} {}", got, want);
        }

        // Along a random direction in each tensor, against a central difference of the f64 loss.
        let gradients = case.gradients(&tape);
        for (group, tensor) in case.layout.tensors() {
            let key = Key::new(11).at(group as u64).at(tensor.offset as u64);
            let direction: Vec<f64> = (0..tensor.len()).map(|i| key.at(i as u64).normal(0)).collect();
            let shifted = |h: f64| {
                let mut w = weights.clone();
                for (w, d) in w[group][tensor.range()].iter_mut().zip(&direction) {
                    *w += h * d;
                }
                case.loss(&w, noise.as_deref())
            };
            let want = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let terms: Vec<f64> = gradients[group][tensor.range()].iter().zip(&direction)
                .map(|(&g, d)| f64::from(g) * d).collect();
            let got: f64 = terms.iter().sum();
            let size = terms.iter().map(|t| t * t).sum::<f64>().sqrt();
            prop_assert!((got - want).abs() < 1e-4 * size + 2e-5, "{}: {} {}", tensor.name, got, want);
        }
        let noise = noise.unwrap_or_else(|| vec![0.0; case.batch.total_tokens() * case.shape.hidden]);
        let direction: Vec<f64> = (0..noise.len()).map(|i| Key::new(12).at(i as u64).normal(0)).collect();
        let shifted = |h: f64| {
            let noise: Vec<f64> = noise.iter().zip(&direction).map(|(n, d)| n + h * d).collect();
            case.loss(&weights, Some(&noise))
        };
        let want = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        let slope = tape.noise_gradient((&case.slices(), &F32), &case.embedding_gradients);
        let got: f64 = slope.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
        prop_assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "noise: {} {}", got, want);
    }
}

/// A batch of several chunks and groups of chunks, with one sequence longer than a chunk's usual size.
fn large_case(readout: Readout) -> Case {
    let shape = EncoderShape {
        hidden: 48,
        heads: 3,
        intermediate: 100,
        layers: 2,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-12,
        vocab_size: 0,
        max_position_embeddings: 0,
        type_vocab_size: 2,
        relative: Some(RELATIVE),
        relative_rows: 0,
    };
    let lens: Vec<_> = (0..120).map(|i| (1 + i * 7 % 61, 1 + i * 7 % 61)).collect();
    let pass = Pass { key: Key::new(8), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.1 };
    case(shape, 4, &lens, pass, readout)
}

#[test]
fn any_number_of_threads_computes_the_same_bits() {
    for readout in [MEAN, CLS, Readout::Chosen] {
        let case = large_case(readout);
        let run = || {
            let (embeddings, tape) = case.tracked();
            let noise = tape.noise_gradient((&case.slices(), &F32), &case.embedding_gradients);
            (case.embed(), embeddings, case.gradients(&tape), noise)
        };
        let one = on_threads(1, run);
        assert_eq!(one.0, one.1);
        for threads in [2, 5, 16] {
            assert!(one == on_threads(threads, run), "{threads} threads");
        }
    }
}

/// All that bf16 computes of a case, and what int8 encodes.
#[derive(PartialEq)]
struct Narrow {
    untracked: Vec<f32>,
    embeddings: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    noise: Vec<f32>,
    int8: Vec<f32>,
}

fn narrow(case: &Case) -> Narrow {
    let (shape, slices) = (&case.shape, case.slices());
    let forward = bf16::ForwardWeights::new(shape, &slices);
    let backward = bf16::BackwardWeights::new(shape, &slices);
    let (embeddings, tape) = case.tracked_by(&forward);
    let noise = tape.noise_gradient((&slices, &backward), &case.embedding_gradients);
    let gradients = case.gradients_by(&backward, &tape);
    let int8 = case.embed_by(&int8::Weights::new(shape, &slices));
    Narrow { untracked: case.embed_by(&forward), embeddings, gradients, noise, int8 }
}

#[test]
fn any_number_of_threads_computes_the_same_bits_in_fewer_bits() {
    for readout in [MEAN, CLS, Readout::Chosen] {
        let case = large_case(readout);
        let one = on_threads(1, || narrow(&case));
        assert_eq!(one.untracked, one.embeddings, "a tape changes no bits");
        for threads in [2, 5, 16] {
            assert!(one == on_threads(threads, || narrow(&case)), "{threads} threads");
        }
    }
}

/// Fewer chunks than threads: products are shared.
#[test]
fn few_sequences_have_the_same_bits_on_more_threads_than_chunks() {
    let shape = EncoderShape {
        hidden: 96,
        heads: 3,
        intermediate: 384,
        layers: 2,
        activation: Activation::Gelu,
        layer_norm_eps: 1e-12,
        vocab_size: 0,
        max_position_embeddings: 0,
        type_vocab_size: 2,
        relative: Some(RELATIVE),
        relative_rows: 0,
    };
    let pass = Pass { key: Key::new(8), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.1 };
    for lens in [&[(61, 61)][..], &[(79, 70), (60, 60), (79, 79)]] {
        let case = case(shape, 4, lens, pass, MEAN);
        let run = || {
            let (embeddings, tape) = case.tracked();
            let noise = tape.noise_gradient((&case.slices(), &F32), &case.embedding_gradients);
            (case.embed(), embeddings, case.gradients(&tape), noise)
        };
        let (one, one_narrow) = (on_threads(1, run), on_threads(1, || narrow(&case)));
        for threads in [2, 3, 16] {
            assert!(one == on_threads(threads, run), "{threads} threads");
            assert!(one_narrow == on_threads(threads, || narrow(&case)), "{threads} threads");
        }
    }
}

#[test]
fn a_sequence_s_embedding_does_not_depend_on_its_batch() {
    let case = large_case(MEAN);
    let all = case.embed();
    for i in [0, 17, 119] {
        let (batch, rows) = (&case.batch, case.batch.rows(i));
        let alone = PackedBatch {
            token_ids: batch.token_ids[rows.clone()].to_vec(),
            position_ids: batch.position_ids[rows.clone()].to_vec(),
            token_types: batch.token_types[rows.clone()].to_vec(),
            cu_seqlens: vec![0, rows.len()],
            key_lens: vec![batch.key_lens[i]],
            unpooled: vec![batch.unpooled[i]],
            chosen: None,
            ids: vec![batch.ids[i]],
        };
        let h = case.shape.hidden;
        let noise = case.noise.as_ref().map(|n| &n[rows.start * h..rows.end * h]);
        let one = embed(&case.shape, (&case.slices(), &F32), &alone, noise, &case.pass, case.readout);
        assert_eq!(one, &all[i * h..(i + 1) * h], "sequence {i}");
    }
}

#[test]
fn a_tape_serves_many_backwards_and_their_gradients_add() {
    let mut case = large_case(FIRST_LAST);
    let (_, tape) = case.tracked();
    let whole = case.gradients(&tape);
    let all = case.embedding_gradients.clone();
    let mut sum: Vec<Vec<f32>> = case.weights.iter().map(|w| vec![0.0; w.len()]).collect();
    let half = all.len() / 2;
    for part in [0..half, half..all.len()] {
        case.embedding_gradients = vec![0.0; all.len()];
        case.embedding_gradients[part.clone()].copy_from_slice(&all[part]);
        let mut slices: Vec<&mut [f32]> = sum.iter_mut().map(|g| &mut g[..]).collect();
        tape.backward((&case.slices(), &F32), &case.embedding_gradients, &mut slices);
    }
    for (whole, sum) in whole.iter().flatten().zip(sum.iter().flatten()) {
        assert!((whole - sum).abs() < 1e-4 * whole.abs().max(1.0), "{whole} {sum}");
    }
}

/// Cosine of two gradients, all their values together.
fn cosine(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let (a, b) = (a.concat(), b.concat());
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

#[test]
fn fewer_bits_are_near() {
    for readout in READOUTS {
        let case = large_case(readout);
        let (exact, tape) = case.tracked();
        let Narrow { embeddings: bf16, gradients, int8, .. } = narrow(&case);
        let exact = [exact];
        assert!(cosine(&exact, &[bf16]) > 0.9999);
        assert!(cosine(&exact, &[int8]) > 0.999);
        let cosine = cosine(&case.gradients(&tape), &gradients);
        assert!(cosine > 0.999, "{cosine}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let mut case = large_case(MEAN);
    assert_eq!(case.shape.check(&case.slices(), &case.batch), Ok(()));
    case.batch.token_ids[3] = 23;
    let error = case.shape.check(&case.slices(), &case.batch).unwrap_err();
    assert_eq!(error, ShapeError::Token { id: 23, vocab_size: 23 });
    case.batch.token_ids[3] = 0;
    case.weights[1].pop();
    assert!(matches!(
        case.shape.check(&case.slices(), &case.batch),
        Err(ShapeError::Weights { group: 1, .. })
    ));
}
