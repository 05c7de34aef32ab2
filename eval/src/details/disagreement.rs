//! The pairs that a model places furthest from where people do.

use serde::{Deserialize, Serialize};

use crate::correlation::average_ranks;
use crate::error::excerpt_of;
use crate::{ScoredTask, Task};

/// The most that are kept of a task.
const KEPT: usize = 8;

/// Characters of a sentence that are kept.
const SHOWN: usize = 240;

/// A pair and its two places. Spearman's ρ sees places only, so this is what a model loses points by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongPair {
    /// The start of a sentence, with an ellipsis where it is longer.
    pub first: String,
    /// The pair's second sentence, as [`Self::first`].
    pub second: String,
    /// The pair's gold score, on the data set's scale.
    pub gold: f64,
    /// The cosine of its embeddings.
    pub cosine: f64,
    /// The place among the task's pairs, from 0 (least similar) to 100; equal scores share their mean place.
    pub gold_percentile: f64,
    /// The same of its cosine among the cosines.
    pub cosine_percentile: f64,
}

impl WrongPair {
    /// Positive where the model finds the pair more similar than people do, in percentiles.
    pub fn gap(&self) -> f64 {
        self.cosine_percentile - self.gold_percentile
    }
}

/// The pairs with the largest |gap|, the largest first; among equals, the first of the data set.
pub(super) fn most_wrong(task: &Task, scored: &ScoredTask) -> Vec<WrongPair> {
    let (gold, cosine) = (average_ranks(&scored.gold), average_ranks(&scored.cosines));
    // Ranks are multiples of ½, so that equal gaps are exactly equal.
    let gap = |&index: &usize| (cosine[index] - gold[index]).abs();
    let percentile = |rank: f64| (rank - 0.5) / gold.len() as f64 * 100.0;
    let mut order: Vec<usize> = (0..gold.len()).filter(|index| gap(index) > 0.0).collect();
    order.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    order.truncate(KEPT);

    let mut found: Vec<(usize, WrongPair)> = Vec::with_capacity(order.len());
    for (index, pair) in task.pairs().enumerate() {
        if let Some(place) = order.iter().position(|&wrong| wrong == index) {
            let wrong = WrongPair {
                first: excerpt_of(&pair.first, SHOWN),
                second: excerpt_of(&pair.second, SHOWN),
                gold: pair.gold,
                cosine: scored.cosines[index],
                gold_percentile: percentile(gold[index]),
                cosine_percentile: percentile(cosine[index]),
            };
            found.push((place, wrong));
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, wrong)| wrong).collect()
}
