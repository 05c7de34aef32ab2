//! SAM (Foret et al., *Sharpness-Aware Minimization for Efficiently Improving Generalization*,
//! 2021): ε* = ρ·∇l(w)/‖∇l(w)‖₂ over all perturbed parameters together; the gradient is taken at w + ε*.

use std::collections::BTreeMap;

use candle_core::Result;

use super::{AtWeights, Descent, Problem, Restriction, WeightPerturbation, descend_at};
use crate::weights::Parameters;

/// SAM (Foret et al., 2021).
pub struct Sam {
    /// ρ, at least 0. At 0 the step is the plain one, bit for bit.
    pub rho: f64,
    /// Which parameters are perturbed.
    pub restriction: Restriction,
}

/// ρ·direction/‖direction‖₂; no perturbation where the direction is 0 or not finite.
pub fn normalised(direction: &Parameters, rho: f64) -> Result<Parameters> {
    direction.scaled(scale(direction, rho)?)
}

/// w + ρ·direction/‖direction‖₂, in the direction's buffers.
pub fn ascended(weights: &Parameters, direction: Parameters, rho: f64) -> Result<Parameters> {
    let scale = scale(&direction, rho)?;
    direction.perturb(scale, weights)
}

fn scale(direction: &Parameters, rho: f64) -> Result<f64> {
    let norm = direction.norm()?;
    Ok(if norm > 0.0 && norm.is_finite() { rho / norm } else { 0.0 })
}

impl WeightPerturbation for Sam {
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let gradient = evaluation.mean_gradient()?;
        let norm = gradient.norm()?;
        let at_weights = AtWeights::new(evaluation, norm, BTreeMap::new());
        let perturbed = ascended(weights, self.restriction.apply(gradient)?, self.rho)?;
        descend_at(problem, &perturbed, at_weights)
    }
}
