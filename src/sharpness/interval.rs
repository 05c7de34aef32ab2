//! Percentile intervals by the bootstrap: how far a number would move with other instances. A function of
//! the values and a key, the same on any number of threads.

use rayon::prelude::*;
use serde::Serialize;

use crate::random::Key;

/// Draws with replacement that an interval is made of.
const RESAMPLES: u64 = 2000;
/// The share of resamples that an interval covers.
pub const CONFIDENCE: f64 = 0.95;

/// An estimate and the interval of its resamples; for a single value, the interval is that value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// The mean of `values`; NaN for none.
pub fn of_mean(values: &[f64], key: Key) -> Interval {
    let n = values.len();
    let estimate = values.iter().sum::<f64>() / n as f64;
    if n == 0 {
        return Interval { estimate, low: estimate, high: estimate };
    }
    let mean = |key: Key| (0..n).map(|i| values[draw(key, i, n)]).sum::<f64>() / n as f64;
    from_resamples(estimate, (0..RESAMPLES).into_par_iter().map(|r| mean(key.at(r))).collect())
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
    Some(from_resamples(estimate, resampled))
}

fn draw(key: Key, i: usize, n: usize) -> usize {
    key.at(i as u64).below(n as u64) as usize
}

fn from_resamples(estimate: f64, mut resampled: Vec<f64>) -> Interval {
    if resampled.is_empty() {
        return Interval { estimate, low: estimate, high: estimate };
    }
    resampled.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| resampled[(share * (resampled.len() - 1) as f64).round() as usize];
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Interval { estimate, low: at(tail), high: at(1.0 - tail) }
}
