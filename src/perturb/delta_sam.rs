//! δ-SAM (Eq. 3–6 of the paper): SAM whose ascent weighs each instance of the batch by how
//! unguarded it is, that is, by how much its loss changes along one random direction.
//!
//! The tracked forward pass at w gives both the clean losses for a_j and the graph of the ascent,
//! so that δ-SAM costs SAM and one untracked forward pass; with an encoder that rounds two, in f32.

use std::collections::BTreeMap;

use candle_core::Result;

use super::sam::ascended;
use super::{AtWeights, Descent, Problem, Restriction, WeightPerturbation, descend_at};
use crate::objective::{Step, mean};
use crate::weights::Parameters;

/// δ-SAM: SAM along the gradient of a loss in which unguarded instances weigh more.
pub struct DeltaSam {
    /// ρ, of the random direction and of the ascent alike.
    pub rho: f64,
    /// β: how far weights depart from 1/N. At 0 the step is SAM's, bit for bit.
    pub beta: f64,
    /// Which parameters are perturbed.
    pub restriction: Restriction,
}

/// Weights of the instances in the ascent, with what they were made of.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceWeights {
    /// Unguardedness g_j = |a_j| / Σ|a_i|.
    pub g: Vec<f64>,
    /// g'_j = (g_j − 1/N)·r + 1/N, which add up to 1 and may be negative where r > 1.
    pub g_prime: Vec<f64>,
    /// ā, the mean of a.
    pub a_mean: f64,
    /// a_s = Σ g_i a_i.
    pub a_s: f64,
    /// r = β|ā|/|a_s|; 0 where weights fell back to uniform ones.
    pub r: f64,
}

impl InstanceWeights {
    /// From a_j = l_j(w + ρε̂/‖ε̂‖) − l_j(w). Where all a are 0, or a_s is 0, or r is not finite,
    /// weights are uniform.
    pub fn new(a: &[f64], beta: f64) -> Self {
        let n = a.len() as f64;
        let total: f64 = a.iter().map(|a| a.abs()).sum();
        let g: Vec<f64> = a.iter().map(|a| if total > 0.0 { a.abs() / total } else { 1.0 / n }).collect();
        let a_mean = mean(a);
        let a_s: f64 = g.iter().zip(a).map(|(g, a)| g * a).sum();
        let r = beta * a_mean.abs() / a_s.abs();
        if !r.is_finite() {
            let g_prime = vec![1.0 / n; a.len()];
            return InstanceWeights { g, g_prime, a_mean, a_s, r: 0.0 };
        }
        let g_prime = g.iter().map(|g| (g - 1.0 / n) * r + 1.0 / n).collect();
        InstanceWeights { g, g_prime, a_mean, a_s, r }
    }

    /// Readings for metrics.jsonl.
    pub fn readings(&self) -> BTreeMap<&'static str, f64> {
        let n = self.g_prime.len() as f64;
        let negative = self.g_prime.iter().filter(|&&g| g < 0.0).count() as f64;
        BTreeMap::from([
            ("a_mean", self.a_mean),
            ("a_s", self.a_s),
            ("r", self.r),
            ("effective_instances", 1.0 / self.g_prime.iter().map(|g| g * g).sum::<f64>()),
            ("g_min", self.g_prime.iter().copied().fold(f64::INFINITY, f64::min)),
            ("g_max", self.g_prime.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ("g_negative_share", negative / n),
        ])
    }
}

impl DeltaSam {
    /// a_j: by how much each instance's loss changes along the step's random direction, from the losses `clean` at
    /// `weights`. An encoder that rounds does not resolve it: both losses are then computed anew, without rounding.
    pub fn loss_changes(&self, problem: &Problem, weights: &Parameters, clean: &[f64]) -> Result<Vec<f64>> {
        let Some(encoder) = &problem.step.encoder.unrounded() else {
            return self.changes_from(problem, weights, clean);
        };
        let problem = Problem { step: &Step { encoder, ..*problem.step }, ..*problem };
        let clean = problem.instance_losses(weights)?;
        self.changes_from(&problem, weights, &clean)
    }

    fn changes_from(&self, problem: &Problem, weights: &Parameters, clean: &[f64]) -> Result<Vec<f64>> {
        let direction = self.restriction.apply(problem.direction(weights)?)?;
        let norm = direction.norm()?;
        let perturbed = weights.plus(&direction, if norm > 0.0 { self.rho / norm } else { 0.0 })?;
        drop(direction);
        let losses = problem.instance_losses(&perturbed)?;
        Ok(losses.iter().zip(clean).map(|(perturbed, clean)| perturbed - clean).collect())
    }
}

impl WeightPerturbation for DeltaSam {
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let a = self.loss_changes(problem, weights, &evaluation.instance_losses)?;
        let instance_weights = InstanceWeights::new(&a, self.beta);
        let gradient = evaluation.gradient(&instance_weights.g_prime)?;
        let norm = gradient.norm()?;
        let at_weights = AtWeights::new(evaluation, norm, instance_weights.readings());
        let perturbed = ascended(weights, self.restriction.apply(gradient)?, self.rho)?;
        descend_at(problem, &perturbed, at_weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_add_up_to_one(a in prop::collection::vec(-1.0f64..1.0, 2..200), beta in 0.0f64..70.0) {
            let w = InstanceWeights::new(&a, beta);
            let sum: f64 = w.g_prime.iter().sum();
            let rounding = a.len() as f64 * f64::EPSILON * w.r.max(1.0);
            prop_assert!((sum - 1.0).abs() <= rounding, "{sum} with r {}", w.r);
        }

        #[test]
        fn beta_zero_gives_exactly_uniform_weights(a in prop::collection::vec(-1.0f64..1.0, 2..50)) {
            let uniform = 1.0 / a.len() as f64;
            prop_assert!(InstanceWeights::new(&a, 0.0).g_prime.iter().all(|&g| g == uniform));
        }
    }

    #[test]
    fn degenerate_differences_give_uniform_weights() {
        // All 0; a_s = 0 by cancellation; a loss that is not a number or overflowed (ā shows it, and the trainer stops).
        for a in [
            vec![0.0; 4],
            vec![0.5, -0.5, 0.25, -0.25],
            vec![f64::NAN, 1.0, 2.0, 3.0],
            vec![f64::INFINITY; 4],
        ] {
            let weights = InstanceWeights::new(&a, 3.0);
            assert_eq!((weights.g_prime, weights.r), (vec![0.25; 4], 0.0));
        }
    }
}
