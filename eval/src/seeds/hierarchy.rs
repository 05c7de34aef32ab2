//! The difference of two ways of training over seeds and pairs: a bootstrap of two levels.
//!
//! A resample draws pairs, the same for all runs, and seeds, each of which has a run of both ways. With few seeds a plain
//! resample of them says too little: its deviations are stretched so that seeds alone would give Student's interval (see
//! [`stretch`]). The p-value is the level at which the interval just leaves zero out.

use super::student::stretch;
use crate::bootstrap::{Resampled, draw, mix};
use crate::{Bootstrap, Difference, Interval};

/// What separates the draws of seeds from those of pairs, which come from the same bootstrap's seed.
const SEEDS: u64 = 0x7365_6564_735f_5f5f;

/// One difference, on every resample: over all seeds, and how far the drawn seeds are from that.
struct TwoLevels {
    estimate: f64,
    means: Vec<f64>,
    deviations: Vec<f64>,
    seeds: usize,
}

/// How much more the second way scores than the first, in points. `first[s]` and `second[s]` are of the same seed.
/// `None` without a seed, and where a score is undefined.
pub(super) fn difference(
    bootstrap: &Bootstrap,
    first: &[&Resampled],
    second: &[&Resampled],
) -> Option<Difference> {
    let levels = TwoLevels::new(bootstrap, first, second)?;
    let values = levels.values(1.0 - bootstrap.confidence);
    let interval = Interval::of_resamples(levels.estimate, values, bootstrap.confidence)?;
    Some(Difference { p_value: levels.p_value(), interval })
}

impl TwoLevels {
    fn new(bootstrap: &Bootstrap, first: &[&Resampled], second: &[&Resampled]) -> Option<Self> {
        let seeds = first.len().min(second.len());
        let n = seeds as f64;
        let pairs = || first.iter().zip(second);
        let estimate = pairs().map(|(a, b)| b.estimate() - a.estimate()).sum::<f64>() / n;
        if seeds == 0 || !estimate.is_finite() {
            return None;
        }
        let mut counts = vec![0; seeds];
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for resample in 0..bootstrap.resamples {
            draw(mix(mix(bootstrap.seed ^ SEEDS).wrapping_add(resample as u64)), &mut counts);
            let differences = || pairs().map(|(a, b)| b.scores()[resample] - a.scores()[resample]);
            let mean = differences().sum::<f64>() / n;
            let drawn =
                differences().zip(&counts).map(|(value, &count)| value * f64::from(count)).sum::<f64>() / n;
            // In a few pairs all drawn scores may be equal.
            if mean.is_finite() {
                means.push(mean);
                deviations.push(drawn - mean);
            }
        }
        (!means.is_empty()).then_some(TwoLevels { estimate, means, deviations, seeds })
    }

    /// The resampled differences, as they are at a level. One seed counts its pairs alone.
    fn values(&self, alpha: f64) -> Vec<f64> {
        let stretch = if self.seeds == 1 { 0.0 } else { stretch(self.seeds, alpha) };
        self.means.iter().zip(&self.deviations).map(|(mean, deviation)| mean + stretch * deviation).collect()
    }

    /// Twice the share of values on the rarer side of zero, at a level.
    fn two_sided(&self, alpha: f64) -> f64 {
        let values = self.values(alpha);
        let at_most = values.iter().filter(|&&value| value <= 0.0).count();
        let at_least = values.iter().filter(|&&value| value >= 0.0).count();
        // One is added to both, so that no finite number of resamples claims a probability of zero.
        (2.0 * (at_most.min(at_least) + 1) as f64 / (values.len() + 1) as f64).min(1.0)
    }

    /// The level that equals its own share: the lower it is, the further deviations are stretched.
    fn p_value(&self) -> f64 {
        let (mut low, mut high) = (1e-9_f64, 1.0_f64);
        for _ in 0..40 {
            let middle = (low * high).sqrt();
            if self.two_sided(middle) > middle { low = middle } else { high = middle }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a normal distribution, from uniform ones by Box and Muller.
    fn normals(seed: u64, count: usize) -> Vec<f64> {
        let uniform =
            |place: u64| (mix(seed.wrapping_mul(1 << 20).wrapping_add(place)) >> 11) as f64 / 2f64.powi(53);
        (0..count as u64)
            .map(|i| {
                let (a, b) = (uniform(2 * i).max(1e-300), uniform(2 * i + 1));
                (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
            })
            .collect()
    }

    /// A made-up comparison: `seeds` differences around zero, and pairs that move all of them together.
    fn compared(number: u64, seeds: usize, by_pairs: f64, resamples: usize) -> Difference {
        let bootstrap = Bootstrap { resamples, seed: number, ..Bootstrap::default() };
        let by_seed = normals(number, seeds + 1);
        let noise = normals(!number, resamples);
        let shift = by_seed[seeds] * by_pairs;
        let zero = Resampled::of(0.0, vec![0.0; resamples]);
        let runs: Vec<Resampled> = by_seed[..seeds]
            .iter()
            .map(|own| {
                let estimate = own + shift;
                Resampled::of(estimate, noise.iter().map(|noise| estimate + noise * by_pairs).collect())
            })
            .collect();
        difference(&bootstrap, &vec![&zero; seeds], &runs.iter().collect::<Vec<_>>()).unwrap()
    }

    /// Of intervals at 95 %, 95 % have the truth in them, whether seeds or pairs or both move the difference; and
    /// p-values are as rare as they say.
    #[test]
    fn intervals_cover_and_p_values_are_what_they_claim() {
        const TIMES: u64 = 500;
        for (seeds, by_pairs, at_most) in [(3, 0.0, 0.99), (5, 0.0, 0.98), (5, 0.5, 0.99), (10, 0.3, 0.98)] {
            let results: Vec<Difference> =
                (1..=TIMES).map(|number| compared(number, seeds, by_pairs, 400)).collect();
            let covering = results.iter().filter(|d| d.interval.low <= 0.0 && d.interval.high >= 0.0).count()
                as f64
                / TIMES as f64;
            assert!((0.91..at_most).contains(&covering), "{seeds} seeds, {by_pairs}: {covering}");
            let rare = results.iter().filter(|d| d.p_value < 0.05).count() as f64 / TIMES as f64;
            assert!(rare < 0.09, "{seeds} seeds, {by_pairs}: {rare}");
            for d in &results {
                // The p-value and the interval are of one distribution.
                assert!(!(d.is_significant() && d.p_value > 0.06), "{d:?}");
                assert!(d.is_significant() || d.p_value > 0.04, "{d:?}");
            }
        }
    }

    #[test]
    fn five_equal_seeds_leave_the_pairs_alone() {
        let bootstrap = Bootstrap { resamples: 2000, ..Bootstrap::default() };
        let noise = normals(7, 2000);
        let of = |by: f64| Resampled::of(by, noise.iter().map(|noise| by + noise * 0.1).collect());
        let still = Resampled::of(0.0, vec![0.0; 2000]);
        let same = difference(&bootstrap, &[&still; 5], &[&of(0.5); 5]).unwrap();
        assert!(
            (same.interval.low - 0.3).abs() < 0.03 && (same.interval.high - 0.7).abs() < 0.03,
            "{same:?}"
        );
        assert!(same.p_value < 0.005, "{same:?}");
        let one = difference(&bootstrap, &[&still], &[&of(0.5)]).unwrap();
        assert_eq!(one.interval, same.interval);
        assert!(difference(&bootstrap, &[], &[]).is_none());
    }
}
