//! Pooling and what comes after it, on a graph's last hidden states: where pooling leaves out a prompt's tokens,
//! of which a graph has no input. sentence-transformers does the same with every graph.

use std::ops::Range;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3, Axis, s};

use super::OnnxError;
use crate::model_folder::modules;
use crate::model_folder::{PoolingMode, SentenceFolder};
use crate::modules::Modules;

pub struct Outside {
    pooling: PoolingMode,
    modules: Modules,
}

impl Outside {
    pub fn read(sentence: &SentenceFolder, hidden: usize) -> Result<Self, OnnxError> {
        let pooling = sentence.pooling.unwrap_or(PoolingMode::Mean);
        Ok(Outside { pooling, modules: modules::read(sentence, hidden)? })
    }

    /// `[batch, width]` of hidden states `[batch, sequence, hidden]` and the rows that each sequence is pooled from.
    pub fn embed(
        &self,
        hidden_states: Array3<f32>,
        rows: impl Iterator<Item = Range<usize>>,
    ) -> Result<Array2<f32>, OnnxError> {
        let (batch, _, hidden) = hidden_states.dim();
        let mut pooled = Array2::<f32>::zeros((batch, hidden));
        for ((states, rows), mut into) in
            hidden_states.axis_iter(Axis(0)).zip(rows).zip(pooled.axis_iter_mut(Axis(0)))
        {
            match self.pooling {
                // Where nothing is left, the first token of all, or zeros.
                PoolingMode::Cls => into.assign(&states.row(if rows.is_empty() { 0 } else { rows.start })),
                PoolingMode::Mean => {
                    let mean = states.slice(s![rows, ..]).mean_axis(Axis(0));
                    into.assign(&mean.unwrap_or_else(|| ndarray::Array1::zeros(hidden)));
                }
            }
        }
        let pooled = Tensor::from_vec(pooled.into_raw_vec_and_offset().0, (batch, hidden), &Device::Cpu);
        let embeddings = pooled.and_then(|pooled| self.modules.apply(pooled)).map_err(computing)?;
        let shape = embeddings.dims2().map_err(computing)?;
        let values = embeddings.flatten_all().and_then(|flat| flat.to_vec1()).map_err(computing)?;
        Ok(Array2::from_shape_vec(shape, values).unwrap_or_default())
    }
}

fn computing(error: candle_core::Error) -> OnnxError {
    OnnxError::Modules(error.into())
}
