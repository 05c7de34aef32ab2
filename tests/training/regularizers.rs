//! Every regularizer on a tiny encoder with random weights: what a step reports, and what it does where losses
//! cannot tell instances apart or are not numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use mirror::encoder::{
    Architecture, Encoder, EncoderConfig, Layout, PackedBatch, Parameters, Pass, Pooling, SequenceId,
};
use mirror::objective::registry::{BuildContext, LOSS_TERMS};
use mirror::objective::{Contrastive, HashedDraws, Loss, LossTerm, Passes, Step};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::Problem;
use mirror::perturb::registry::PERTURBATIONS;
use mirror::random::Key;
use mirror::regularization::{Composition, Options, Regularization, Resolved, names};
use mirror::trainer::{Hyperparameters, StepError, Trainer};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    regularization: Options,
}

fn regularization(flags: &[&str]) -> Resolved {
    let options = Flags::parse_from([&["mirror"], flags].concat()).regularization;
    options.resolve(&BuildContext { architecture: Architecture::Bert }).unwrap()
}

const VOCABULARY: u64 = 50;

fn encoder() -> Encoder {
    let config = serde_json::json!({
        "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 32, "hidden_act": "gelu",
        "max_position_embeddings": 12, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0
    });
    let config = EncoderConfig::from_json(&config.to_string(), "config.json".as_ref()).unwrap();
    Encoder::new(config, Pooling::Mean)
}

