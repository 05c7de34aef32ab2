//! Per-instance SAM (Eq. 2 of the paper), the exact thing that δ-SAM approximates: each instance
//! has an ascent of its own, ε_j = ρ·∇l_j(w)/‖∇l_j(w)‖₂, and the gradient is the mean of
//! ∇l_j(w + ε_j). 2N backward and N forward passes a step: for small batches and for measuring.

use std::collections::BTreeMap;

use candle_core::Result;

use super::sam::ascended;
use super::{Descent, Problem, Restriction, WeightPerturbation};
use crate::weights::Parameters;

/// Each instance's own ascent (Eq. 2 of the paper): a forward and a backward pass for every instance.
pub struct PerInstance {
    /// The radius of each perturbation.
    pub rho: f64,
    /// Which parameters are perturbed.
    pub restriction: Restriction,
}

impl WeightPerturbation for PerInstance {
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let n = evaluation.instance_losses.len();
        let mut at_weights = weights.zeros_like()?;
        let mut gradient = weights.zeros_like()?;
        let mut descent_loss = 0.0;
        for j in 0..n {
            let mut only = vec![0.0; n];
            only[j] = 1.0;
            let own = evaluation.gradient(&only)?;
            at_weights.add(&own, 1.0 / n as f64)?;
            let perturbed = ascended(weights, self.restriction.apply(own)?, self.rho)?;
            let there = problem.evaluate(&perturbed)?;
            descent_loss += there.instance_losses[j] / n as f64;
            gradient.add(&there.gradient(&only)?, 1.0 / n as f64)?;
        }
        let excess = descent_loss - evaluation.mean_loss();
        Ok(Descent {
            gradient,
            gradient_norm: at_weights.norm()?,
            descent_loss,
            instance_losses: evaluation.instance_losses,
            terms: evaluation.terms,
            readings: BTreeMap::from([("instance_sharpness", excess)]),
        })
    }
}
