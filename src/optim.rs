//! AdamW, as PyTorch computes it (Loshchilov & Hutter, *Decoupled Weight Decay Regularization*).

use candle_core::Result;

pub use crate::backend::AdamWConfig;
use crate::backend::{self, Update};
use crate::weights::Parameters;

/// The optimizer's state. Dense: an embedding row absent from a batch decays and keeps its
/// momentum, as in PyTorch.
pub struct AdamW {
    pub config: AdamWConfig,
    /// First moments.
    pub m: Parameters,
    /// Second moments.
    pub v: Parameters,
    /// Updates made so far.
    pub step: u64,
}

impl AdamW {
    pub fn new(config: AdamWConfig, parameters: &Parameters) -> Result<Self> {
        Ok(AdamW { config, m: parameters.zeros_like()?, v: parameters.zeros_like()?, step: 0 })
    }

    /// One update of `parameters` along `gradient`, in one pass over each group. Where the gradient or the
    /// moments have another form, nothing is updated.
    pub fn update(&mut self, parameters: &mut Parameters, gradient: &Parameters) -> Result<()> {
        [gradient, &self.m, &self.v].into_iter().try_for_each(|other| parameters.same_form(other))?;
        let (backend, step) = (backend::of(parameters), self.step + 1);
        let moments = self.m.flats_mut().iter_mut().zip(self.v.flats_mut());
        let groups = parameters.flats_mut().iter_mut().zip(gradient.flats()).zip(moments);
        for ((weights, gradient), (m, v)) in groups {
            backend.adamw(&self.config, step, Update { weights, gradient, m, v })?;
        }
        self.step = step;
        Ok(())
    }
}
