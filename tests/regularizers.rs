//! Every regularizer on a tiny encoder with random weights: exact equalities, gradients by finite differences,
//! what is reported, and what bad input does.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use mirror::encoder::{
    Encoder, EncoderConfig, Layout, PackedBatch, Parameters, Pass, Path, Pooling, SequenceId,
};
use mirror::objective::registry::BuildContext;
use mirror::objective::{HashedDraws, Objective, Step};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::random::Key;
use mirror::regularization::Options;
use mirror::trainer::{Hyperparameters, StepError, StepReport, TrainOptions, Trainer};
use proptest::prelude::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: TrainOptions,
}

fn train_options(flags: &[&str]) -> TrainOptions {
    Flags::parse_from([&["train"], flags].concat()).options
}

fn regularization(flags: &[&str]) -> Options {
    let mut options = train_options(flags).regularization;
    options.resolve(&BuildContext { architecture: mirror::encoder::Architecture::Bert }).unwrap();
    options
}

const VOCABULARY: u64 = 50;

fn encoder(path: Path) -> Encoder {
    let config = serde_json::json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 32, "hidden_act": "gelu",
        "max_position_embeddings": 12, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0
    });
    let config = EncoderConfig::from_json(&config.to_string(), "config.json".as_ref()).unwrap();
    Encoder { path, ..Encoder::new(config, Pooling::Mean) }
}

fn random_weights(layout: Arc<Layout>, dtype: DType, key: Key) -> Parameters {
    Parameters::from_named(layout, dtype, &Device::Cpu, |spec| {
        let key = Key::new(spec.offset as u64).at(key.bits64()).at(spec.name.len() as u64);
        let centre = if spec.name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let values: Vec<f64> = (0..spec.len() as u32).map(|c| centre + 0.2 * key.normal(c)).collect();
        Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)
    })
    .unwrap()
}

/// N sentences of 3 to 8 tokens, the second view with one token replaced.
fn batch(n: u64, key: Key) -> PackedBatch {
    let mut packed = PackedBatch::new();
    for view in 0..2 {
        for sentence in 0..n {
            let key = key.at(sentence);
            let mut tokens: Vec<u32> =
                (0..3 + key.below(6)).map(|t| key.at(t + 1).below(VOCABULARY) as u32).collect();
            if view == 1 {
                tokens[1] = 4;
            }
            packed.push(&tokens, 0, SequenceId { view, sentence: sentence as u32 });
        }
    }
    packed
}

fn trainer(flags: &[&str], learning_rate: f64, dropout: f64) -> Trainer {
    let encoder = encoder(Path::Fused);
    let weights = random_weights(encoder.layout(), DType::F32, Key::new(1));
    let config = AdamWConfig { learning_rate, ..AdamWConfig::default() };
    Trainer {
        optimizer: AdamW::new(config, &weights).unwrap(),
        encoder,
        weights,
        regularization: regularization(flags).build().unwrap(),
        hyperparameters: Hyperparameters {
            seed: 42,
            temperature: 0.1,
            dropout,
            drophead: 0.0,
            clip_norm: None,
        },
    }
}

fn bits(weights: &Parameters) -> Vec<u32> {
    let values = |flat: &Tensor| flat.to_vec1::<f32>().unwrap();
    weights.flats().iter().flat_map(values).map(f32::to_bits).collect()
}

/// The bits of the weights after three steps.
fn trained(flags: &[&str]) -> Vec<u32> {
    let mut trainer = trainer(flags, 1e-3, 0.1);
    for step in 0..3 {
        trainer.step(&batch(5, Key::new(step))).unwrap();
    }
    bits(&trainer.weights)
}

fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

const COMPOSITIONS: [&str; 12] = [
    "none",
    "sam",
    "asam",
    "delta-sam",
    "sam-instance",
    "r3f",
    "r-drop",
    "freelb",
    "smart",
    "delta-sam,r3f",
    "asam,r-drop,smart",
    "delta-sam,r3f,r-drop,freelb,smart",
];

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for reg in COMPOSITIONS {
        let flags = ["--reg", reg];
        assert_eq!(on_threads(1, || trained(&flags)), on_threads(2, || trained(&flags)), "{reg}");
    }
}

#[test]
fn each_composition_trains_otherwise_than_the_others() {
    let weights: Vec<Vec<u32>> = COMPOSITIONS.iter().map(|reg| trained(&["--reg", reg])).collect();
    for (i, a) in weights.iter().enumerate() {
        assert!(weights[..i].iter().all(|b| a != b), "{}", COMPOSITIONS[i]);
    }
}

