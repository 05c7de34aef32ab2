//! What comes after pooling in a sentence-transformers folder: Dense, LayerNorm and Normalize, in any order.
//!
//! They stay as they are in training: the loss sees what comes out of them, and its gradient goes through them by
//! candle's autograd, in f64 like the losses. [`model_folder`](crate::model_folder) reads and writes them.

mod activation;

use std::fmt;

use candle_core::{D, DType, Device, Result, Tensor};

pub use activation::DenseActivation;

/// PyTorch's own, which the module's configuration cannot change.
pub const LAYER_NORM_EPSILON: f64 = 1e-5;
/// The least length that Normalize divides by.
const LEAST_LENGTH: f64 = 1e-12;

/// Steps from a pooled embedding to the folder's. No steps leave it as it is.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    steps: Vec<Module>,
}

/// One of them. Tensors are f64 on the CPU.
#[derive(Clone, Debug)]
pub enum Module {
    /// A product with a matrix.
    Dense(Dense),
    /// Normalises a vector's values to mean 0 and variance 1, then scales and shifts them.
    LayerNorm {
        /// `[width]`
        weight: Tensor,
        /// `[width]`
        bias: Tensor,
    },
    /// Scaled to length 1.
    Normalize,
    /// The first values alone: what `truncate_dim` asks for.
    Truncate(usize),
}

/// activation(W·x + b), and a residual.
#[derive(Clone, Debug)]
pub struct Dense {
    /// `[out, in]`
    pub weight: Tensor,
    /// `[out]`
    pub bias: Option<Tensor>,
    /// Applied to the product plus the bias.
    pub activation: DenseActivation,
    /// What is added to the activation.
    pub residual: Residual,
}

/// What is added to a Dense module's output.
#[derive(Clone, Debug)]
pub enum Residual {
    /// Nothing.
    None,
    /// The input itself, which then has the output's width.
    Input,
    /// The input times a matrix `[out, in]`.
    Projected(Tensor),
}

impl Modules {
    /// In the order in which they are applied.
    pub fn new(steps: Vec<Module>) -> Self {
        Modules { steps }
    }

    /// In the order in which they are applied.
    pub fn steps(&self) -> &[Module] {
        &self.steps
    }

    /// Whether embeddings stay as pooling left them.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a step behind the others.
    pub fn push(&mut self, step: Module) {
        self.steps.push(step);
    }

    /// Takes away the last Normalize, if only a truncation comes after it.
    pub fn without_last_normalize(&mut self) {
        let last = self.steps.iter().rposition(|step| !matches!(step, Module::Truncate(_)));
        if let Some(last) = last.filter(|&last| matches!(self.steps[last], Module::Normalize)) {
            self.steps.remove(last);
        }
    }

    /// Keeps the first `dimensions` values alone of what comes out, in place of a truncation that is there.
    pub fn truncate(&mut self, dimensions: usize) {
        self.steps.pop_if(|step| matches!(step, Module::Truncate(_)));
        self.steps.push(Module::Truncate(dimensions));
    }

    /// Whether what comes out, but for a truncation, has length 1.
    pub fn ends_with_normalize(&self) -> bool {
        let last = self.steps.iter().rfind(|step| !matches!(step, Module::Truncate(_)));
        matches!(last, Some(Module::Normalize))
    }

    /// [`Modules::width`] without the truncation at the end, if there is one.
    pub fn width_before_truncation(&self, width: usize) -> usize {
        let steps = match self.steps.as_slice() {
            [before @ .., Module::Truncate(_)] => before,
            steps => steps,
        };
        width_after(steps, width)
    }

    /// The width of what comes out, where embeddings of `width` go in.
    pub fn width(&self, width: usize) -> usize {
        width_after(&self.steps, width)
    }

    /// `[n, width]` embeddings through all steps, f64 on the CPU in and out: the loss's own numbers, with the
    /// way back.
    pub fn forward(&self, embeddings: &Tensor) -> Result<Tensor> {
        self.steps.iter().try_fold(embeddings.clone(), |x, step| step.forward(&x))
    }

    /// As [`Modules::forward`], for embeddings of any type and place; f32 on the CPU comes out. Without steps they
    /// stay where they are.
    pub fn apply(&self, embeddings: Tensor) -> Result<Tensor> {
        if self.is_empty() {
            return Ok(embeddings);
        }
        let embeddings = embeddings.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        self.forward(&embeddings)?.to_dtype(DType::F32)
    }
}

fn width_after(steps: &[Module], width: usize) -> usize {
    steps.iter().fold(width, |width, step| match step {
        Module::Dense(dense) => dense.weight.dims()[0],
        Module::LayerNorm { .. } | Module::Normalize => width,
        Module::Truncate(most) => width.min(*most),
    })
}

