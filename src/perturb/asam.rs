//! ASAM (Kwon et al., *ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of
//! Deep Neural Networks*, 2021), element-wise: with T = |w| + η, ε* = ρ·T²∇l(w)/‖T∇l(w)‖₂.

use std::collections::BTreeMap;

use candle_core::Result;

use super::{AtWeights, Descent, Problem, Restriction, WeightPerturbation, descend_at};
use crate::weights::Parameters;

/// ASAM (Kwon et al., 2021).
pub struct Asam {
    /// The radius of the perturbation, in units of the parameters' own sizes.
    pub rho: f64,
    /// η keeps parameters that are 0 from being stuck there.
    pub eta: f64,
    /// Which parameters are perturbed.
    pub restriction: Restriction,
}

impl Asam {
    /// w + ε*
    fn ascended(&self, weights: &Parameters, gradient: Parameters) -> Result<Parameters> {
        let gradient = self.restriction.apply(gradient)?;
        let scale = weights.map(|w| w.abs()?.affine(1.0, self.eta))?;
        let scaled = gradient.zip(&scale, |g, t| g * t)?;
        let norm = scaled.norm()?;
        let factor = if norm > 0.0 && norm.is_finite() { self.rho / norm } else { 0.0 };
        scaled.zip(&scale, |tg, t| tg * t)?.perturb(factor, weights)
    }
}

impl WeightPerturbation for Asam {
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let gradient = evaluation.mean_gradient()?;
        let norm = gradient.norm()?;
        let at_weights = AtWeights::new(evaluation, norm, BTreeMap::new());
        let perturbed = self.ascended(weights, gradient)?;
        descend_at(problem, &perturbed, at_weights)
    }
}
