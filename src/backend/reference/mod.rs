//! Plain candle operations: any device and dtype, the oracle of the other backends, and the documentation of
//! what all of them compute.
//!
//! The encoder's graph is [`forward`]'s. candle's gradient of a narrowed view is a zero-filled copy of the whole
//! flat tensor, so each *named* tensor is an autograd leaf of its own. A tensor without a gradient is an error,
//! never a zero: candle drops gradients silently.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use rayon::prelude::*;

use super::{AdamWConfig, Arithmetic, Backend, Encoded, Input, Tape, Update};
use crate::model::layout::TensorSpec;
use crate::model::{Kind, Part};
use crate::random::Key;
use crate::weights::Parameters;

mod forward;

use forward::Forward;
pub use forward::activation;

/// candle's operations and autograd.
#[derive(Clone, Copy, Debug)]
pub struct Reference;

impl Backend for Reference {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        let noise = input.noise.map(|noise| in_form_of(weights, noise)).transpose()?;
        Forward::new(input, &Weights::views(weights, groups_of(input))?)?.embed(noise.as_ref())
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        let leaves = Weights::leaves(weights, groups_of(input))?;
        let (dtype, device) = (weights.dtype(), weights.device());
        let form = input.noise.map_or((dtype, device.clone()), |n| (n.dtype(), n.device().clone()));
        let noise = match input.noise {
            Some(noise) => Var::from_tensor(&in_form_of(weights, noise)?.detach())?,
            None => {
                let hidden = input.config.dimensions.hidden_size;
                Var::zeros((input.batch.total_tokens(), hidden), dtype, device)?
            }
        };
        let embeddings = Forward::new(input, &leaves)?.embed(Some(noise.as_tensor()))?;
        Ok(Encoded {
            embeddings: embeddings.detach(),
            tape: Box::new(Graph { weights: leaves, groups: groups_of(input), noise, form, embeddings }),
        })
    }
}

impl Arithmetic for Reference {
    fn sum_of_squares(&self, groups: &[Tensor]) -> Result<f64> {
        groups.iter().map(|x| x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()).sum()
    }

    fn plus(&self, a: &Tensor, scale: f64, b: &Tensor) -> Result<Tensor> {
        a + b.affine(scale, 0.0)?
    }

    fn add(&self, a: &mut Tensor, scale: f64, b: &Tensor) -> Result<()> {
        *a = self.plus(a, scale, b)?;
        Ok(())
    }

    fn perturb(&self, direction: &mut Tensor, scale: f64, weights: &Tensor) -> Result<()> {
        *direction = self.plus(weights, scale, direction)?;
        Ok(())
    }

    fn normals(&self, key: Key, like: &Tensor) -> Result<Tensor> {
        /// Values that share a key.
        const BLOCK: usize = 1 << 16;
        let mut values = vec![0f64; like.elem_count()];
        values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
            let key = key.at(block as u64);
            values.iter_mut().zip(0..).for_each(|(value, channel)| *value = key.normal(channel));
        });
        Tensor::from_vec(values, like.dims(), &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())
    }

    fn adamw(&self, c: &AdamWConfig, step: u64, group: Update) -> Result<()> {
        let Update { weights, gradient: g, m, v } = group;
        let bias1 = 1.0 - c.beta1.powf(step as f64);
        let bias2_sqrt = (1.0 - c.beta2.powf(step as f64)).sqrt();
        *m = (m.affine(c.beta1, 0.0)? + g.affine(1.0 - c.beta1, 0.0)?)?;
        *v = (v.affine(c.beta2, 0.0)? + g.sqr()?.affine(1.0 - c.beta2, 0.0)?)?;
        let direction = (&*m / v.sqrt()?.affine(1.0 / bias2_sqrt, c.eps)?)?;
        let decayed = weights.affine(1.0 - c.learning_rate * c.weight_decay, 0.0)?;
        *weights = self.plus(&decayed, -c.learning_rate / bias1, &direction)?;
        Ok(())
    }
}

/// Groups that the encoder has; others may follow.
fn groups_of(input: &Input) -> usize {
    input.config.dimensions.groups()
}

fn in_form_of(weights: &Parameters, tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(weights.dtype())?.to_device(weights.device())
}

/// The weights of one pass by group, part and kind: plain views, or autograd leaves of their own.
struct Weights {
    tensors: HashMap<(usize, Part, Kind), Tensor>,
}

impl Weights {
    fn views(parameters: &Parameters, groups: usize) -> Result<Self> {
        Self::of(parameters, groups, Ok)
    }

    fn leaves(parameters: &Parameters, groups: usize) -> Result<Self> {
        Self::of(parameters, groups, |view| Ok(Var::from_tensor(&view)?.into_inner()))
    }

    fn of(
        parameters: &Parameters,
        groups: usize,
        tensor_of: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let of_encoder = parameters.layout().tensors().filter(|&(group, _)| group < groups);
        let tensors = of_encoder.map(|(group, spec)| {
            Ok(((group, spec.part, spec.kind), tensor_of(parameters.view(group, spec)?)?))
        });
        Ok(Weights { tensors: tensors.collect::<Result<_>>()? })
    }

    fn get(&self, group: usize, part: Part, kind: Kind) -> Result<&Tensor> {
        match self.tensors.get(&(group, part, kind)) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("the encoder has no {kind:?} of {part:?} in group {group}"),
        }
    }
}

/// candle's graph of one pass.
struct Graph {
    weights: Weights,
    /// Groups that the encoder has.
    groups: usize,
    noise: Var,
    /// Dtype and device of the noise as it was given.
    form: (DType, Device),
    /// Tracked.
    embeddings: Tensor,
}

impl Graph {
    fn gradients(&self, grad_embeddings: &Tensor) -> Result<GradStore> {
        let grad = grad_embeddings.to_dtype(self.embeddings.dtype())?.to_device(self.embeddings.device())?;
        (&self.embeddings * grad)?.sum_all()?.backward()
    }
}

impl Tape for Graph {
    fn backward(&self, weights: &Parameters, grad_embeddings: &Tensor, into: &mut Parameters) -> Result<()> {
        weights.same_form(into)?;
        let gradients = self.gradients(grad_embeddings)?;
        let groups = weights.layout().groups.iter().zip(into.flats_mut()).take(self.groups);
        for (number, (group, sum)) in groups.enumerate() {
            let leaf = |spec: &TensorSpec| self.weights.get(number, spec.part, spec.kind);
            let parts = group.tensors.iter().map(|spec| match gradients.get(leaf(spec)?) {
                Some(gradient) => gradient.flatten_all(),
                None => candle_core::bail!("{} got no gradient", spec.name),
            });
            *sum = (&*sum + Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)?;
        }
        Ok(())
    }

    fn noise_gradient(&self, _: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor> {
        let (dtype, device) = &self.form;
        match self.gradients(grad_embeddings)?.get(self.noise.as_tensor()) {
            Some(gradient) => gradient.to_dtype(*dtype)?.to_device(device),
            None => candle_core::bail!("the word embeddings got no gradient"),
        }
    }
}
