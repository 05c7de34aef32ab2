//! Rank correlation: Spearman's with average ranks for ties, and Pearson's.

/// The average rank, from 1, of each value: equal values share the mean of the ranks that they take up.
/// A NaN equals nothing and ranks last.
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let ranking = Ranking::new(values);
    ranking.deviations(&vec![1; values.len()], &mut ranks);
    let mean = (values.len() as f64 + 1.0) / 2.0;
    ranks.iter_mut().for_each(|rank| *rank += mean);
    ranks
}

/// Spearman's ρ in [−1, 1]: Pearson's correlation of the average ranks, as scipy's `spearmanr`.
///
/// `None` where it is undefined: fewer than two pairs, all values of one side equal, or a value that is not finite.
///
/// # Panics
/// If the lengths differ.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "correlation of sequences of different lengths");
    if !x.iter().chain(y).all(|value| value.is_finite()) {
        return None;
    }
    let counts = vec![1; x.len()];
    RankedPairs::new(x, y).spearman(&counts, &mut Deviations::default())
}

/// Pearson's r in [−1, 1]; `None` where it is undefined, as in [`spearman`].
///
/// # Panics
/// If the lengths differ.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "correlation of sequences of different lengths");
    // Rounding of the mean can leave a constant sequence with a variance that is not exactly zero.
    let constant = |values: &[f64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if x.len() < 2 || constant(x) || constant(y) {
        return None;
    }
    let centred = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect::<Vec<_>>()
    };
    let (x, y) = (centred(x), centred(y));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Two roots, not the root of the product, which overflows for large values.
    coefficient(dot(&x, &y), dot(&x, &x).sqrt() * dot(&y, &y).sqrt())
}

/// covariance / norm, `None` unless it is a number.
fn coefficient(covariance: f64, norm: f64) -> Option<f64> {
    let coefficient = covariance / norm;
    coefficient.is_finite().then_some(coefficient.clamp(-1.0, 1.0))
}

/// The rankings of both sides of a list of pairs, from which the ρ of any resample follows in one pass.
pub(crate) struct RankedPairs {
    x: Ranking,
    y: Ranking,
}

/// Scratch of [`RankedPairs::spearman`], to be kept between calls.
#[derive(Default)]
pub(crate) struct Deviations {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl RankedPairs {
    pub fn new(x: &[f64], y: &[f64]) -> Self {
        Self { x: Ranking::new(x), y: Ranking::new(y) }
    }

    /// Spearman's ρ of the list in which pair i occurs `counts[i]` times.
    ///
    /// Deviations are multiples of ½, so up to some 200,000 pairs every sum is exact and ρ has the same bits
    /// whatever the order of the pairs.
    pub fn spearman(&self, counts: &[u32], scratch: &mut Deviations) -> Option<f64> {
        scratch.x.resize(counts.len(), 0.0);
        scratch.y.resize(counts.len(), 0.0);
        self.x.deviations(counts, &mut scratch.x);
        self.y.deviations(counts, &mut scratch.y);
        let (mut covariance, mut x_variance, mut y_variance) = (0.0, 0.0, 0.0);
        for ((&count, &x), &y) in counts.iter().zip(&scratch.x).zip(&scratch.y) {
            let count = f64::from(count);
            covariance += count * x * y;
            x_variance += count * x * x;
            y_variance += count * y * y;
        }
        coefficient(covariance, (x_variance * y_variance).sqrt())
    }
}

/// Values in ascending order and where runs of equal ones end.
struct Ranking {
    order: Vec<usize>,
    tie_ends: Vec<usize>,
}

impl Ranking {
    fn new(values: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
        let last_of_run = |&end: &usize| end == order.len() || values[order[end - 1]] != values[order[end]];
        let tie_ends = (1..=order.len()).filter(last_of_run).collect();
        Self { order, tie_ends }
    }

    /// Writes average rank − mean rank of each value, in the list in which value i occurs `counts[i]` times.
    fn deviations(&self, counts: &[u32], deviations: &mut [f64]) {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let mean = (total as f64 + 1.0) / 2.0;
        let (mut start, mut below) = (0, 0u64);
        for &end in &self.tie_ends {
            let run = &self.order[start..end];
            let size: u64 = run.iter().map(|&index| u64::from(counts[index])).sum();
            let rank = below as f64 + (size as f64 + 1.0) / 2.0;
            for &index in run {
                deviations[index] = rank - mean;
            }
            (start, below) = (end, below + size);
        }
    }
}
