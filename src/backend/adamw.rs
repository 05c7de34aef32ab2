//! What an update by AdamW is made of, for every backend.

use candle_core::Tensor;

/// Hyperparameters of AdamW; the defaults are the original's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// The length of a step, before the moments scale it.
    pub learning_rate: f64,
    /// Decoupled. Applied to all parameters, biases and LayerNorm included, as the original does.
    pub weight_decay: f64,
    /// β₁, the factor of the first moment.
    pub beta1: f64,
    /// β₂, the factor of the second moment.
    pub beta2: f64,
    /// What is added to the second moment's root.
    pub eps: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig { learning_rate: 2e-5, weight_decay: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// One group's weights with their gradient and moments.
pub struct Update<'a> {
    pub weights: &'a mut Tensor,
    pub gradient: &'a Tensor,
    /// First moments.
    pub m: &'a mut Tensor,
    /// Second moments.
    pub v: &'a mut Tensor,
}
