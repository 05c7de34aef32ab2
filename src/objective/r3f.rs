//! R3F (Aghajanyan et al., *Better Fine-Tuning by Reducing Representational Collapse*, 2021), on
//! the objective's predictions: the divergence between what is predicted from clean and from noisy
//! word embeddings, for distributions λ·(KL(P‖Q) + KL(Q‖P)).

use candle_core::{Result, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::draws::NoiseDistribution;
use super::registry::{BuildContext, InvalidOption, at_least_zero, positive};
use super::{LossTerm, Passes, Step};
use crate::weights::Parameters;

/// R3F's flags.
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

/// R3F as `--reg r3f` asks for it.
#[derive(Clone)]
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
    /// The term, with ε as the paper has it for the model where no flag says.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn resolve(self, context: &BuildContext) -> std::result::Result<R3f, InvalidOption> {
        let eps = self.r3f_eps.unwrap_or(context.architecture.description().defaults.r3f_eps);
        Ok(R3f {
            lambda: at_least_zero("--r3f-lambda", self.r3f_lambda)?,
            eps: positive("--r3f-eps", eps)?,
            distribution: self.r3f_noise,
            noise: None,
        })
    }
}

impl R3f {
    /// The flags that give this term for any model.
    pub fn options(&self) -> Options {
        Options { r3f_lambda: self.lambda, r3f_eps: Some(self.eps), r3f_noise: self.distribution }
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
        let clean = passes.clean()?;
        let noisy = passes.noisy(noise)?;
        clean.divergence(&noisy)? * self.lambda
    }
}
