//! Holm's correction (1979): p-values of several comparisons, so that the chance of any false one stays below the level.

/// The corrected p-values, in the order of `values`: the k-th smallest of m is multiplied by m − k + 1, and none is
/// smaller than that of a smaller one, nor larger than 1. Comparisons without a p-value do not count.
pub fn holm(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut corrected = vec![None; values.len()];
    let mut least = 0.0_f64;
    for (smaller, (place, value)) in order.iter().enumerate() {
        least = least.max(value * (order.len() - smaller) as f64).min(1.0);
        corrected[*place] = Some(least);
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
    #[test]
    fn corrected_as_statsmodels_does() {
        let corrected = holm(&[Some(0.01), Some(0.04), None, Some(0.03), Some(0.005)]);
        let expected = [Some(0.03), Some(0.06), None, Some(0.06), Some(0.02)];
        for (got, expected) in corrected.iter().zip(expected) {
            assert!(got.zip(expected).is_none_or(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
            assert_eq!(got.is_some(), expected.is_some());
        }
    }

    proptest! {
        /// Larger stays larger, nothing becomes smaller, and one comparison is left as it is.
        #[test]
        fn order_is_kept(values in prop::collection::vec(prop::option::of(0.0f64..1.0), 1..12)) {
            let corrected = holm(&values);
            for (value, own) in values.iter().zip(&corrected) {
                prop_assert_eq!(value.is_some(), own.is_some());
                prop_assert!(value.zip(*own).is_none_or(|(value, own)| own >= value && own <= 1.0));
                for (other, others) in values.iter().zip(&corrected) {
                    if let (Some(value), Some(other)) = (value, other) && value <= other {
                        prop_assert!(own <= others);
                    }
                }
            }
            if let [Some(only)] = values[..] {
                prop_assert_eq!(corrected, vec![Some(only)]);
            }
        }
    }
}
