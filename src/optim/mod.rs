//! AdamW, as PyTorch computes it (Loshchilov & Hutter, *Decoupled Weight Decay Regularization*), and how its learning
//! rate goes from step to step.

mod betas;
mod schedule;

use candle_core::Result;

pub use crate::backend::AdamWConfig;
use crate::backend::{self, Update};
use crate::weights::Parameters;
pub use betas::Betas;
pub use schedule::{Decay, Schedule, Warmup};

/// The optimizer's state. Dense: an embedding row absent from a batch decays and keeps its
/// momentum, as in PyTorch.
pub struct AdamW {
    /// Peak learning rate, decay and the moments' factors.
    pub config: AdamWConfig,
    /// What the learning rate is multiplied by in each step.
    pub schedule: Schedule,
    /// First moments.
    pub m: Parameters,
    /// Second moments.
    pub v: Parameters,
    /// Updates made so far.
    pub step: u64,
}

impl AdamW {
    /// An optimizer that has made no step, with a constant learning rate; its moments have the form of `parameters`.
    pub fn new(config: AdamWConfig, parameters: &Parameters) -> Result<Self> {
        let (m, v) = (parameters.zeros_like()?, parameters.zeros_like()?);
        Ok(AdamW { config, schedule: Schedule::default(), m, v, step: 0 })
    }

    /// The learning rate of the next update.
    pub fn learning_rate(&self) -> f64 {
        self.config.learning_rate * self.schedule.factor(self.step + 1)
    }

    /// One update of `parameters` along `gradient`, in one pass over each group. Where the gradient or the
    /// moments have another form, nothing is updated.
    pub fn update(&mut self, parameters: &mut Parameters, gradient: &Parameters) -> Result<()> {
        [gradient, &self.m, &self.v].into_iter().try_for_each(|other| parameters.same_form(other))?;
        let (backend, step) = (backend::of(parameters), self.step + 1);
        let config = AdamWConfig { learning_rate: self.learning_rate(), ..self.config };
        let moments = self.m.flats_mut().iter_mut().zip(self.v.flats_mut());
        let groups = parameters.flats_mut().iter_mut().zip(gradient.flats()).zip(moments);
        for ((weights, gradient), (m, v)) in groups {
            backend.adamw(&config, step, Update { weights, gradient, m, v })?;
        }
        self.step = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{DType, Device};

    use super::*;
    use crate::model::Architecture;
    use crate::model::layout::{Dimensions, Layout};
    use crate::random::Key;

    fn zeros(hidden_size: usize, dtype: DType) -> Parameters {
        let layout = Layout::new(
            Architecture::Bert,
            &Dimensions {
                vocab_size: 7,
                max_position_embeddings: 5,
                type_vocab_size: 2,
                hidden_size,
                intermediate_size: 6,
                num_hidden_layers: 1,
                relative_bias: [0, 1],
            },
        );
        Parameters::zeros(Arc::new(layout), dtype, &Device::Cpu).unwrap()
    }

    #[test]
    fn moments_or_a_gradient_of_another_form_are_an_error_and_update_nothing() {
        for dtype in [DType::F32, DType::F64] {
            let other = if dtype == DType::F32 { DType::F64 } else { DType::F32 };
            for wrong in [zeros(4, other), zeros(8, dtype)] {
                for place in 0..3 {
                    let mut weights = zeros(4, dtype);
                    let mut optimizer = AdamW::new(AdamWConfig::default(), &weights).unwrap();
                    let mut gradient = weights.normals(Key::new(1)).unwrap();
                    let parts = [&mut gradient, &mut optimizer.m, &mut optimizer.v];
                    parts.into_iter().nth(place).map(|part| *part = wrong.clone()).unwrap();
                    let error = optimizer.update(&mut weights, &gradient).unwrap_err().to_string();
                    assert!(error.contains("do not go with"), "{error}");
                    assert_eq!((weights.norm().unwrap(), optimizer.step), (0.0, 0));
                }
            }
        }
    }
}
