//! AdamW over flat buffers, in one pass.

use super::simd::{fma, kernel};
use crate::backend::AdamWConfig;
use rayon::prelude::*;

/// Values that one task updates.
const BLOCK: usize = 1 << 16;

/// One update of `parameters` from `gradients`, with the moments `m` and `v`, all of the same length; `step`
/// counts from 1. The operations are those of `torch.optim.AdamW` for a single tensor, in its order.
pub fn step(
    config: &AdamWConfig,
    step: u64,
    parameters: &mut [f32],
    gradients: &[f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    assert!(parameters.len() == gradients.len() && m.len() == gradients.len() && v.len() == gradients.len());
    let factors = Factors::new(config, step);
    let moments = m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK));
    let values = parameters.par_chunks_mut(BLOCK).zip(gradients.par_chunks(BLOCK));
    values.zip(moments).for_each(|((p, g), (m, v))| update(factors, p, g, m, v));
}

/// Everything that does not depend on the value, computed in f64.
#[derive(Clone, Copy)]
struct Factors {
    decay: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
}

impl Factors {
    fn new(c: &AdamWConfig, step: u64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Factors {
            decay: (1.0 - c.learning_rate * c.weight_decay) as f32,
            one_minus_beta1: (1.0 - c.beta1) as f32,
            beta2: c.beta2 as f32,
            one_minus_beta2: (1.0 - c.beta2) as f32,
            step_size: (c.learning_rate / correction(c.beta1)) as f32,
            root_correction: correction(c.beta2).sqrt() as f32,
            eps: c.eps as f32,
        }
    }
}

kernel! {
fn update<'a, S>(simd, f: Factors, p: &'a mut [f32], g: &'a [f32], m: &'a mut [f32], v: &'a mut [f32]) {
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        // torch: m.lerp_(g, 1 − β₁); v.mul_(β₂).addcmul_(g, g, 1 − β₂)
        *m = fma::<S>(f.one_minus_beta1, g - *m, *m);
        *v = fma::<S>(f.one_minus_beta2 * g, g, *v * f.beta2);
        let denominator = v.sqrt() / f.root_correction + f.eps;
        *p = *p * f.decay - f.step_size * (*m / denominator);
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_formula_in_f64() {
        let config = AdamWConfig { learning_rate: 1e-2, ..AdamWConfig::default() };
        let n = BLOCK + 37;
        let value = |i: usize, salt: u64| crate::random::Key::new(salt).at(i as u64).normal(0);
        let mut p: Vec<f32> = (0..n).map(|i| value(i, 1) as f32).collect();
        let (mut m, mut v) = (vec![0f32; n], vec![0f32; n]);
        let (mut p64, mut m64, mut v64): (Vec<f64>, _, _) =
            (p.iter().map(|&x| f64::from(x)).collect(), vec![0f64; n], vec![0f64; n]);
        for t in 1..=5u64 {
            let g: Vec<f32> = (0..n).map(|i| value(i, 10 + t) as f32).collect();
            step(&config, t, &mut p, &g, &mut m, &mut v);
            for i in 0..n {
                let g = f64::from(g[i]);
                p64[i] *= 1.0 - config.learning_rate * config.weight_decay;
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.999 * v64[i] + 0.001 * g * g;
                let (c1, c2) = (1.0 - 0.9f64.powi(t as i32), 1.0 - 0.999f64.powi(t as i32));
                p64[i] -= config.learning_rate / c1 * m64[i] / (v64[i].sqrt() / c2.sqrt() + config.eps);
            }
        }
        for i in 0..n {
            assert!(
                (f64::from(p[i]) - p64[i]).abs() < 2e-6 * p64[i].abs().max(1.0),
                "{i}: {} {}",
                p[i],
                p64[i]
            );
        }
    }
}
