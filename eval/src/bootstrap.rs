//! Paired bootstrap: how far a score, or the difference of two models' scores, would move with other pairs.
//!
//! Pairs are drawn with replacement, the tasks of an average each on its own. Resample r of a task depends only on
//! the seed, the task's name and r: two models see the same resamples, and no thread count changes a bit. ρ of a
//! resample comes from rankings sorted once, so a resample costs one pass over the pairs and no sort.

use rayon::prelude::*;

use crate::correlation::{Deviations, RankedPairs};
use crate::report::averaged;
use crate::{Error, ScoredTask};

/// Settings of a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bootstrap {
    /// How many times pairs are drawn, 1 to 1,000,000.
    pub resamples: usize,
    /// The share of resamples that an interval covers, in (0, 1).
    pub confidence: f64,
    /// Which resamples are drawn: the same seed and task, the same resamples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 10_000, confidence: 0.95, seed: 42 }
    }
}

/// A percentile interval, of a score in points (Spearman's ρ × 100).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The value on the pairs as they are.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The resamples with a defined value; in a few pairs, all drawn scores may be equal.
    pub resamples: usize,
}

impl Interval {
    /// The middle share `confidence` of what resamples gave, those without a value left out; `None` where the estimate
    /// or all of them are not finite.
    pub fn of_resamples(estimate: f64, mut resampled: Vec<f64>, confidence: f64) -> Option<Self> {
        resampled.retain(|value| value.is_finite());
        if !estimate.is_finite() || resampled.is_empty() {
            return None;
        }
        resampled.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        let (low, high) = (quantile(&resampled, tail), quantile(&resampled, 1.0 - tail));
        Some(Self { estimate, low, high, resamples: resampled.len() })
    }
}

/// How much better the second model is than the first.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// Second minus first, in points.
    #[serde(flatten)]
    pub interval: Interval,
    /// Twice the share of resamples on the rarer side of zero, two-sided, at least 2 / (resamples + 1).
    pub p_value: f64,
}

impl Difference {
    /// Whether the interval leaves out zero.
    pub fn is_significant(&self) -> bool {
        self.interval.low > 0.0 || self.interval.high < 0.0
    }
}

/// One model's score, in points, on a task or as a mean over several, and on each resample of the pairs. Two models'
/// are paired: number r of both is of the same resample. So one bootstrap of a model serves all its comparisons.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// On the pairs as they are; NaN where the score is undefined, as in `scores`.
    estimate: f64,
    scores: Vec<f64>,
}

impl Resampled {
    /// A score and its resamples, as a test makes them up.
    #[cfg(test)]
    pub(crate) fn of(estimate: f64, scores: Vec<f64>) -> Self {
        Self { estimate, scores }
    }

    /// On the pairs as they are; NaN where it is undefined.
    pub(crate) fn estimate(&self) -> f64 {
        self.estimate
    }

    /// On each resample; NaN where it is undefined.
    pub(crate) fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The mean over several tasks, resample by resample.
    pub fn mean(tasks: &[&Resampled]) -> Self {
        let mean = |values: f64| values / tasks.len() as f64;
        let mut scores = vec![0.0; tasks.first().map_or(0, |task| task.scores.len())];
        for task in tasks {
            scores.iter_mut().zip(&task.scores).for_each(|(sum, score)| *sum += score);
        }
        scores.iter_mut().for_each(|score| *score = mean(*score));
        Self { estimate: mean(tasks.iter().map(|task| task.estimate).sum()), scores }
    }
}

impl Bootstrap {
    /// The interval of one model's score on a task; `None` if the score is undefined.
    pub fn interval(&self, task: &ScoredTask) -> Result<Option<Interval>, Error> {
        Ok(self.interval_of(&self.resample(task)?))
    }

    /// The interval of a model's average, over the tasks that [`Report::average`](crate::Report::average) goes over.
    pub fn average_interval(&self, tasks: &[ScoredTask]) -> Result<Option<Interval>, Error> {
        Ok(self.interval_of(&self.resample_average(tasks)?))
    }

    /// The difference of two models (second − first) on one task's pairs; `None` if a score is undefined.
    pub fn difference(&self, first: &ScoredTask, second: &ScoredTask) -> Result<Option<Difference>, Error> {
        check_paired(first, second)?;
        Ok(self.difference_of(&self.resample(first)?, &self.resample(second)?))
    }

    /// The difference of two models' averages (second − first).
    pub fn average_difference(
        &self,
        first: &[ScoredTask],
        second: &[ScoredTask],
    ) -> Result<Option<Difference>, Error> {
        check_paired_averages(first, second)?;
        Ok(self.difference_of(&self.resample_average(first)?, &self.resample_average(second)?))
    }

    /// Scores the resamples of a task.
    pub fn resample(&self, task: &ScoredTask) -> Result<Resampled, Error> {
        self.check()?;
        let ranked = RankedPairs::new(&task.gold, &task.cosines);
        let task_seed = mix(self.seed ^ name_hash(&task.name));
        let scratch = || (vec![0; task.gold.len()], Deviations::default());
        let scores = (0..self.resamples as u64)
            .into_par_iter()
            .map_init(scratch, |(counts, deviations), resample| {
                draw(mix(task_seed.wrapping_add(resample)), counts);
                ranked.spearman(counts, deviations).map_or(f64::NAN, |spearman| spearman * 100.0)
            })
            .collect();
        Ok(Resampled { estimate: points(task), scores })
    }

    /// The interval of what was resampled with these settings; `None` if the score is undefined.
    pub fn interval_of(&self, resampled: &Resampled) -> Option<Interval> {
        Interval::of_resamples(resampled.estimate, resampled.scores.clone(), self.confidence)
    }

