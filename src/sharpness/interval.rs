//! Percentile intervals by the bootstrap: how far a number would move with other instances. A function of
//! the values and a key, the same on any number of threads.

use rayon::prelude::*;
use sts_eval::Interval;

use crate::random::Key;

/// Draws with replacement that an interval is made of.
const RESAMPLES: u64 = 2000;
/// The share of resamples that an interval covers.
const CONFIDENCE: f64 = 0.95;

/// The mean of `values`; NaN for none.
pub fn of_mean(values: &[f64], key: Key) -> Interval {
    let n = values.len();
    let estimate = values.iter().sum::<f64>() / n as f64;
    let mean = |key: Key| (0..n).map(|i| values[draw(key, i, n)]).sum::<f64>() / n as f64;
    let resampled = (0..RESAMPLES).into_par_iter().map(|r| mean(key.at(r))).collect();
    let undefined = Interval { estimate, low: estimate, high: estimate, resamples: 0 };
    Interval::of_resamples(estimate, resampled, CONFIDENCE).unwrap_or(undefined)
}

/// A statistic of pairs, such as a rank correlation; `None` where it is undefined. Resamples without a value
/// are left out.
pub fn of_pairs(
    x: &[f64],
    y: &[f64],
    key: Key,
    statistic: impl Fn(&[f64], &[f64]) -> Option<f64> + Sync,
) -> Option<Interval> {
    let n = x.len();
    let estimate = statistic(x, y)?;
    let resample = |key: Key| {
        let places: Vec<usize> = (0..n).map(|i| draw(key, i, n)).collect();
        let pick = |values: &[f64]| places.iter().map(|&i| values[i]).collect::<Vec<_>>();
        statistic(&pick(x), &pick(y))
    };
    let resampled = (0..RESAMPLES).into_par_iter().filter_map(|r| resample(key.at(r))).collect();
    Interval::of_resamples(estimate, resampled, CONFIDENCE)
}

fn draw(key: Key, i: usize, n: usize) -> usize {
    key.at(i as u64).below(n as u64) as usize
}
