//! Distributions as rows of log-probabilities.

use candle_core::{D, Result, Tensor};

/// `[rows, outcomes]` logits to log-probabilities, shifted by each row's largest logit (a constant to the gradient).
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&log_sum)
}

/// `[rows]`: KL(P‖Q) + KL(Q‖P) of the distributions of each row, `[rows, outcomes]` log-probabilities. Gradients flow
/// through both.
pub fn symmetric_divergences(log_p: &Tensor, log_q: &Tensor) -> Result<Tensor> {
    // KL(P‖Q) + KL(Q‖P) = Σ (P − Q)(log P − log Q)
    ((log_p.exp()? - log_q.exp()?)? * (log_p - log_q)?)?.sum(D::Minus1)
}