#[test]
fn what_is_equal_is_equal_bit_for_bit() {
    for [a, b] in [
        ["--reg=delta-sam,r3f", "--reg=r3f,delta-sam"],
        ["--reg=smart,r-drop,sam", "--reg=sam,r-drop,smart"],
        ["--reg=delta-sam --beta=0", "--reg=sam"],
        ["--reg=delta-sam,r3f --beta=0", "--reg=sam,r3f"],
        ["--reg=sam --rho=0", "--reg=none"],
        ["--reg=asam --rho=0", "--reg=none"],
        ["--reg=delta-sam --rho=0", "--reg=none"],
        ["--reg=sam --perturb-every=4", "--reg=none"],
    ] {
        let flags = |list: &'static str| trained(&list.split(' ').collect::<Vec<_>>());
        assert_eq!(flags(a), flags(b), "{a} and {b}");
    }
}

/// What metrics.jsonl carries of a step, and docs/metrics.md explains.
#[test]
fn a_step_reports_what_its_regularizers_found() {
    const GUARDEDNESS: [&str; 7] =
        ["a_mean", "a_s", "r", "effective_instances", "g_min", "g_max", "g_negative_share"];
    for (reg, readings) in [
        ("none", &[][..]),
        ("sam", &[]),
        ("asam", &[]),
        ("delta-sam", &GUARDEDNESS),
        ("sam-instance", &["instance_sharpness"]),
        ("r3f", &["r3f"]),
        ("sam,r-drop,freelb,smart", &["r-drop", "freelb", "smart"]),
        ("delta-sam,r3f", &[&GUARDEDNESS[..], &["r3f"]].concat()),
    ] {
        let report = trainer(&["--reg", reg], 1e-3, 0.1).step(&batch(5, Key::new(9))).unwrap();
        let line = serde_json::to_value(&report).unwrap();
        let always = ["step", "loss", "descent_loss", "gradient_norm", "tokens"];
        let mut found: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = [&always[..], readings].concat();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{reg}");
        assert!(line.as_object().unwrap().values().all(serde_json::Value::is_number), "{reg}: {line}");
        assert!(report.gradient_norm > 0.0, "{reg}");
        let documentation = include_str!("../docs/metrics.md");
        for name in found {
            assert!(documentation.contains(&format!("`{name}`")), "docs/metrics.md has no {name}");
        }
    }
}

/// Eight times the same sentence, without dropout: all embeddings are one, all losses log(2N − 1), and no
/// direction changes any of them.
#[test]
fn a_batch_of_equal_losses_gives_finite_steps() {
    for reg in COMPOSITIONS {
        let mut trainer = trainer(&["--reg", reg], 1e-3, 0.0);
        let mut packed = PackedBatch::new();
        for view in 0..2 {
            (0..8).for_each(|sentence| packed.push(&[2, 7, 9, 3], 0, SequenceId { view, sentence }));
        }
        let report: StepReport = trainer.step(&packed).unwrap();
        // What the loss terms add is small here, but the noise of each sentence is its own.
        if !reg.contains("r3f") && !reg.contains("freelb") && !reg.contains("smart") {
            assert!((report.loss - 15f64.ln()).abs() < 1e-5, "{reg}: {}", report.loss);
        }
        trainer.step(&packed).unwrap();
        assert!(trainer.weights.norm().unwrap().is_finite(), "{reg}");
    }
}

