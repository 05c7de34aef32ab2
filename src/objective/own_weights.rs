//! The weights of an objective: the groups of [`Parameters`] behind the encoder's.
//!
//! They are few beside the encoder's, and are computed with in f64, as losses are and where they are. An objective may
//! also share tensors of the encoder ([`Shared`]), which stay in their dtype: a table of words is no small thing. A tensor
//! without a gradient is an error, never a zero: candle drops gradients silently.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};

use crate::encoder::Encoder;
use crate::model::{Kind, Part};
use crate::weights::Parameters;

/// A tensor of the encoder: its group, and which it is there.
pub type Shared = (usize, Part, Kind);

/// An objective's weights in f64: constants, or leaves of candle's autograd.
pub struct OwnWeights {
    /// The group that they begin with.
    first: usize,
    tensors: HashMap<(Part, Kind), Tensor>,
    /// Those of `tensors` that are the encoder's.
    shared: &'static [Shared],
    /// Where losses are computed.
    place: Device,
}

impl OwnWeights {
    /// As constants.
    pub fn constants(encoder: &Encoder, weights: &Parameters) -> Result<Self> {
        Self::of(encoder, weights, &[], Ok)
    }

    /// As constants, with tensors of the encoder.
    pub fn constants_sharing(
        encoder: &Encoder,
        weights: &Parameters,
        shared: &'static [Shared],
    ) -> Result<Self> {
        Self::of(encoder, weights, shared, Ok)
    }

    /// As leaves, whose gradients [`OwnWeights::add_gradients`] collects.
    pub fn leaves(encoder: &Encoder, weights: &Parameters, shared: &'static [Shared]) -> Result<Self> {
        Self::of(encoder, weights, shared, |values| Ok(Var::from_tensor(&values)?.into_inner()))
    }

    fn of(
        encoder: &Encoder,
        weights: &Parameters,
        shared: &'static [Shared],
        tensor_of: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let first = encoder.config.dimensions.groups();
        let on_cpu = !encoder.modules.is_empty() || !shared.is_empty();
        let place = if on_cpu { Device::Cpu } else { weights.device().clone() };
        let own = weights.layout().tensors().filter(|&(group, _)| group >= first);
        let tensors = own.map(|(group, spec)| {
            let values = weights.view(group, spec)?.to_device(&place)?.to_dtype(DType::F64)?;
            Ok(((spec.part, spec.kind), tensor_of(values)?))
        });
        let of_encoder = shared.iter().map(|&(group, part, kind)| {
            let values = weights.part(group, part, kind)?.1.to_device(&place)?;
            Ok(((part, kind), tensor_of(values)?))
        });
        let tensors = tensors.chain(of_encoder).collect::<Result<_>>()?;
        Ok(OwnWeights { first, tensors, shared, place })
    }

    /// A leaf's embeddings in f64, where losses are computed: where they are, so that only losses come back from a GPU;
    /// or on the CPU where they go through modules first, which are there, or into tensors of the encoder.
    pub fn in_place(&self, embeddings: &Tensor) -> Result<Tensor> {
        embeddings.to_device(&self.place)?.to_dtype(DType::F64)
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
        self.add_shared_gradients(gradients, into)?;
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

    fn add_shared_gradients(&self, gradients: &GradStore, into: &mut Parameters) -> Result<()> {
        let layout = into.layout().clone();
        for &(group, part, kind) in self.shared {
            let (Some(spec), Some(gradient)) =
                (layout.part(group, part, kind), gradients.get(self.get(part, kind)?))
            else {
                candle_core::bail!("{kind:?} of {part:?} got no gradient of the objective")
            };
            let sum = &into.flats()[group];
            let of_encoder = sum.narrow(0, spec.offset, spec.len())?;
            let gradient = gradient.flatten_all()?.to_dtype(sum.dtype())?.to_device(sum.device())?;
            sum.slice_set(&(of_encoder + gradient)?, 0, spec.offset)?;
        }
        Ok(())
    }
}
