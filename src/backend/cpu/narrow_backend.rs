//! The CPU's backends of less than f32. Weights, moments and flat arithmetic stay f32.

use std::fmt;

use candle_core::{Result, Tensor, TensorId};

use super::backend::{embed, embed_tracked, with_slices};
use super::narrow::{bf16, int8};
use super::products::Forward;
use super::shape::EncoderShape;
use crate::backend::{Backend, Encoded, Input};
use crate::model::EncoderConfig;
use crate::weights::Parameters;

/// bf16 on the CPU: operands of a layer's products are rounded to bf16, their sums and all else are f32. Weights are
/// rounded once a pass.
#[derive(Clone, Copy, Debug)]
pub struct CpuBf16;

impl Backend for CpuBf16 {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        embed::<bf16::ForwardWeights, _>(weights, input, bf16::ForwardWeights::new)
    }

    fn embed_tracked(&self, weights: &Parameters, input: &Input) -> Result<Encoded> {
        embed_tracked(weights, input, bf16::ForwardWeights::new, bf16::BackwardWeights::new)
    }

    fn rounds(&self) -> bool {
        true
    }
}

/// Weights prepared once for any number of passes without a way back.
pub(crate) struct Prepared<P> {
    /// Which weights those are.
    prepared: Vec<TensorId>,
    products: P,
}

impl<P> Prepared<P> {
    fn new(
        config: &EncoderConfig,
        weights: &Parameters,
        prepare: impl FnOnce(&EncoderShape, &[&[f32]]) -> P,
    ) -> Result<Self> {
        let shape = EncoderShape::from(config);
        let products = with_slices(&shape, weights, |groups| {
            shape.check_slices(groups).map(|()| prepare(&shape, groups)).map_err(candle_core::Error::wrap)
        })??;
        Ok(Prepared { prepared: ids(weights), products })
    }
}

/// Weights rounded to bf16.
pub(crate) fn prepared_bf16(
    config: &EncoderConfig,
    weights: &Parameters,
) -> Result<Prepared<bf16::ForwardWeights>> {
    Prepared::new(config, weights, bf16::ForwardWeights::new)
}

/// Weights in eight bits.
pub(crate) fn prepared_int8(config: &EncoderConfig, weights: &Parameters) -> Result<Prepared<int8::Weights>> {
    Prepared::new(config, weights, int8::Weights::new)
}

fn ids(weights: &Parameters) -> Vec<TensorId> {
    weights.flats().iter().map(Tensor::id).collect()
}

impl<P> fmt::Debug for Prepared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared<{}>", std::any::type_name::<P>())
    }
}

impl<P: Forward + Send> Backend for Prepared<P> {
    fn embed(&self, weights: &Parameters, input: &Input) -> Result<Tensor> {
        if ids(weights) != self.prepared {
            candle_core::bail!("these are not the weights that were prepared for encoding");
        }
        embed::<P, &P>(weights, input, |_, _| &self.products)
    }

    fn embed_tracked(&self, _: &Parameters, _: &Input) -> Result<Encoded> {
        candle_core::bail!("weights that were prepared for encoding have no way back; train in f32 or bf16")
    }

    fn rounds(&self) -> bool {
        true
    }
}
