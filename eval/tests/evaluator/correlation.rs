//! Spearman's and Pearson's coefficients: scipy's numbers, and what holds for any numbers.

use proptest::prelude::*;
use serde_json::Value;
use sts_eval::correlation::{average_ranks, pearson, spearman};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn golden_coefficients_of_scipy() {
    let golden: Value = serde_json::from_str(include_str!("golden/correlations.json")).unwrap();
    let cases = golden["correlations"].as_array().unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let (name, x, y) = (&case["case"], numbers(&case["x"]), numbers(&case["y"]));
        assert_eq!(average_ranks(&x), numbers(&case["x_ranks"]), "{name}");
        for (got, key) in [(spearman(&x, &y), "spearman"), (pearson(&x, &y), "pearson")] {
            let (got, expected) = (got.unwrap(), case[key].as_f64().unwrap());
            assert!((got - expected).abs() < 1e-9, "{name}, {key}: {got}, scipy has {expected}");
        }
    }
}

#[test]
fn undefined_is_none_not_a_number() {
    let varied = [1.0, 2.0, 3.0];
    let undefined: [(&[f64], &[f64]); 6] = [
        (&[], &[]),
        (&[1.0], &[2.0]),
        (&[0.1; 3], &varied),
        (&varied, &[0.1; 3]),
        (&[1.0, f64::NAN, 2.0], &varied),
        (&varied, &[1.0, f64::INFINITY, 2.0]),
    ];
    for (x, y) in undefined {
        assert_eq!((spearman(x, y), pearson(x, y)), (None, None), "{x:?} {y:?}");
    }
}

/// Two lists of the same length with many ties.
fn tied_pairs() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((-4i8..5, -4i8..5).prop_map(|(x, y)| (f64::from(x), f64::from(y))), 2..60)
}

fn unzip(pairs: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    pairs.iter().copied().unzip()
}

proptest! {
    #[test]
    fn ranks_count_what_is_below_and_half_of_what_ties(values in prop::collection::vec(-5i8..6, 0..50)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let expected: Vec<f64> = values
            .iter()
            .map(|value| {
                let below = values.iter().filter(|other| *other < value).count() as f64;
                let equal = values.iter().filter(|other| *other == value).count() as f64;
                below + (equal + 1.0) / 2.0
            })
            .collect();
        prop_assert_eq!(average_ranks(&values), expected);
    }

    #[test]
    fn spearman_is_pearson_of_ranks(pairs in tied_pairs()) {
        let (x, y) = unzip(&pairs);
        match (spearman(&x, &y), pearson(&average_ranks(&x), &average_ranks(&y))) {
            (Some(rho), Some(r)) => prop_assert!((rho - r).abs() < 1e-12),
            (rho, r) => prop_assert_eq!(rho, r),
        }
    }

    #[test]
    fn increasing_maps_change_nothing_and_decreasing_ones_the_sign(pairs in tied_pairs()) {
        let (x, y) = unzip(&pairs);
        let rho = spearman(&x, &y);
        let increasing: Vec<f64> = x.iter().map(|x| x.exp() - 7.0).collect();
        let decreasing: Vec<f64> = y.iter().map(|y| -y * y * y).collect();
        prop_assert_eq!(spearman(&increasing, &y), rho);
        prop_assert_eq!(spearman(&x, &decreasing), rho.map(|rho| -rho));
    }

    #[test]
    fn the_order_of_pairs_changes_no_bit(
        (pairs, shuffled) in tied_pairs().prop_flat_map(|pairs| {
            (Just(pairs.clone()), Just(pairs).prop_shuffle())
        }),
    ) {
        let ((x, y), (shuffled_x, shuffled_y)) = (unzip(&pairs), unzip(&shuffled));
        prop_assert_eq!(spearman(&x, &y), spearman(&shuffled_x, &shuffled_y));
    }

    #[test]
    fn symmetric_bounded_and_one_of_itself(pairs in tied_pairs()) {
        let (x, y) = unzip(&pairs);
        prop_assert_eq!(spearman(&x, &y), spearman(&y, &x));
        if let Some(rho) = spearman(&x, &y) {
            prop_assert!((-1.0..=1.0).contains(&rho));
            prop_assert_eq!(spearman(&x, &x), Some(1.0));
        }
    }
}
