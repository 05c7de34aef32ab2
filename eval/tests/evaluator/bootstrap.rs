//! The paired bootstrap: scipy's intervals, the same bits on any number of threads, and pairing.

use proptest::prelude::*;
use serde_json::Value;
use sts_eval::{Bootstrap, Error, ScoredTask};

fn task(name: &str, gold: Vec<f64>, cosines: Vec<f64>) -> ScoredTask {
    let subsets = vec![(name.to_owned(), 0..gold.len())];
    ScoredTask { name: name.to_owned(), gold, cosines, subsets }
}

/// Two models on the pairs for which scipy's intervals are known.
fn golden() -> (ScoredTask, ScoredTask, Value) {
    let golden: Value = serde_json::from_str(include_str!("golden/correlations.json")).unwrap();
    let golden = golden["bootstrap"].clone();
    let numbers = |key: &str| -> Vec<f64> {
        golden[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let model = |key: &str| task("STSB", numbers("gold"), numbers(key));
    (model("first"), model("second"), golden)
}

#[test]
fn intervals_are_those_of_scipy() {
    let (first, second, golden) = golden();
    let bootstrap = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
    let interval = bootstrap.interval(&first).unwrap().unwrap();
    let difference = bootstrap.difference(&first, &second).unwrap().unwrap();
    // Twice 20,000 resamples differ by the draw alone: a standard error of about 0.15 points for the bounds here.
    for (interval, key) in [(interval, "first_interval"), (difference.interval, "difference_interval")] {
        for (got, bound) in [(interval.low, 0), (interval.high, 1)] {
            let expected = golden[key][bound].as_f64().unwrap();
            assert!((got - expected).abs() < 0.75, "{key}: {interval:?}, scipy has {expected}");
        }
        assert!(interval.low < interval.estimate && interval.estimate < interval.high);
        assert_eq!(interval.resamples, 20_000);
    }
    assert!(difference.is_significant() && difference.p_value < 0.05, "{difference:?}");
}

#[test]
fn threads_change_no_bit_and_seeds_do() {
    let (first, second, _) = golden();
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bootstrap = Bootstrap { resamples: 333, seed, ..Bootstrap::default() };
        pool.install(|| bootstrap.difference(&first, &second).unwrap().unwrap())
    };
    let one = run(1, 7);
    assert_eq!(one, run(2, 7));
    assert_eq!(one, run(5, 7));
    assert_ne!(one, run(1, 8));
}

#[test]
fn a_model_does_not_differ_from_itself_and_signs_swap() {
    let (first, second, _) = golden();
    let bootstrap = Bootstrap::default();
    let same = bootstrap.difference(&first, &first).unwrap().unwrap();
    assert_eq!((same.interval.low, same.interval.high, same.p_value), (0.0, 0.0, 1.0));
    assert!(!same.is_significant());
    let there = bootstrap.difference(&first, &second).unwrap().unwrap();
    let back = bootstrap.difference(&second, &first).unwrap().unwrap();
    assert_eq!(there.p_value, back.p_value);
    assert!((there.interval.low + back.interval.high).abs() < 1e-9, "{there:?} {back:?}");
}

#[test]
fn pairing_narrows_the_interval_of_models_that_err_alike() {
    let (first, _, _) = golden();
    let alike: Vec<f64> =
        first.cosines.iter().enumerate().map(|(index, cosine)| cosine + 0.05 * (index % 3) as f64).collect();
    let alike = task("STSB", first.gold.clone(), alike);
    let bootstrap = Bootstrap::default();
    let alone = bootstrap.interval(&first).unwrap().unwrap();
    let paired = bootstrap.difference(&first, &alike).unwrap().unwrap().interval;
    assert!(paired.high - paired.low < (alone.high - alone.low) / 3.0, "{paired:?} {alone:?}");
}

#[test]
fn the_average_is_steadier_than_one_task_and_leaves_users_sets_out() {
    let (first, second, _) = golden();
    let named = |model: &ScoredTask, name: &str| ScoredTask { name: name.to_owned(), ..model.clone() };
    let all = |model: &ScoredTask| ["STS12", "STS13", "STS14", "STSB"].map(|name| named(model, name));
    let bootstrap = Bootstrap::default();
    let alone = bootstrap.interval(&first).unwrap().unwrap();
    let average = bootstrap.average_interval(&all(&first)).unwrap().unwrap();
    assert!((average.estimate - alone.estimate).abs() < 1e-9);
    // Four tasks drawn apart: half the width.
    let ratio = (average.high - average.low) / (alone.high - alone.low);
    assert!((0.4..0.6).contains(&ratio), "{ratio}");

    let mut with_own = all(&first).to_vec();
    with_own.push(named(&second, "mine"));
    assert_eq!(bootstrap.average_interval(&with_own).unwrap().unwrap(), average);
    let one = std::slice::from_ref(&first);
    assert_eq!(bootstrap.average_interval(one).unwrap().unwrap(), alone);
    let difference = bootstrap.average_difference(&all(&first), &all(&second)).unwrap().unwrap();
    assert!(difference.is_significant());
}

#[test]
fn other_pairs_and_impossible_settings_are_refused() {
    let (first, second, _) = golden();
    let bootstrap = Bootstrap::default();
    let mut other = second.clone();
    other.gold[3] += 1.0;
    assert!(matches!(bootstrap.difference(&first, &other), Err(Error::DifferentPairs { .. })));
    let renamed = ScoredTask { name: "STS12".to_owned(), ..second.clone() };
    assert!(matches!(bootstrap.difference(&first, &renamed), Err(Error::DifferentPairs { .. })));
    let (one, two) = (std::slice::from_ref(&first), [first.clone(), renamed]);
    assert!(matches!(bootstrap.average_difference(one, &two), Err(Error::DifferentPairs { .. })));
    for bad in [
        Bootstrap { resamples: 0, ..bootstrap },
        Bootstrap { resamples: usize::MAX, ..bootstrap },
        Bootstrap { confidence: 1.0, ..bootstrap },
        Bootstrap { confidence: f64::NAN, ..bootstrap },
    ] {
        assert!(matches!(bad.interval(&first), Err(Error::Setting { .. })), "{bad:?}");
    }
}

#[test]
fn undefined_scores_have_no_interval_and_undefined_resamples_are_counted_out() {
    let gold = vec![1.0, 2.0, 3.0];
    let bootstrap = Bootstrap { resamples: 900, ..Bootstrap::default() };
    let constant = task("STSB", gold.clone(), vec![0.5; 3]);
    let varied = task("STSB", gold, vec![0.1, 0.3, 0.2]);
    assert_eq!(bootstrap.interval(&constant).unwrap(), None);
    assert_eq!(bootstrap.difference(&varied, &constant).unwrap(), None);
    assert_eq!(bootstrap.average_interval(&[]).unwrap(), None);
    // One resample in nine draws one pair three times.
    let defined = bootstrap.interval(&varied).unwrap().unwrap().resamples;
    assert!((750..850).contains(&defined), "{defined}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The interval of a wider confidence holds that of a narrower one, and both lie within ±100.
    #[test]
    fn intervals_nest(pairs in prop::collection::vec((0u8..6, 0u8..9), 5..40), seed in any::<u64>()) {
        let (gold, cosines) = pairs.iter().map(|pair| (f64::from(pair.0), f64::from(pair.1))).unzip();
        let task = task("STSB", gold, cosines);
        let interval = |confidence| {
            Bootstrap { resamples: 200, confidence, seed }.interval(&task).unwrap()
        };
        if let (Some(narrow), Some(wide)) = (interval(0.5), interval(0.99)) {
            prop_assert!(-100.0 <= wide.low && wide.low <= narrow.low);
            prop_assert!(narrow.low <= narrow.high && narrow.high <= wide.high && wide.high <= 100.0);
        }
    }
}