/// Stops with the step and the term named; weights and moments are those of the step before.
#[test]
fn a_loss_that_is_not_a_number_stops_and_changes_nothing() {
    for (flags, what) in [
        (&["--reg=r3f", "--r3f-eps=1e30"][..], "the loss term r3f"),
        (&["--reg=delta-sam,r3f", "--r3f-eps=1e30"], "the loss term r3f"),
        (&["--reg=sam", "--rho=1e30"], "the loss at the perturbed weights"),
    ] {
        let mut trainer = trainer(flags, 1e-3, 0.1);
        let before = bits(&trainer.weights);
        let error = trainer.step(&batch(5, Key::new(3))).unwrap_err();
        assert!(matches!(&error, StepError::NotFinite { step: 1, .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(bits(&trainer.weights), before);
        assert_eq!(trainer.optimizer.step, 0);
        assert_eq!(trainer.optimizer.m.norm().unwrap(), 0.0);
    }
    // A step that is too long: the one after it finds no finite loss.
    let mut trainer = trainer(&["--reg=none"], 1e30, 0.1);
    trainer.step(&batch(5, Key::new(3))).unwrap();
    let before = bits(&trainer.weights);
    let error = trainer.step(&batch(5, Key::new(4))).unwrap_err().to_string();
    assert!(
        error.starts_with("step 2: the loss is NaN; training stopped with the weights of step 1"),
        "{error}"
    );
    assert_eq!(bits(&trainer.weights), before);
}

#[test]
fn values_that_make_no_sense_are_refused_by_flag() {
    for (flag, values) in [
        ("--rho", &["-1", "NaN", "inf"][..]),
        ("--beta", &["-0.5", "NaN", "inf"]),
        ("--asam-eta", &["-1", "NaN", "-inf"]),
        ("--perturb-every", &["0"]),
        ("--r3f-lambda", &["-1", "NaN", "inf"]),
        ("--r3f-eps", &["0", "-1", "NaN", "inf"]),
        ("--r-drop-alpha", &["-1", "NaN", "inf"]),
        ("--freelb-lambda", &["-1", "NaN"]),
        ("--freelb-steps", &["0"]),
        ("--freelb-step-size", &["0", "-1", "NaN", "inf"]),
        ("--freelb-init", &["-1", "NaN"]),
        ("--freelb-max-norm", &["0", "NaN"]),
        ("--smart-lambda", &["-1", "NaN"]),
        ("--smart-eps", &["0", "NaN", "inf"]),
        ("--smart-mu", &["-1", "NaN"]),
        ("--smart-decay", &["1", "-0.1", "NaN"]),
        ("--batch-size", &["0", "1"]),
        ("--temperature", &["0", "-1", "NaN"]),
        ("--learning-rate", &["0", "-1", "NaN", "inf"]),
        ("--dropout", &["1", "-0.1", "NaN"]),
    ] {
        for value in values {
            let setting = format!("{flag}={value}");
            for reg in ["--reg=delta-sam,r3f,r-drop,freelb,smart", "--reg=asam,r3f,r-drop,freelb,smart"] {
                let error = train_options(&[reg, &setting]).check().err();
                let message = error.map(|e| e.to_string()).unwrap_or_default();
                assert!(message.starts_with(flag), "{setting}: {message:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    /// d/dt of Σ c_j l_j(w + t·d) at 0, by central differences in f64, against ⟨gradient, d⟩.
    #[test]
    fn gradients_are_those_of_finite_differences(seed: u64, n in 2u64..5, dropout in prop_oneof![Just(0.0), Just(0.1)]) {
        let encoder = encoder(Path::Composed);
        let key = Key::new(seed);
        let weights = random_weights(encoder.layout(), DType::F64, key);
        let direction = random_weights(encoder.layout(), DType::F64, key.at(1));
        let (packed, draws) = (batch(n, key), HashedDraws::new(seed, 1));
        let pass =
            Pass { key: draws.pass_key(), hidden_dropout: dropout, attention_dropout: dropout, drophead: 0.0 };
        let step = Step { encoder: &encoder, batch: &packed, pass, draws: &draws, temperature: 0.5 };
        let shares: Vec<f64> = (0..n as u32).map(|j| 0.5 + key.unit(j)).collect();
        for reg in ["none", "r3f", "r-drop", "freelb", "smart", "r3f,r-drop,freelb,smart"] {
            let mut objective: Objective = regularization(&["--reg", reg]).build().unwrap().objective;
            objective.prepare(&step, &weights).unwrap();
            let gradient = objective.evaluate(&step, &weights).unwrap().gradient(&shares).unwrap();
            let products = gradient.flats().iter().zip(direction.flats());
            let slope: f64 =
                products.map(|(g, d)| (g * d).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()).sum();
            let at = |t: f64| -> f64 {
                let losses = objective.instance_losses(&step, &weights.plus(&direction, t).unwrap()).unwrap();
                losses.iter().zip(&shares).map(|(l, c)| l * c).sum()
            };
            let (h, size) = (1e-5, gradient.norm().unwrap() * direction.norm().unwrap());
            let difference = (at(h) - at(-h)) / (2.0 * h);
            prop_assert!((difference - slope).abs() < 1e-6 * size.max(1e-3), "{}: {} {}", reg, difference, slope);
        }
    }
}
