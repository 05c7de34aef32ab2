//! No perturbation: the gradient of the mean loss at w.

use std::collections::BTreeMap;

use candle_core::Result;

use super::{Descent, Problem, WeightPerturbation};
use crate::weights::Parameters;

/// No perturbation: the gradient at the weights themselves.
pub struct Plain;

impl WeightPerturbation for Plain {
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent> {
        let evaluation = problem.evaluate(weights)?;
        let gradient = evaluation.mean_gradient()?;
        Ok(Descent {
            gradient_norm: gradient.norm()?,
            descent_loss: evaluation.mean_loss(),
            instance_losses: evaluation.instance_losses,
            terms: evaluation.terms,
            readings: BTreeMap::new(),
            gradient,
        })
    }
}
