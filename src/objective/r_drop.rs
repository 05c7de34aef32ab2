//! R-Drop (Liang et al., *R-Drop: Regularized Dropout for Neural Networks*, 2021), on the objective's
//! predictions: the divergence between two passes that differ in their dropout masks only, for
//! distributions α·½(KL(P‖Q) + KL(Q‖P)), for values half the squared difference times α.

use candle_core::{Result, Tensor};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::registry::{BuildContext, InvalidOption, at_least_zero};
use super::{LossTerm, Passes, Step};
use crate::weights::Parameters;

/// R-Drop's flags.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Weight α of R-Drop's divergence (our choice; R-Drop's own text uses 1 to 5 with labels)
    #[arg(long, default_value_t = 1.0, value_name = "α", help_heading = "R-Drop (--reg r-drop)")]
    pub r_drop_alpha: f64,
}

/// R-Drop as `--reg r-drop` asks for it.
#[derive(Clone)]
pub struct RDrop {
    alpha: f64,
}

impl Options {
    /// The term.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn resolve(self, _context: &BuildContext) -> std::result::Result<RDrop, InvalidOption> {
        Ok(RDrop { alpha: at_least_zero("--r-drop-alpha", self.r_drop_alpha)? })
    }
}

impl RDrop {
    /// The flags that give this term.
    pub fn options(&self) -> Options {
        Options { r_drop_alpha: self.alpha }
    }
}

impl LossTerm for RDrop {
    fn name(&self) -> &'static str {
        "r-drop"
    }

    fn prepare(&mut self, _step: &Step, _weights: &Parameters) -> Result<()> {
        Ok(())
    }

    fn instance_losses(&self, passes: &mut Passes) -> Result<Tensor> {
        let clean = passes.clean()?;
        let redrawn = passes.redrawn(1)?;
        clean.divergence(&redrawn)? * (0.5 * self.alpha)
    }
}
