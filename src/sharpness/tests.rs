use super::*;
use crate::perturb::per_instance::PerInstance;
use crate::perturb::sam::Sam;
use crate::perturb::{Descent, WeightPerturbation};
use crate::sentence_encoder::{Overrides, SentenceEncoder};
use crate::trainer::run::Preparation;
use candle_core::Device;
use proptest::prelude::*;

const SETTINGS: Settings = Settings {
    rho: 0.05,
    beta: 3.0,
    directions: 2,
    instances: 100,
    seed: 7,
    temperature: 0.04,
    dropout: 0.1,
};

fn builtin_model() -> SentenceEncoder {
    let folder = tempfile::tempdir().unwrap();
    crate::builtin::unpack(folder.path()).unwrap();
    SentenceEncoder::load(folder.path(), Overrides::default(), &Device::Cpu).unwrap()
}

fn batch(model: &SentenceEncoder, n: usize) -> PackedBatch {
    let lines: Vec<String> = crate::builtin::CORPUS.lines().take(2 * n).map(str::to_owned).collect();
    let preparation = Preparation {
        encoder: model.encoder.clone(),
        tokenizer: model.tokenizer.clone(),
        prompt: Default::default(),
        max_length: 50,
    };
    let (view1, view2) =
        (lines[..n].to_vec(), lines[..n].iter().map(|l| l.to_uppercase() + " [MASK]").collect());
    let batch = crate::corpus::Batch { epoch: 0, step: 0, lines: vec![0; n], view1, view2 };
    preparation.pack(&batch).unwrap()
}

/// What a training step with the same draws finds.
fn descend(measured: &Measured, batch: &PackedBatch, with: &dyn WeightPerturbation) -> Descent {
    let (loss, objective) = (Loss::default(), Contrastive::new(measured.settings.temperature));
    let draws = measured.draws(1, 0);
    let step = Step {
        encoder: measured.encoder,
        batch,
        pass: measured.pass(&draws),
        draws: &draws,
        objective: &objective,
    };
    with.descend(&Problem { loss: &loss, step: &step }, measured.weights).unwrap()
}

#[test]
fn measures_what_the_perturbations_reach() {
    let model = builtin_model();
    let batch = batch(&model, 6);
    let measured = Measured { encoder: &model.encoder, weights: &model.parameters, settings: SETTINGS };
    let found = measured.sharpness(std::slice::from_ref(&batch), || {}).unwrap();
    assert_eq!((found.instances, found.sampled), (6, 6));
    let Settings { rho, beta, .. } = SETTINGS;
    let restriction = Restriction::All;
    for (name, rise, with) in [
        ("sam", found.batch, &Sam { rho, restriction } as &dyn WeightPerturbation),
        ("delta-sam", found.weighted, &DeltaSam { rho, beta, restriction }),
        ("sam-instance", found.instance, &PerInstance { rho, restriction }),
    ] {
        let descent = descend(&measured, &batch, with);
        let want = descent.descent_loss - crate::objective::mean(&descent.instance_losses);
        assert!((rise.estimate - want).abs() < 1e-9, "{name}: {} {want}", rise.estimate);
        assert!(rise.low <= rise.estimate && rise.estimate <= rise.high, "{name}: {rise:?}");
    }
    let curve = measured.curve(&batch, || {}).unwrap();
    let at = |line: usize, t: f64| {
        let place = curve.t.iter().position(|x| (x - t).abs() < 1e-12).unwrap();
        curve.lines[line].loss[place]
    };
    for (line, rise) in [(1, found.batch), (2, found.weighted)] {
        assert!((at(line, 0.0) - found.loss.estimate).abs() < 1e-12);
        // The ascent is normalised to 1 and scaled by t, in f32.
        let (drawn, measured) = (at(line, rho) - at(line, 0.0), rise.estimate);
        assert!((drawn - measured).abs() < 1e-3 * measured.abs().max(1e-2), "{line}: {drawn} {measured}");
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let model = builtin_model();
    let batches = [batch(&model, 4), batch(&model, 5)];
    let measured = Measured {
        encoder: &model.encoder,
        weights: &model.parameters,
        settings: Settings { instances: 3, ..SETTINGS },
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measured.sharpness(&batches, || {}).unwrap())
    };
    let (one, two) = (on(1), on(2));
    assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
    assert_eq!((one.batches, one.instances, one.sampled), (2, 9, 3));
}

#[test]
fn the_plot_is_one_well_formed_picture() {
    let lines = [("random", [1.0, 1.0, 1.1]), ("a <b> & \"c\"", [0.5, 1.0, f64::NAN])];
    let lines = lines.map(|(direction, loss)| Series { direction, loss: loss.to_vec() }).to_vec();
    let svg = plot::svg(&Curve { t: vec![-0.1, 0.0, 0.1], lines }, 0.05, "x<y>&\"z\"");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(svg.contains("x&lt;y&gt;&amp;&quot;z&quot;") && svg.contains("a &lt;b&gt; &amp; &quot;c&quot;"));
    assert!(svg.contains("prefers-color-scheme: dark"));
    let (mut open, mut rest) = (Vec::new(), svg.as_str());
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

proptest! {
    #[test]
    fn a_plot_of_any_losses_has_only_numbers(losses in prop::collection::vec(prop_oneof![
        prop::num::f64::NORMAL, Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(1e-300)
    ], 5), rho in 1e-6f64..10.0) {
        let t = (0..5).map(|i| (f64::from(i) - 2.0) * rho).collect();
        let svg = plot::svg(&Curve { t, lines: vec![Series { direction: "d", loss: losses }] }, rho, "m");
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        prop_assert!(svg.len() < 100_000);
    }

    #[test]
    fn a_sample_has_no_instance_twice(sizes in prop::collection::vec(0usize..30, 1..6), count in 0usize..60, seed: u64) {
        let chosen = sample(&sizes, count, seed);
        let total: usize = sizes.iter().sum();
        prop_assert_eq!(chosen.iter().map(Vec::len).sum::<usize>(), count.min(total));
        for (chosen, &n) in chosen.iter().zip(&sizes) {
            prop_assert!(chosen.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(chosen.iter().all(|&j| j < n));
        }
    }

    #[test]
    fn an_interval_lies_within_the_values(values in prop::collection::vec(-5.0f64..5.0, 1..40), seed: u64) {
        let found = interval::of_mean(&values, Key::new(seed));
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), &v| (l.min(v), m.max(v)));
        prop_assert!(least - 1e-9 <= found.low && found.low <= found.high && found.high <= most + 1e-9);
    }
}

/// The percentile interval of a mean is near estimate ± 1.96 standard errors.
#[test]
fn an_interval_of_many_values_is_the_normal_one() {
    let values: Vec<f64> = (0..400).map(|i| Key::new(3).normal(i)).collect();
    let found = interval::of_mean(&values, Key::new(1));
    let mean = crate::objective::mean(&values);
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 400.0).sqrt();
    let half = 1.96 * deviation / 20.0;
    assert!(((found.high - found.low) / (2.0 * half) - 1.0).abs() < 0.1, "{found:?} {half}");
}