impl Module {
    /// All its weights.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Module::Dense(dense) => {
                let residual = match &dense.residual {
                    Residual::Projected(weight) => Some(weight),
                    Residual::None | Residual::Input => None,
                };
                [Some(&dense.weight), dense.bias.as_ref(), residual].into_iter().flatten().collect()
            }
            Module::LayerNorm { weight, bias } => vec![weight, bias],
            Module::Normalize | Module::Truncate(_) => Vec::new(),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Module::Dense(dense) => dense.forward(x),
            Module::LayerNorm { weight, bias } => {
                let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
                let normed = centered.broadcast_div(&(variance + LAYER_NORM_EPSILON)?.sqrt()?)?;
                normed.broadcast_mul(weight)?.broadcast_add(bias)
            }
            Module::Normalize => {
                // The root's slope at 0 is infinite, so it is kept from there.
                let squares = x.sqr()?.sum_keepdim(D::Minus1)?;
                x.broadcast_div(&squares.maximum(LEAST_LENGTH * LEAST_LENGTH)?.sqrt()?)
            }
            Module::Truncate(most) => x.narrow(D::Minus1, 0, x.dim(D::Minus1)?.min(*most))?.contiguous(),
        }
    }
}

impl Dense {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut out = x.matmul(&self.weight.t()?)?;
        if let Some(bias) = &self.bias {
            out = out.broadcast_add(bias)?;
        }
        let out = activate(self.activation, &out)?;
        match &self.residual {
            Residual::None => Ok(out),
            Residual::Input => out + x,
            Residual::Projected(weight) => out + x.matmul(&weight.t()?)?,
        }
    }
}

/// A Dense module's activation of f64 values, with the way back.
pub(crate) fn activate(activation: DenseActivation, x: &Tensor) -> Result<Tensor> {
    match activation {
        DenseActivation::Identity => Ok(x.clone()),
        DenseActivation::Tanh => x.tanh(),
        DenseActivation::Relu => x.relu(),
        // candle's gelu_erf has a gradient with a constant of six digits; erf's is exact.
        DenseActivation::Gelu => x * (((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)? * 0.5)?,
        DenseActivation::Sigmoid => sigmoid(x),
        DenseActivation::Silu => x * sigmoid(x)?,
    }
}

/// By the hyperbolic tangent, whose value and slope are finite everywhere.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

impl fmt::Display for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            match step {
                Module::Dense(dense) => {
                    let (outputs, inputs) = dense.weight.dims2().map_err(|_| fmt::Error)?;
                    write!(f, "Dense ({inputs} to {outputs}, {})", dense.activation.class())?;
                }
                Module::LayerNorm { .. } => f.write_str("LayerNorm")?,
                Module::Normalize => f.write_str("Normalize")?,
                Module::Truncate(most) => write!(f, "truncation to {most}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::Var;
    use proptest::prelude::*;

    use super::*;
    use crate::random::Key;

    fn random(key: Key, shape: &[usize]) -> Tensor {
        let values: Vec<f64> = (0..shape.iter().product::<usize>() as u32).map(|i| key.normal(i)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// One of each kind, those that keep the width in some order.
    pub fn modules(
        key: Key,
        width: usize,
        activation: DenseActivation,
        order: usize,
        residual: bool,
    ) -> Modules {
        let dense = |key: Key, outputs: usize, residual| {
            let weight = (random(key, &[outputs, width]) / (width as f64).sqrt()).unwrap();
            Module::Dense(Dense { weight, bias: Some(random(key.at(1), &[outputs])), activation, residual })
        };
        let projected = match residual {
            true => Residual::Projected(random(key.at(2), &[3, width])),
            false => Residual::None,
        };
        let mut steps = vec![
            Module::LayerNorm { weight: random(key.at(3), &[width]), bias: random(key.at(4), &[width]) },
            Module::Normalize,
            dense(key.at(5), width, if residual { Residual::Input } else { Residual::None }),
        ];
        steps.rotate_left(order % 3);
        steps.push(dense(key.at(6), 3, projected));
        steps.push(Module::Truncate(2));
        Modules::new(steps)
    }

    proptest! {
        /// The way back through every step is the slope that differences of values show.
        #[test]
        fn gradients_are_finite_differences(
            seed in any::<u64>(), activation in prop::sample::select(DenseActivation::ALL.to_vec()),
            order in 0usize..3, residual in any::<bool>(),
        ) {
            let key = Key::new(seed);
            let modules = modules(key, 5, activation, order, residual);
            prop_assert_eq!(modules.width(5), 2);
            let x = Var::from_tensor(&random(key.at(7), &[4, 5])).unwrap();
            let towards = random(key.at(8), &[4, 2]);
            let value = |x: &Tensor| (modules.forward(x).unwrap() * &towards).unwrap().sum_all().unwrap();
            let gradient = value(x.as_tensor()).backward().unwrap().get(&x).unwrap().clone();
            let direction = random(key.at(9), &[4, 5]);
            let slope: f64 = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar().unwrap();
            let at = |h: f64| -> f64 {
                value(&(x.as_tensor() + (&direction * h).unwrap()).unwrap()).to_scalar().unwrap()
            };
            let h = 1e-6;
            let difference = (at(h) - at(-h)) / (2.0 * h);
            prop_assert!((difference - slope).abs() < 1e-4 * (1.0 + slope.abs()), "{difference} {slope}");
        }
    }

    #[test]
    fn an_embedding_of_zeros_has_no_infinite_slope() {
        let x = Var::zeros((2, 3), DType::F64, &Device::Cpu).unwrap();
        let out = Modules::new(vec![Module::Normalize]).forward(x.as_tensor()).unwrap();
        let gradient = out.sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
        let values: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
    }
}
