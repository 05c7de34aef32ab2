//! The loss along straight lines through the weights.

use candle_core::Result;
use serde::Serialize;

use super::{Measured, Settings};
use crate::batch::PackedBatch;
use crate::objective::{Contrastive, Loss, Step, mean};
use crate::perturb::Problem;
use crate::perturb::Restriction;
use crate::perturb::delta_sam::{DeltaSam, InstanceWeights};
use crate::perturb::sam::normalised;
use crate::weights::Parameters;

/// Places on either side of the weights at which the loss is taken, up to 2ρ.
const PLACES: usize = 10;

/// Mean loss of one batch at w + t·d for several directions d of length 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// t, from −2ρ to 2ρ.
    pub t: Vec<f64>,
    /// The ascents and a random direction.
    pub lines: Vec<Series>,
}

/// The mean loss along one direction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// As legends call it.
    pub direction: &'static str,
    /// One for each t.
    pub loss: Vec<f64>,
}

/// How many times [`Measured::curve`] calls `done`.
pub const CURVE_PARTS: usize = 3 * 2 * PLACES;

impl Measured<'_> {
    /// The loss of `batch`, as it is in the first training step, along a random direction, SAM's ascent and
    /// δ-SAM's. `done` is called for each place.
    pub fn curve(&self, batch: &PackedBatch, mut done: impl FnMut()) -> Result<Curve> {
        let Settings { rho, beta, temperature, .. } = self.settings;
        let (loss, objective) = (Loss::default(), Contrastive::new(temperature));
        let draws = self.draws(1, 0);
        let step = Step {
            encoder: self.encoder,
            batch,
            pass: self.pass(&draws),
            draws: &draws,
            objective: &objective,
        };
        let problem = Problem { loss: &loss, step: &step };
        let (clean, directions) = {
            let evaluation = problem.evaluate(self.weights)?;
            let delta_sam = DeltaSam { rho, beta, restriction: Restriction::All };
            let a = delta_sam.loss_changes(&problem, self.weights, &evaluation.instance_losses)?;
            let weighted = evaluation.gradient(&InstanceWeights::new(&a, beta).g_prime)?;
            let directions = [
                ("random", normalised(&problem.direction(self.weights)?, 1.0)?),
                ("SAM's ascent", normalised(&evaluation.mean_gradient()?, 1.0)?),
                ("δ-SAM's ascent", normalised(&weighted, 1.0)?),
            ];
            (evaluation.mean_loss(), directions)
        };
        let t: Vec<f64> =
            (0..=2 * PLACES).map(|i| (i as f64 - PLACES as f64) / PLACES as f64 * 2.0 * rho).collect();
        let mut along = |direction: &Parameters| -> Result<Vec<f64>> {
            t.iter()
                .map(|&t| {
                    if t == 0.0 {
                        return Ok(clean);
                    }
                    done();
                    Ok(mean(&problem.instance_losses(&self.weights.plus(direction, t)?)?))
                })
                .collect()
        };
        let lines = directions
            .iter()
            .map(|(name, direction)| Ok(Series { direction: name, loss: along(direction)? }))
            .collect::<Result<_>>()?;
        Ok(Curve { t, lines })
    }
}