    /// The difference of two models (second − first) whose pairs are the same; `None` if a score is undefined.
    pub fn difference_of(&self, first: &Resampled, second: &Resampled) -> Option<Difference> {
        let pairs = second.scores.iter().zip(&first.scores);
        let differences: Vec<f64> = pairs.map(|(second, first)| second - first).collect();
        let at_most_zero = differences.iter().filter(|&&difference| difference <= 0.0).count();
        let at_least_zero = differences.iter().filter(|&&difference| difference >= 0.0).count();
        let interval =
            Interval::of_resamples(second.estimate - first.estimate, differences, self.confidence)?;
        // One is added to both, so that no finite number of resamples claims a probability of zero.
        let rarer = (at_most_zero.min(at_least_zero) + 1) as f64 / (interval.resamples + 1) as f64;
        Some(Difference { interval, p_value: (2.0 * rarer).min(1.0) })
    }

    fn resample_average(&self, tasks: &[ScoredTask]) -> Result<Resampled, Error> {
        let resampled: Vec<Resampled> =
            averaged(tasks).map(|task| self.resample(task)).collect::<Result<_, _>>()?;
        Ok(Resampled::mean(&resampled.iter().collect::<Vec<_>>()))
    }

    /// Refuses settings without meaning, and numbers of resamples that would exhaust memory.
    pub fn check(&self) -> Result<(), Error> {
        const MOST: usize = 1_000_000;
        if !(1..=MOST).contains(&self.resamples) {
            let (given, needed) = (self.resamples.to_string(), "between 1 and 1000000");
            return Err(Error::Setting { what: "the number of resamples", given, needed });
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let (given, needed) = (self.confidence.to_string(), "above 0 and below 1");
            return Err(Error::Setting { what: "the confidence", given, needed });
        }
        Ok(())
    }
}

/// ρ × 100, NaN where it is undefined.
fn points(task: &ScoredTask) -> f64 {
    task.spearman().map_or(f64::NAN, |spearman| spearman * 100.0)
}

pub(crate) fn check_paired(first: &ScoredTask, second: &ScoredTask) -> Result<(), Error> {
    if first.name == second.name && first.gold == second.gold {
        return Ok(());
    }
    Err(Error::DifferentPairs { name: first.name.clone() })
}

pub(crate) fn check_paired_averages(first: &[ScoredTask], second: &[ScoredTask]) -> Result<(), Error> {
    let (first, second): (Vec<_>, Vec<_>) = (averaged(first).collect(), averaged(second).collect());
    if first.len() != second.len() {
        return Err(Error::DifferentPairs { name: "the average".to_owned() });
    }
    first.iter().zip(&second).try_for_each(|(first, second)| check_paired(first, second))
}

/// Draws as many indices as there are pairs, with replacement, and counts each.
pub(crate) fn draw(seed: u64, counts: &mut [u32]) {
    counts.fill(0);
    let pairs = counts.len();
    for number in 0..pairs as u64 {
        let random = mix(seed.wrapping_add(number.wrapping_mul(GOLDEN_GAMMA)));
        // The high word of the product is uniform over 0..pairs, to within 2⁻⁶⁴ · pairs.
        counts[((u128::from(random) * pairs as u128) >> 64) as usize] += 1;
    }
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of splitmix64 (Steele, Lea and Flood, 2014), a bijection that scatters every bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(GOLDEN_GAMMA);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// FNV-1a: unlike the standard library's hasher, the same in every version.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The quantile of ascending values, between neighbours by linear interpolation (numpy's default).
fn quantile(ascending: &[f64], share: f64) -> f64 {
    let position = share * (ascending.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(ascending.len() - 1);
    ascending[below] + (ascending[above] - ascending[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let values = [1.0, 2.0, 4.0, 8.0];
        // numpy.quantile([1, 2, 4, 8], [0, 0.1, 0.5, 0.975, 1])
        for (share, expected) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.975, 7.7), (1.0, 8.0)] {
            assert!((quantile(&values, share) - expected).abs() < 1e-12, "{share}");
        }
    }

    #[test]
    fn draws_are_uniform() {
        let mut totals = [0u32; 50];
        let mut counts = vec![0; 50];
        for resample in 0..2000 {
            draw(mix(resample), &mut counts);
            assert_eq!(counts.iter().sum::<u32>(), 50);
            totals.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
        }
        let chi_square: f64 = totals.iter().map(|&total| (f64::from(total) - 2000.0).powi(2) / 2000.0).sum();
        // 49 degrees of freedom: the 0.1 % and 99.9 % quantiles.
        assert!((24.0..85.4).contains(&chi_square), "{chi_square}");
    }

    proptest! {
        /// The one-pass ρ of counts is the ρ of the list that they stand for.
        #[test]
        fn a_resample_from_counts_is_the_resample(
            pairs in prop::collection::vec((0u8..6, 0u8..6, 0u32..4), 2..40),
        ) {
            let x: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0)).collect();
            let y: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
            let counts: Vec<u32> = pairs.iter().map(|pair| pair.2).collect();
            let repeat = |values: &[f64]| -> Vec<f64> {
                let repeated = values.iter().zip(&counts).map(|(&value, &count)| vec![value; count as usize]);
                repeated.flatten().collect()
            };
            let expected = crate::correlation::spearman(&repeat(&x), &repeat(&y));
            let got = RankedPairs::new(&x, &y).spearman(&counts, &mut Deviations::default());
            prop_assert_eq!(got, expected);
        }
    }
}
