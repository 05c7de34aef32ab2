//! AdamW, as PyTorch computes it (Loshchilov & Hutter, *Decoupled Weight Decay Regularization*).

use candle_core::Result;

use crate::backend::cpu::tensors as flat;
use crate::encoder::Parameters;
use crate::backend::cpu::adamw;

/// Hyperparameters of [`AdamW`]; the defaults are the original's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    pub learning_rate: f64,
    /// Applied to all parameters, biases and LayerNorm included, as the original does.
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig { learning_rate: 2e-5, weight_decay: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

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

    /// One update of `parameters` along `gradient`.
    pub fn update(&mut self, parameters: &mut Parameters, gradient: &Parameters) -> Result<()> {
        self.step += 1;
        if parameters.flats().iter().chain(gradient.flats()).all(flat::is_fused) {
            return self.update_fused(parameters, gradient);
        }
        let c = self.config;
        let bias1 = 1.0 - c.beta1.powf(self.step as f64);
        let bias2_sqrt = (1.0 - c.beta2.powf(self.step as f64)).sqrt();
        self.m = self.m.zip(gradient, |m, g| m.affine(c.beta1, 0.0)? + g.affine(1.0 - c.beta1, 0.0)?)?;
        self.v =
            self.v.zip(gradient, |v, g| v.affine(c.beta2, 0.0)? + g.sqr()?.affine(1.0 - c.beta2, 0.0)?)?;
        let direction = self.m.zip(&self.v, |m, v| m / v.sqrt()?.affine(1.0 / bias2_sqrt, c.eps)?)?;
        let decayed = parameters.scaled(1.0 - c.learning_rate * c.weight_decay)?;
        *parameters = decayed.plus(&direction, -c.learning_rate / bias1)?;
        Ok(())
    }

    /// In place, one pass over each flat buffer.
    fn update_fused(&mut self, parameters: &mut Parameters, gradient: &Parameters) -> Result<()> {
        let c = self.config;
        let options = adamw::AdamW {
            lr: c.learning_rate,
            betas: (c.beta1, c.beta2),
            eps: c.eps,
            weight_decay: c.weight_decay,
        };
        let flats =
            parameters.flats().iter().zip(gradient.flats()).zip(self.m.flats().iter().zip(self.v.flats()));
        for ((p, g), (m, v)) in flats {
            flat::with_f32_all(std::slice::from_ref(g), |g| {
                flat::with_f32_mut(p, |p| {
                    // The closures cannot return errors to each other; shapes and dtypes were checked above.
                    let _ = flat::with_f32_mut(m, |m| {
                        let _ = flat::with_f32_mut(v, |v| adamw::step(&options, self.step, p, g[0], m, v));
                    });
                })
            })??;
        }
        Ok(())
    }
}
