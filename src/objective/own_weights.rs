//! The weights of an objective: the groups of [`Parameters`] behind the encoder's.
//!
//! They are few beside the encoder's, and are computed with in f64, as losses are and where they are. A tensor without a
//! gradient is an error, never a zero: candle drops gradients silently.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use super::passes::place_of_losses;
use crate::encoder::Encoder;
use crate::model::{Kind, Part};
use crate::weights::Parameters;

/// An objective's weights, f64 on the CPU: constants, or leaves of candle's autograd.
pub struct OwnWeights {
    /// The group that they begin with.
    first: usize,
    tensors: HashMap<(Part, Kind), Tensor>,
}

impl OwnWeights {
    /// As constants.
    pub fn constants(encoder: &Encoder, weights: &Parameters) -> Result<Self> {
        Self::of(encoder, weights, Ok)
    }

    /// As leaves, whose gradients [`OwnWeights::add_gradients`] collects.
    pub fn leaves(encoder: &Encoder, weights: &Parameters) -> Result<Self> {
        Self::of(encoder, weights, |values| Ok(Var::from_tensor(&values)?.into_inner()))
    }

    fn of(
        encoder: &Encoder,
        weights: &Parameters,
        tensor_of: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let first = encoder.config.dimensions.groups();
        let place = place_of_losses(encoder, weights);
        let own = weights.layout().tensors().filter(|&(group, _)| group >= first);
        let tensors = own.map(|(group, spec)| {
            let values = weights.view(group, spec)?.to_device(&place)?.to_dtype(DType::F64)?;
            Ok(((spec.part, spec.kind), tensor_of(values)?))
        });
        Ok(OwnWeights { first, tensors: tensors.collect::<Result<_>>()? })
    }

    /// The tensor of a part.
    ///
    /// # Errors
    /// There is none of that part.
    pub fn get(&self, part: Part, kind: Kind) -> Result<&Tensor> {
        match self.tensors.get(&(part, kind)) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("the weights have no {kind:?} of {part:?}"),
        }
    }

    /// Adds the leaves' gradients to the groups that they are of.
    ///
    /// # Errors
    /// A leaf that got no gradient.
    pub fn add_gradients(&self, gradients: &GradStore, into: &mut Parameters) -> Result<()> {
        let layout = into.layout().clone();
        for (group, sum) in layout.groups.iter().zip(into.flats_mut()).skip(self.first) {
            let parts =
                group.tensors.iter().map(|spec| match gradients.get(self.get(spec.part, spec.kind)?) {
                    Some(gradient) => gradient.flatten_all(),
                    None => candle_core::bail!("{} got no gradient", spec.name),
                });
            let own = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?;
            *sum = (&*sum + own.to_dtype(sum.dtype())?.to_device(sum.device())?)?;
        }
        Ok(())
    }
}
