//! Where the pairs of a task lie: a histogram over gold score and cosine, since thousands of points in a page would
//! be megabytes that hide each other.

/// Cosines of a row; rows go from −1 to 1.
const ROW_HEIGHT: f64 = 0.025;
const ROWS: usize = 80;

/// Columns over the gold scores' range, about.
const COLUMNS: f64 = 20.0;

/// Pairs of a column below which its median means nothing.
const FEWEST_FOR_MEDIAN: usize = 5;

/// Evenly spaced values: `start + index · step`, the centre of column `index`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The value of index 0.
    pub start: f64,
    /// From one value to the next.
    pub step: f64,
}

impl Scale {
    /// The value of an index.
    pub fn value(self, index: usize) -> f64 {
        self.start + index as f64 * self.step
    }
}

/// Pairs counted in cells of [`Self::columns`] gold scores by rows of cosines.
#[derive(Debug, Clone, PartialEq)]
pub struct Density {
    /// The gold score of each column's centre.
    pub gold: Scale,
    /// How many columns there are, 1 to 100.
    pub columns: usize,
    /// [columns, rows], a column after another, each from cosine −1 upward.
    counts: Vec<u32>,
    /// The median cosine of each column, where it holds enough pairs.
    pub medians: Vec<Option<f64>>,
}

impl Default for Density {
    fn default() -> Self {
        Self::new(&[], &[])
    }
}

impl Density {
    /// Counts pairs of finite scores. Gold scores come in steps, most often of 0.2: columns are centred on round
    /// numbers, so that a step is not now in one column and now in two.
    pub fn new(gold: &[f64], cosines: &[f64]) -> Self {
        let pairs = || {
            gold.iter().copied().zip(cosines.iter().copied()).filter(|(g, c)| g.is_finite() && c.is_finite())
        };
        let (low, high) = pairs().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (gold, _)| {
            (low.min(gold), high.max(gold))
        });
        let (scale, columns) = columns_over(low, high);

        let mut counts = vec![0; columns * ROWS];
        let mut by_column = vec![Vec::new(); columns];
        for (gold, cosine) in pairs() {
            // A float that is too large for its integer saturates.
            let column = (((gold - scale.start) / scale.step).round() as usize).min(columns - 1);
            let row = (((cosine + 1.0) / ROW_HEIGHT).floor() as usize).min(ROWS - 1);
            counts[column * ROWS + row] += 1;
            by_column[column].push(cosine);
        }
        Self { gold: scale, columns, counts, medians: by_column.into_iter().map(median).collect() }
    }

    /// The lower end of a row.
    pub fn cosine(row: usize) -> f64 {
        row as f64 * ROW_HEIGHT - 1.0
    }

    /// The cells that hold a pair, with their counts: (column, row, count).
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, u32)> {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(index, &count)| (index / ROWS, index % ROWS, count))
    }
}

/// About twenty columns of a round width, the first and the last of which hold `low` and `high`.
fn columns_over(low: f64, high: f64) -> (Scale, usize) {
    let step = round_step((high - low) / COLUMNS);
    let first = (low / step).round();
    let columns = (high / step).round() - first + 1.0;
    // Of scores that differ in their last bits only, or by more than a float holds, there is one column.
    if !(low < high && step.is_normal() && first.abs() < 1e12 && (1.0..1e3).contains(&columns)) {
        let start = if low.is_finite() { low } else { 0.0 };
        return (Scale { start, step: f64::max(start.abs() * 1e-6, 1e-300) }, 1);
    }
    (Scale { start: first * step, step }, columns as usize)
}

/// The largest of 1, 2 or 5 times a power of ten that is at most `most`.
fn round_step(most: f64) -> f64 {
    let power = 10f64.powi(most.log10().floor() as i32);
    // 0.2 is 2 · 0.1, yet not 0.2/0.1 ≥ 2 in floats.
    [5.0, 2.0, 1.0].into_iter().find(|factor| factor * power <= most * (1.0 + 1e-9)).unwrap_or(1.0) * power
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.len() < FEWEST_FOR_MEDIAN {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_centred_on_round_scores() {
        let scale = |low: f64, high: f64| {
            let (scale, columns) = columns_over(low, high);
            (scale.start, scale.step, columns)
        };
        assert_eq!(scale(0.0, 5.0), (0.0, 0.2, 26));
        assert_eq!(scale(1.0, 5.0), (1.0, 0.2, 21));
        assert_eq!(scale(0.0, 1.0), (0.0, 0.05, 21));
        assert_eq!(scale(3.0, 3.0).2, 1);
    }

    #[test]
    fn cells_and_medians_by_hand() {
        let gold = [0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let density = Density::new(&gold, &[-1.0, 1.0, 0.99, 0.5, 0.51, 0.1]);
        let cells: Vec<_> = density.cells().collect();
        assert_eq!(cells, [(0, 0, 1), (25, 44, 1), (25, 60, 2), (25, 79, 2)]);
        assert_eq!((density.medians[0], density.medians[25]), (None, Some(0.51)));
        assert!((Density::cosine(60) - 0.5).abs() < 1e-12);
    }

    proptest! {
        /// Whatever the scores: every finite pair is counted once, in a cell that holds it, and memory is bounded.
        #[test]
        fn every_pair_is_in_its_cell(
            pairs in prop::collection::vec((prop::num::f64::ANY, -1.0f64..=1.0), 0..60),
            scale in prop::sample::select(vec![1e-3, 1.0, 5.0, 1e9]),
            tame in any::<bool>(),
        ) {
            let gold = |value: f64| if tame { (value.to_bits() % 1001) as f64 / 1000.0 * scale } else { value };
            let (gold, cosines): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(|(g, c)| (gold(g), c)).unzip();
            let density = Density::new(&gold, &cosines);
            prop_assert!(density.columns >= 1 && density.columns <= 100, "{}", density.columns);
            let counted: u32 = density.cells().map(|(_, _, count)| count).sum();
            prop_assert_eq!(counted as usize, gold.iter().filter(|gold| gold.is_finite()).count());
            if tame && density.columns > 1 {
                for (&gold, &cosine) in gold.iter().zip(&cosines) {
                    let holds = density.cells().any(|(column, row, _)| {
                        (gold - density.gold.value(column)).abs() <= density.gold.step * 0.5001
                            && (-1e-9..=ROW_HEIGHT + 1e-9).contains(&(cosine - Density::cosine(row)))
                    });
                    prop_assert!(holds, "{} {}", gold, cosine);
                }
            }
        }
    }
}
