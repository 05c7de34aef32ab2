//! FreeLB (Zhu et al., *FreeLB: Enhanced Adversarial Training for Natural Language Understanding*,
//! 2020): K adversarial perturbations of the word embeddings, found by gradient ascent from a small
//! random start. The term adds the mean of the K perturbed losses. Found once a step at w, then held
//! fixed, so that a weight perturbation compares like with like.

use candle_core::{Result, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::draws::NoiseDistribution;
use super::registry::{BuildContext, InvalidOption, at_least_zero, positive};
use super::{LossTerm, Passes, Step, sequences};
use crate::batch::PackedBatch;
use crate::weights::Parameters;

/// FreeLB's flags.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Weight of FreeLB's adversarial loss, added to the clean one (our choice)
    #[arg(long, default_value_t = 1.0, value_name = "λ", help_heading = "FreeLB (--reg freelb)")]
    pub freelb_lambda: f64,
    /// Number K of adversarial embeddings (our choice, within FreeLB's own 2 to 5)
    #[arg(long, default_value_t = 2, value_name = "K", help_heading = "FreeLB (--reg freelb)")]
    pub freelb_steps: usize,
    /// Length of an ascent step, for each sequence (our choice)
    #[arg(long, default_value_t = 0.1, value_name = "α", help_heading = "FreeLB (--reg freelb)")]
    pub freelb_step_size: f64,
    /// Range of the random start, divided by the root of a sequence's values (our choice)
    #[arg(long, default_value_t = 0.05, value_name = "ε", help_heading = "FreeLB (--reg freelb)")]
    pub freelb_init: f64,
    /// Largest length of a sequence's perturbation (our choice)
    #[arg(long, default_value_t = 0.3, value_name = "ε", help_heading = "FreeLB (--reg freelb)")]
    pub freelb_max_norm: f64,
}

/// FreeLB as `--reg freelb` asks for it.
#[derive(Clone)]
pub struct FreeLb {
    options: Options,
    /// K tensors `[total_tokens, hidden]`, the step's.
    perturbations: Vec<Tensor>,
}

const TERM: u64 = 1;

impl Options {
    /// The term.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn resolve(self, _context: &BuildContext) -> std::result::Result<FreeLb, InvalidOption> {
        at_least_zero("--freelb-lambda", self.freelb_lambda)?;
        positive("--freelb-steps", self.freelb_steps as f64)?;
        positive("--freelb-step-size", self.freelb_step_size)?;
        at_least_zero("--freelb-init", self.freelb_init)?;
        positive("--freelb-max-norm", self.freelb_max_norm)?;
        Ok(FreeLb { options: self, perturbations: Vec::new() })
    }
}

impl FreeLb {
    /// The flags that give this term.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// δ + α·g/‖g‖ for each sequence, drawn back to the ball of the largest norm.
    fn ascend(&self, batch: &PackedBatch, delta: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let norms = sequences::norms(batch, gradient)?;
        let step =
            sequences::scale(batch, gradient, |i| self.options.freelb_step_size / norms[i].max(1e-30))?;
        let moved = (delta + step)?;
        let (norms, most) = (sequences::norms(batch, &moved)?, self.options.freelb_max_norm);
        sequences::scale(batch, &moved, |i| if norms[i] > most { most / norms[i] } else { 1.0 })
    }
}

impl LossTerm for FreeLb {
    fn name(&self) -> &'static str {
        "freelb"
    }

    fn prepare(&mut self, step: &Step, weights: &Parameters) -> Result<()> {
        let hidden = step.encoder.config.dimensions.hidden_size;
        let start = step.draws.noise(
            TERM,
            step.batch,
            hidden,
            NoiseDistribution::Uniform,
            self.options.freelb_init,
        )?;
        // A sequence of L tokens has L·hidden values: FreeLB's 1/√(L·h), so that length does not matter.
        let mut delta =
            sequences::scale(step.batch, &start, |i| 1.0 / ((step.batch.seqlen(i) * hidden) as f64).sqrt())?;
        self.perturbations.clear();
        for k in 0..self.options.freelb_steps {
            self.perturbations.push(delta.clone());
            if k + 1 < self.options.freelb_steps {
                let mut passes = Passes::tracked(step, weights)?;
                let loss = passes.noisy(&delta)?.losses()?.sum_all()?;
                delta = self.ascend(step.batch, &delta, &passes.noise_gradient(&loss)?)?;
            }
        }
        Ok(())
    }

    fn instance_losses(&self, passes: &mut Passes) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for delta in &self.perturbations {
            let losses = passes.noisy(delta)?.losses()?;
            sum = Some(match sum {
                Some(sum) => (sum + losses)?,
                None => losses,
            });
        }
        match sum {
            Some(sum) => sum * (self.options.freelb_lambda / self.perturbations.len() as f64),
            None => candle_core::bail!("freelb was not prepared"),
        }
    }
}
