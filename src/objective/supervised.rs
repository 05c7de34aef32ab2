//! Learning from labels: the class or the value of each sequence, read off a head on the encoder.

use candle_core::{Result, Tensor};

use super::{Leaf, Objective, Prediction, head, log_probabilities};
use crate::batch::PackedBatch;
use crate::model::Head;

/// Cross entropy with the class of each sequence.
#[derive(Clone, Debug)]
pub struct Classification {
    /// With an output for each class.
    pub head: Head,
    /// The class of each sequence of the batch, counted from 0.
    pub classes: Vec<usize>,
}

/// The squared distance to the value of each sequence.
#[derive(Clone, Debug)]
pub struct Regression {
    /// With one output.
    pub head: Head,
    /// The value of each sequence of the batch.
    pub values: Vec<f64>,
}

impl Objective for Classification {
    fn instances(&self, batch: &PackedBatch) -> usize {
        batch.len()
    }

    fn predict(&self, leaf: &Leaf) -> Result<Prediction> {
        one_each(&self.classes, leaf)?;
        if let Some(class) = self.classes.iter().find(|&&class| class >= self.head.outputs()) {
            candle_core::bail!("class {class} of a head of {} classes", self.head.outputs());
        }
        let log_probabilities = log_probabilities::log_softmax(&head::forward(&self.head, leaf)?)?;
        let classes: Vec<u32> = self.classes.iter().map(|&class| class as u32).collect();
        let classes = Tensor::from_vec(classes, (self.classes.len(), 1), leaf.embeddings.device())?;
        Ok(Prediction::Classes(Classes { log_probabilities, classes }))
    }
}

impl Objective for Regression {
    fn instances(&self, batch: &PackedBatch) -> usize {
        batch.len()
    }

    fn predict(&self, leaf: &Leaf) -> Result<Prediction> {
        one_each(&self.values, leaf)?;
        if self.head.outputs() != 1 {
            candle_core::bail!("a value is one output, not {}", self.head.outputs());
        }
        let values = head::forward(&self.head, leaf)?.squeeze(1)?;
        let expected = Tensor::from_slice(&self.values, self.values.len(), leaf.embeddings.device())?;
        Ok(Prediction::Values(Values { values, expected }))
    }
}

fn one_each<L>(labels: &[L], leaf: &Leaf) -> Result<()> {
    if labels.len() != leaf.batch.len() {
        candle_core::bail!("{} labels for {} sequences", labels.len(), leaf.batch.len());
    }
    Ok(())
}

/// A distribution over classes for each sequence, and the class that is right.
#[derive(Clone)]
pub struct Classes {
    /// `[N, classes]`
    log_probabilities: Tensor,
    /// `[N, 1]`
    classes: Tensor,
}

impl Classes {
    /// `[N]`: −log of the right class's probability.
    pub fn losses(&self) -> Result<Tensor> {
        self.log_probabilities.gather(&self.classes, 1)?.squeeze(1)?.neg()
    }

    /// `[N]`: KL(P‖Q) + KL(Q‖P).
    pub fn divergence(&self, other: &Classes) -> Result<Tensor> {
        log_probabilities::symmetric_divergences(&self.log_probabilities, &other.log_probabilities)
    }
}

/// A value for each sequence, and the one that is right.
#[derive(Clone)]
pub struct Values {
    /// `[N]`
    values: Tensor,
    /// `[N]`
    expected: Tensor,
}

impl Values {
    /// `[N]`: the squared distance to the right value.
    pub fn losses(&self) -> Result<Tensor> {
        (&self.values - &self.expected)?.sqr()
    }

    /// `[N]`: the squared difference.
    pub fn divergence(&self, other: &Values) -> Result<Tensor> {
        (&self.values - &other.values)?.sqr()
    }
}
