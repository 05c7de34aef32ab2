//! What an objective makes of a pass, as far as losses and loss terms know it.

use candle_core::{Result, Tensor};

use super::Distributions;
use super::masked::Words;
use super::supervised::{Classes, Values};

/// A prediction for each of a batch's N instances.
#[derive(Clone)]
pub enum Prediction {
    /// Which of the batch's other embeddings belongs to each.
    Others(Distributions),
    /// Which class an instance has.
    Classes(Classes),
    /// Which value an instance has.
    Values(Values),
    /// Which words an instance has where it is masked.
    Words(Words),
}

impl Prediction {
    /// `[N]`: the loss of each instance.
    pub fn losses(&self) -> Result<Tensor> {
        match self {
            Prediction::Others(distributions) => distributions.losses(),
            Prediction::Classes(classes) => classes.losses(),
            Prediction::Values(values) => values.losses(),
            Prediction::Words(words) => words.losses(),
        }
    }

    /// `[N]`: how far two predictions of the same instances are apart. Of distributions this is KL(P‖Q) + KL(Q‖P), of
    /// values the squared difference. Gradients flow through both.
    ///
    /// # Errors
    /// Predictions of different objectives.
    pub fn divergence(&self, other: &Prediction) -> Result<Tensor> {
        match (self, other) {
            (Prediction::Others(p), Prediction::Others(q)) => p.divergence(q),
            (Prediction::Classes(p), Prediction::Classes(q)) => p.divergence(q),
            (Prediction::Values(p), Prediction::Values(q)) => p.divergence(q),
            (Prediction::Words(p), Prediction::Words(q)) => p.divergence(q),
            _ => candle_core::bail!("predictions of different objectives cannot be compared"),
        }
    }
}