fn random_weights(layout: Arc<Layout>) -> Parameters {
    Parameters::from_named(layout, DType::F32, &Device::Cpu, |spec| {
        let key = Key::new(spec.offset as u64).at(spec.name.len() as u64);
        let centre = if spec.is_norm_weight() { 1.0 } else { 0.0 };
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

/// A trainer and the weights that it trains.
fn trainer(flags: &[&str], learning_rate: f64, dropout: f64) -> (Trainer, Parameters) {
    let encoder = encoder();
    let weights = random_weights(encoder.layout());
    let config = AdamWConfig { learning_rate, ..AdamWConfig::default() };
    let trainer = Trainer {
        optimizer: AdamW::new(config, &weights).unwrap(),
        encoder,
        regularization: regularization(flags).build(),
        hyperparameters: Hyperparameters { seed: 42, dropout, drophead: 0.0, clip_norm: None },
    };
    (trainer, weights)
}

/// What a trainer's steps ask of embeddings.
fn objective() -> Contrastive {
    Contrastive::new(0.1)
}

fn bits(weights: &Parameters) -> Vec<u32> {
    let values = |flat: &Tensor| flat.to_vec1::<f32>().unwrap();
    weights.flats().iter().flat_map(values).map(f32::to_bits).collect()
}

/// Everything that `--reg` knows by itself, every perturbation with every loss term, and all terms together.
fn compositions() -> Vec<String> {
    let terms: Vec<&str> = LOSS_TERMS.iter().map(|&(name, _)| name).collect();
    let mut all: Vec<String> = names().map(str::to_owned).collect();
    all.push("none".to_owned());
    for perturbation in PERTURBATIONS {
        all.extend(terms.iter().map(|term| format!("{},{term}", perturbation.name)));
        all.push(format!("{},{}", perturbation.name, terms.join(",")));
    }
    all
}

/// What metrics.jsonl carries of a step, and docs/metrics.md explains.
#[test]
fn a_step_reports_what_its_regularizers_found() {
    const INSTANCE_WEIGHTS: [&str; 7] =
        ["a_mean", "a_s", "r", "effective_instances", "g_min", "g_max", "g_negative_share"];
    for reg in compositions() {
        // A loss term reports what it added under its own name.
        let parsed = Composition::parse(&reg).unwrap();
        let mut readings = parsed.terms.clone();
        match parsed.perturbation {
            Some("delta-sam") => readings.extend(INSTANCE_WEIGHTS),
            Some("sam-instance") => readings.push("instance_sharpness"),
            _ => {}
        }
        let (mut trainer, mut weights) = trainer(&["--reg", &reg], 1e-3, 0.1);
        let report = trainer.step(&mut weights, &batch(5, Key::new(9)), &objective()).unwrap();
        let line = serde_json::to_value(&report).unwrap();
        let always = ["step", "loss", "descent_loss", "gradient_norm", "tokens"];
        let mut found: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = [&always[..], &readings].concat();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{reg}");
        assert!(line.as_object().unwrap().values().all(serde_json::Value::is_number), "{reg}: {line}");
        assert!(report.gradient_norm > 0.0, "{reg}");
        let documentation = include_str!("../../docs/metrics.md");
        for name in found {
            assert!(documentation.contains(&format!("`{name}`")), "docs/metrics.md has no {name}");
        }
    }
}

/// Eight times the same sentence, without dropout: all embeddings are one, all losses log(2N − 1), and no
/// direction changes any of them.
#[test]
fn a_batch_of_equal_losses_gives_finite_steps() {
    for reg in compositions() {
        let (mut trainer, mut weights) = trainer(&["--reg", &reg], 1e-3, 0.0);
        let mut packed = PackedBatch::new();
        for view in 0..2 {
            (0..8).for_each(|sentence| packed.push(&[2, 7, 9, 3], 0, SequenceId { view, sentence }));
        }
        let report = trainer.step(&mut weights, &packed, &objective()).unwrap();
        // What the loss terms add is small here, but the noise of each sentence is its own.
        if !reg.contains("r3f") && !reg.contains("freelb") && !reg.contains("smart") {
            assert!((report.loss - 15f64.ln()).abs() < 1e-5, "{reg}: {}", report.loss);
        }
        trainer.step(&mut weights, &packed, &objective()).unwrap();
        assert!(weights.norm().unwrap().is_finite(), "{reg}");
    }
}

/// Stops with the step and the term named; weights and moments are those of the step before.
#[test]
fn a_loss_that_is_not_a_number_stops_and_changes_nothing() {
    for (flags, what) in [
        (&["--reg=r3f", "--r3f-eps=1e40"][..], "the loss term r3f"),
        (&["--reg=delta-sam,r3f", "--r3f-eps=1e40"], "the loss term r3f"),
        (&["--reg=sam", "--rho=1e39"], "the loss at the perturbed weights"),
    ] {
        let (mut trainer, mut weights) = trainer(flags, 1e-3, 0.1);
        let before = bits(&weights);
        let error = trainer.step(&mut weights, &batch(5, Key::new(3)), &objective()).unwrap_err();
        assert!(matches!(&error, StepError::NotFinite { step: 1, .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(bits(&weights), before);
        assert_eq!(trainer.optimizer.step, 0);
        assert_eq!(trainer.optimizer.m.norm().unwrap(), 0.0);
    }
    // A step beyond f32: the one after it finds no finite loss.
    let (mut trainer, mut weights) = trainer(&["--reg=none"], 1e39, 0.1);
    trainer.step(&mut weights, &batch(5, Key::new(3)), &objective()).unwrap();
    let before = bits(&weights);
    let error = trainer.step(&mut weights, &batch(5, Key::new(4)), &objective()).unwrap_err().to_string();
    assert!(
        error.starts_with("step 2: the loss is NaN; training stopped with the weights of step 1"),
        "{error}"
    );
    assert_eq!(bits(&weights), before);
}

/// A loss term that is not a number the second time that it is asked: along δ-SAM's random direction.
struct SecondIsNan(AtomicUsize);

impl LossTerm for SecondIsNan {
    fn name(&self) -> &'static str {
        "second-is-nan"
    }

    fn prepare(&mut self, _: &Step, _: &Parameters) -> candle_core::Result<()> {
        Ok(())
    }

    fn instance_losses(&self, passes: &mut Passes) -> candle_core::Result<Tensor> {
        let value = if self.0.fetch_add(1, Ordering::Relaxed) == 1 { f64::NAN } else { 0.0 };
        passes.clean()?.losses()?.affine(0.0, value)
    }
}

/// Where changes of loss are not numbers, δ-SAM's weights would be uniform: the step would be SAM's.
#[test]
fn delta_sam_stops_where_changes_of_loss_are_not_numbers() {
    let (mut trainer, mut weights) = trainer(&["--reg=delta-sam"], 1e-3, 0.1);
    trainer.regularization.loss = Loss { terms: vec![Box::new(SecondIsNan(AtomicUsize::new(0)))] };
    let before = bits(&weights);
    let error = trainer.step(&mut weights, &batch(5, Key::new(3)), &objective()).unwrap_err().to_string();
    assert!(error.contains("the reading a_mean is NaN") && error.contains("--rho"), "{error}");
    assert_eq!((bits(&weights), trainer.optimizer.step), (before, 0));
    // Asked again, it is a number.
    trainer.step(&mut weights, &batch(5, Key::new(3)), &objective()).unwrap();
}

/// The gradient that a step descends along, in f64, with the batch in so many parts, and what the step found.
fn descent(reg: &str, prefixes: &[usize], parts: usize) -> (Vec<f64>, Vec<f64>) {
    let encoder = encoder().in_parts(parts);
    let weights = random_weights(encoder.layout());
    let weights = weights.map(|flat| flat.to_dtype(DType::F64)).unwrap();
    let draws = HashedDraws::new(3, 1);
    let pass = Pass { key: draws.pass_key(), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.2 };
    let batch = batch(5, Key::new(9));
    let objective = Contrastive { prefixes: prefixes.to_owned(), ..Contrastive::new(0.1) };
    let step = Step { encoder: &encoder, batch: &batch, pass, draws: &draws, objective: &objective };
    let Regularization { mut loss, perturbation, .. } = regularization(&["--reg", reg]).build();
    loss.prepare(&step, &weights).unwrap();
    let problem = Problem { loss: &loss, step: &step };
    let descent = perturbation.descend(&problem, &weights).unwrap();
    let values = |flat: &Tensor| flat.to_vec1::<f64>().unwrap();
    (descent.gradient.flats().iter().flat_map(values).collect(), descent.instance_losses)
}

/// However many parts a batch goes through in, more than it has sequences included.
#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    let with_prefixes = ["none", "delta-sam,r3f", "sam,smart"].map(|reg| (reg.to_owned(), &[4, 9][..]));
    for (reg, prefixes) in compositions().into_iter().map(|reg| (reg, &[][..])).chain(with_prefixes) {
        let (whole, losses) = descent(&reg, prefixes, 1);
        let norm = whole.iter().map(|g| g * g).sum::<f64>().sqrt();
        let parts: &[usize] = if reg == "delta-sam,r3f" { &[2, 3, 10, 40] } else { &[3] };
        for &parts in parts {
            let (gradient, in_parts) = descent(&reg, prefixes, parts);
            let apart = whole.iter().zip(&gradient).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            assert!(apart < 1e-9 * norm, "{reg} in {parts} parts: {apart:e} of {norm:e}");
            let worst = losses.iter().zip(&in_parts).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-9, "{reg} in {parts} parts: losses {worst:e} apart");
        }
    }
}

/// The fused backend too, whose embeddings have the same bits whatever goes through with them.
#[test]
fn a_batch_in_parts_has_the_embeddings_of_the_whole() {
    let encoder = encoder();
    let weights = random_weights(encoder.layout());
    let batch = batch(40, Key::new(4));
    let pass = Pass { key: Key::new(1), hidden_dropout: 0.1, attention_dropout: 0.1, drophead: 0.2 };
    let ones = Tensor::ones((80, 16), DType::F32, &Device::Cpu).unwrap();
    let gradient = |parts: usize| {
        let encoded = encoder.clone().in_parts(parts).embed_tracked(&weights, &batch, None, &pass).unwrap();
        let mut into = weights.zeros_like().unwrap();
        encoded.tape.backward(&weights, &ones, &mut into).unwrap();
        (encoded.embeddings.to_vec2::<f32>().unwrap(), into)
    };
    let (embeddings, whole) = gradient(1);
    for parts in [2, 7, 80] {
        let (in_parts, own) = gradient(parts);
        assert_eq!(embeddings, in_parts, "{parts} parts");
        let apart = whole.plus(&own, -1.0).unwrap().norm().unwrap();
        assert!(apart < 1e-5 * whole.norm().unwrap(), "{parts} parts: {apart:e}");
    }
}
