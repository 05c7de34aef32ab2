//! SMART (Jiang et al., *SMART: Robust and Efficient Fine-Tuning for Pre-trained Natural Language
//! Models through Principled Regularized Optimization*, 2020), on the objective's predictions: a
//! smoothness-inducing adversarial term, λ·max over ‖δ‖∞ ≤ ε of the divergence between clean and
//! perturbed predictions, and a Bregman proximal point, μ times the divergence from the
//! predictions of an exponential moving average of earlier weights.

use candle_core::{Result, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::draws::NoiseDistribution;
use super::registry::{BuildContext, InvalidOption, at_least_zero, positive, probability};
use super::{LossTerm, Passes, Prediction, Step, sequences};
use crate::weights::Parameters;

/// SMART's flags.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Weight λ of SMART's adversarial smoothness (SMART's own range is 1 to 10)
    #[arg(long, default_value_t = 1.0, value_name = "λ", help_heading = "SMART (--reg smart)")]
    pub smart_lambda: f64,
    /// Largest entry ε of the adversarial perturbation (our choice: BERT's R3F range; SMART's 1e-5 is
    /// below what f32 embeddings resolve here)
    #[arg(long, default_value_t = 1e-2, value_name = "ε", help_heading = "SMART (--reg smart)")]
    pub smart_eps: f64,
    /// Weight μ of the Bregman proximal point (SMART's value)
    #[arg(long, default_value_t = 1.0, value_name = "μ", help_heading = "SMART (--reg smart)")]
    pub smart_mu: f64,
    /// Decay of the moving average of earlier weights (SMART's value)
    #[arg(long, default_value_t = 0.99, value_name = "β", help_heading = "SMART (--reg smart)")]
    pub smart_decay: f64,
}

/// SMART as `--reg smart` asks for it.
#[derive(Clone)]
pub struct Smart {
    options: Options,
    /// `[total_tokens, hidden]`, the step's adversarial perturbation.
    delta: Option<Tensor>,
    /// What is predicted at the averaged weights, the step's.
    averaged: Option<Prediction>,
    /// The moving average of the weights after each update; the first step's own before any.
    average: Option<Parameters>,
}

const TERM: u64 = 2;

impl Options {
    /// The term.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn resolve(self, _context: &BuildContext) -> std::result::Result<Smart, InvalidOption> {
        at_least_zero("--smart-lambda", self.smart_lambda)?;
        positive("--smart-eps", self.smart_eps)?;
        at_least_zero("--smart-mu", self.smart_mu)?;
        probability("--smart-decay", self.smart_decay)?;
        Ok(Smart { options: self, delta: None, averaged: None, average: None })
    }
}

impl Smart {
    /// The flags that give this term.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// One ascent step from a small normal start, of length ε in the largest entry of a sequence.
    fn adversary(&self, step: &Step, weights: &Parameters) -> Result<Tensor> {
        let hidden = step.encoder.config.dimensions.hidden_size;
        let eps = self.options.smart_eps;
        let start = step.draws.noise(TERM, step.batch, hidden, NoiseDistribution::Normal, eps * 0.1)?;
        let clean = Passes::untracked(step, weights)?.clean()?;
        let mut passes = Passes::tracked(step, weights)?;
        let noisy = passes.noisy(&start)?;
        let divergence = clean.divergence(&noisy)?.sum_all()?;
        let gradient = passes.noise_gradient(&divergence)?;
        let largest = sequences::largest(step.batch, &gradient)?;
        let direction = sequences::scale(step.batch, &gradient, |i| 1.0 / largest[i].max(1e-30))?;
        (start + (direction * eps)?)?.clamp(-eps, eps)
    }
}

impl LossTerm for Smart {
    fn name(&self) -> &'static str {
        "smart"
    }

    fn prepare(&mut self, step: &Step, weights: &Parameters) -> Result<()> {
        if self.average.is_none() {
            self.average = Some(weights.copy()?);
        }
        self.delta = Some(self.adversary(step, weights)?);
        if let Some(average) = &self.average {
            self.averaged = Some(Passes::untracked(step, average)?.clean()?);
        }
        Ok(())
    }

    fn instance_losses(&self, passes: &mut Passes) -> Result<Tensor> {
        let (Some(delta), Some(averaged)) = (&self.delta, &self.averaged) else {
            candle_core::bail!("smart was not prepared")
        };
        let clean = passes.clean()?;
        let noisy = passes.noisy(delta)?;
        let smoothness = (clean.divergence(&noisy)? * self.options.smart_lambda)?;
        let proximal = (clean.divergence(averaged)? * self.options.smart_mu)?;
        smoothness + proximal
    }

    fn after_update(&mut self, weights: &Parameters) -> Result<()> {
        if let Some(average) = &mut self.average {
            let decay = self.options.smart_decay;
            *average = average.scaled(decay)?;
            average.add(weights, 1.0 - decay)?;
        }
        Ok(())
    }

    fn memory(&self) -> Option<&Parameters> {
        self.average.as_ref()
    }

    fn restore(&mut self, memory: Parameters) {
        self.average = Some(memory);
    }
}
