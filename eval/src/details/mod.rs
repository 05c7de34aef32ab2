//! What a full report holds on a task beyond its score: where pairs lie, how the embeddings are spread, which pairs
//! are most wrong.

mod density;
mod disagreement;
mod positives;
mod similarity;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use density::{Density, Scale};
pub use disagreement::WrongPair;
pub use positives::positive_above;
pub use similarity::{Correlations, Similarities};

use crate::geometry::{alignment, uniformity};
use crate::{Embeddings, Encode, Error, Progress, ScoredTask, Task, score_task, task};

/// One model on one task, beyond the score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// Pearson's r × 100.
    pub pearson: Option<f64>,
    /// Mean squared distance of the positive pairs' normalised embeddings, in [0, 4]: lower is closer. `None` where
    /// no pair is positive.
    pub alignment: Option<f64>,
    /// The pairs that alignment goes over: those with a high gold score, see [`positive_above`].
    pub positive_pairs: usize,
    /// ln of the mean Gaussian potential of all pairs of distinct sentences, in [−8, 0]: lower is more even. `None`
    /// where there are fewer than two sentences.
    pub uniformity: Option<f64>,
    /// The sentences that uniformity goes over, before it takes 20,000 of more.
    pub distinct_sentences: usize,
    /// The pairs whose place by cosine is furthest from their place by gold score, the furthest first.
    pub most_wrong: Vec<WrongPair>,
    /// Where the pairs lie, by gold score and cosine.
    #[serde(skip)]
    pub density: Density,
    /// Correlations by other measures than the cosine, which MTEB's results have.
    #[serde(skip)]
    pub similarities: Similarities,
}

impl TaskDetails {
    /// Looks at a task that was scored with these embeddings.
    pub fn new(task: &Task, scored: &ScoredTask, embeddings: &Embeddings<'_>) -> Result<Self, Error> {
        let [first, second] = positives::positive_units(task, embeddings)?;
        let (distinct_sentences, sentences) = positives::distinct_units(task, embeddings)?;
        Ok(Self {
            pearson: scored.pearson().map(|pearson| pearson * 100.0),
            alignment: alignment(&first, &second),
            positive_pairs: first.nrows(),
            uniformity: uniformity(&sentences),
            distinct_sentences,
            most_wrong: disagreement::most_wrong(task, scored),
            density: Density::new(&scored.gold, &scored.cosines),
            similarities: Similarities::new(task, &scored.gold, embeddings)?,
        })
    }
}

/// One model's scores on all tasks, and what a full report holds beyond them.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// The scores, a task each.
    pub scored: Vec<ScoredTask>,
    /// In the order of `scored`.
    pub details: Vec<TaskDetails>,
    /// The width of the embeddings.
    pub width: usize,
}

/// [`evaluate`](crate::evaluate), with a look at every task. Only what reports need is kept: neither embeddings nor
/// sentences, but for the most wrong pairs'.
pub fn examine<E: Encode + ?Sized>(
    tasks: &[Task],
    encoder: &E,
    block_size: usize,
    progress: impl FnMut(Progress),
) -> Result<Examined, Error> {
    task::check_names(tasks)?;
    let embeddings = Embeddings::encode(tasks, encoder, block_size, progress)?;
    let scored: Vec<ScoredTask> =
        tasks.par_iter().map(|task| score_task(task, &embeddings)).collect::<Result<_, _>>()?;
    // One task after another, each on all threads: a task's normalised embeddings are a copy.
    let details = tasks.iter().zip(&scored).map(|(task, scored)| TaskDetails::new(task, scored, &embeddings));
    Ok(Examined { details: details.collect::<Result<_, _>>()?, scored, width: embeddings.rows().ncols() })
}
