//! Where a step's gradient is taken: at the weights themselves, or at weights perturbed towards
//! sharper loss (SAM and its kin). The perturbed weights are a second parameter set, never the
//! model's own, so no fault leaves a half-perturbed model behind.

use std::collections::BTreeMap;

use candle_core::Result;

use crate::objective::{Evaluation, Loss, Step};
use crate::weights::Parameters;

pub mod asam;
pub mod delta_sam;
pub mod per_instance;
pub mod plain;
pub mod registry;
pub mod restriction;
pub mod sam;

pub use restriction::Restriction;

/// One step's losses as a function of the weights: batch, masks, noise and direction are fixed.
pub struct Problem<'a> {
    /// What is minimised.
    pub loss: &'a Loss,
    /// For which objective, on which batch, under which masks.
    pub step: &'a Step<'a>,
}

impl Problem<'_> {
    /// Losses at `weights` with the way back.
    pub fn evaluate<'a>(&'a self, weights: &'a Parameters) -> Result<Evaluation<'a>> {
        self.loss.evaluate(self.step, weights)
    }

    /// Losses at `weights` alone, one for each instance.
    pub fn instance_losses(&self, weights: &Parameters) -> Result<Vec<f64>> {
        self.loss.instance_losses(self.step, weights)
    }

    /// The step's random direction ε̂ in the form of `like`.
    pub fn direction(&self, like: &Parameters) -> Result<Parameters> {
        self.step.draws.direction(like)
    }
}

/// What a step found: the gradient to descend along, and what to report.
pub struct Descent {
    /// Applied at w by the optimizer.
    pub gradient: Parameters,
    /// Loss of each instance at w.
    pub instance_losses: Vec<f64>,
    /// Mean of what each loss term added at w.
    pub terms: Vec<(&'static str, f64)>,
    /// Mean loss where the gradient was taken.
    pub descent_loss: f64,
    /// Norm of the gradient at w of the mean (for δ-SAM, weighted) loss.
    pub gradient_norm: f64,
    /// Method's own readings, for metrics.jsonl.
    pub readings: BTreeMap<&'static str, f64>,
}

/// A way to choose where the gradient is taken. See ARCHITECTURE.md, "A new regularizer".
pub trait WeightPerturbation: Send {
    /// The gradient to apply at `weights`.
    fn descend(&self, problem: &Problem, weights: &Parameters) -> Result<Descent>;
}

/// The gradient of the mean loss at `perturbed`, with what was found at the weights themselves.
fn descend_at(problem: &Problem, perturbed: &Parameters, at_weights: AtWeights) -> Result<Descent> {
    let evaluation = problem.evaluate(perturbed)?;
    Ok(Descent {
        gradient: evaluation.mean_gradient()?,
        descent_loss: evaluation.mean_loss(),
        instance_losses: at_weights.instance_losses,
        terms: at_weights.terms,
        gradient_norm: at_weights.gradient_norm,
        readings: at_weights.readings,
    })
}

/// What the evaluation at w leaves for the report.
struct AtWeights {
    instance_losses: Vec<f64>,
    terms: Vec<(&'static str, f64)>,
    gradient_norm: f64,
    readings: BTreeMap<&'static str, f64>,
}

impl AtWeights {
    fn new(evaluation: Evaluation, gradient_norm: f64, readings: BTreeMap<&'static str, f64>) -> Self {
        AtWeights {
            instance_losses: evaluation.instance_losses,
            terms: evaluation.terms,
            gradient_norm,
            readings,
        }
    }
}
