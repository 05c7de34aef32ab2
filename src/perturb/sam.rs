//! SAM (Foret et al., *Sharpness-Aware Minimization for Efficiently Improving Generalization*,
//! 2021): ε* = ρ·∇l(w)/‖∇l(w)‖₂ over all perturbed parameters together; the gradient is taken at w + ε*.

use std::collections::BTreeMap;

use candle_core::Result;

use super::{AtWeights, Descent, Problem, Restriction, WeightPerturbation, descend_at};
use crate::encoder::Parameters;

pub struct Sam {
    /// ρ, at least 0. At 0 the step is the plain one, bit for bit.
    pub rho: f64,
    pub restriction: Restriction,
}

/// ρ·direction/‖direction‖₂; no perturbation where the direction is 0 or not finite.
pub fn normalised(direction: &Parameters, rho: f64) -> Result<Parameters> {
    let norm = direction.norm()?;
    direction.scaled(if norm > 0.0 && norm.is_finite() { rho / norm } else { 0.0 })
}

impl WeightPerturbation for Sam {
    fn name(&self) -> &'static str {
        "sam"
    }

    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let gradient = evaluation.mean_gradient()?;
        let norm = gradient.norm()?;
        let at_weights = AtWeights::new(evaluation, norm, BTreeMap::new());
        let epsilon = normalised(&self.restriction.apply(gradient)?, self.rho)?;
        descend_at(problem, weights, epsilon, at_weights)
    }
}
