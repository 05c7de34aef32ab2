//! Quantiles of Student's and of the normal distribution: what few seeds allow to be said of many.

use std::f64::consts::{FRAC_2_PI, PI};

/// How much deviations of `seeds` resampled seeds are stretched, so that their interval at a level `alpha` (0.05 for
/// 95 %) is Student's: a resample of n values has a variance that is too small by (n − 1) / n, and a normal tail where
/// the spread of few values is itself uncertain.
///
/// Infinite for one seed, of which nothing about others follows.
pub(super) fn stretch(seeds: usize, alpha: f64) -> f64 {
    if seeds < 2 {
        return f64::INFINITY;
    }
    let n = seeds as f64;
    let upper = 1.0 - alpha / 2.0;
    (n / (n - 1.0)).sqrt() * quantile(|t| student(t, seeds - 1), upper) / quantile(normal, upper)
}

/// Student's distribution function for t ≥ 0, by the finite series for whole degrees of freedom (Abramowitz and Stegun,
/// 26.7.3 and 26.7.4).
fn student(t: f64, degrees: usize) -> f64 {
    let angle = (t / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    // The terms are cosⁱ with i of the degrees' parity, up to degrees − 2.
    let (mut term, first) = if odd { (cosine, 1) } else { (1.0, 0) };
    let mut sum = 0.0;
    for power in (first..=degrees.saturating_sub(2)).step_by(2) {
        sum += term;
        let power = power as f64;
        term *= cosine * cosine * (power + 1.0) / (power + 2.0);
    }
    let within = if odd { FRAC_2_PI * (angle + sine * sum) } else { sine * sum };
    0.5 + within / 2.0
}

/// The normal distribution function for x ≥ 0, by Marsaglia's series (2004).
fn normal(x: f64) -> f64 {
    if x > 8.0 {
        return 1.0;
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// Where a rising distribution function reaches `share`, at least 0.5.
fn quantile(distribution: impl Fn(f64) -> f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while distribution(high) < share && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if distribution(middle) < share { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.t.ppf(share, degrees), scipy.stats.norm.ppf(share)
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (share, degrees, expected) in [
            (0.975, 1, 12.706_204_736_174_7),
            (0.975, 2, 4.302_652_729_749_46),
            (0.975, 3, 3.182_446_305_284_26),
            (0.975, 4, 2.776_445_105_197_79),
            (0.995, 4, 4.604_094_871_349_99),
            (0.975, 9, 2.262_157_162_740_99),
            (0.995, 30, 2.749_995_653_567_23),
        ] {
            let got = quantile(|t| student(t, degrees), share);
            assert!((got - expected).abs() < 1e-8, "{degrees}: {got}");
        }
        for (share, expected) in [(0.5, 0.0), (0.975, 1.959_963_984_540_05), (0.9999, 3.719_016_485_455_68)] {
            let got = quantile(normal, share);
            assert!((got - expected).abs() < 1e-8, "{got}");
        }
    }

    #[test]
    fn few_seeds_are_stretched_most() {
        let stretches: Vec<f64> = (2..40).map(|seeds| stretch(seeds, 0.05)).collect();
        assert!(stretches.windows(2).all(|pair| pair[0] > pair[1]), "{stretches:?}");
        assert!((1.0..1.05).contains(stretches.last().unwrap()));
        assert!(stretch(1, 0.05).is_infinite());
        assert!(stretch(5, 0.001) > stretch(5, 0.05));
    }
}
