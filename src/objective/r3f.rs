//! R3F (Aghajanyan et al., *Better Fine-Tuning by Reducing Representational Collapse*, 2021), on
//! NT-Xent's distributions: the divergence between an anchor's distribution over the others with
//! clean and with noisy word embeddings, λ·(KL(P‖Q) + KL(Q‖P)).

use candle_core::{Result, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::draws::NoiseDistribution;
use super::registry::{BuildContext, InvalidOption, at_least_zero, positive};
use super::{LossTerm, Passes, Step, nt_xent};
use crate::weights::Parameters;

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Weight λ of R3F's divergence (the paper's value)
    #[arg(long, default_value_t = 1.0, value_name = "λ", help_heading = "R3F (--reg r3f)")]
    pub r3f_lambda: f64,
    /// Range ε of R3F's noise on word embeddings [default: the paper's: 5e-2 for BERT and DistilBERT, 1e-3 for RoBERTa, its kin and MPNet]
    #[arg(long, value_name = "ε", help_heading = "R3F (--reg r3f)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r3f_eps: Option<f64>,
    /// Distribution of the noise: uniform on (−ε, ε) or normal with standard deviation ε
    #[arg(long, value_enum, default_value_t = NoiseDistribution::Uniform, help_heading = "R3F (--reg r3f)")]
    pub r3f_noise: NoiseDistribution,
}

pub struct R3f {
    lambda: f64,
    eps: f64,
    distribution: NoiseDistribution,
    /// `[total_tokens, hidden]`, the step's.
    noise: Option<Tensor>,
}

/// Names R3F's noise among those of other terms.
const TERM: u64 = 0;

impl Options {
    pub fn resolve(&mut self, context: &BuildContext) {
        self.r3f_eps.get_or_insert(context.architecture.description().defaults.r3f_eps);
    }

    pub fn build(&self) -> std::result::Result<Box<dyn LossTerm>, InvalidOption> {
        let eps = self.r3f_eps.unwrap_or(5e-2);
        Ok(Box::new(R3f {
            lambda: at_least_zero("--r3f-lambda", self.r3f_lambda)?,
            eps: positive("--r3f-eps", eps)?,
            distribution: self.r3f_noise,
            noise: None,
        }))
    }
}

impl LossTerm for R3f {
    fn name(&self) -> &'static str {
        "r3f"
    }

    fn prepare(&mut self, step: &Step, _weights: &Parameters) -> Result<()> {
        let hidden = step.encoder.config.dimensions.hidden_size;
        self.noise = Some(step.draws.noise(TERM, step.batch, hidden, self.distribution, self.eps)?);
        Ok(())
    }

    fn instance_losses(&self, passes: &mut Passes) -> Result<Tensor> {
        let Some(noise) = &self.noise else { candle_core::bail!("r3f was not prepared") };
        let temperature = passes.step.temperature;
        let log_p = nt_xent::log_probabilities(&passes.clean()?, temperature)?;
        let log_q = nt_xent::log_probabilities(&passes.noisy(noise)?, temperature)?;
        nt_xent::symmetric_divergence(&log_p, &log_q)? * self.lambda
    }
}
