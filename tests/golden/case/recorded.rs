//! The draws of a recorded step.

use candle_core::{Result, Tensor};
use mirror::encoder::{PackedBatch, Parameters};
use mirror::objective::Draws;
use mirror::objective::draws::NoiseDistribution;

use super::Folder;

/// The folder's direction and noise instead of hashed ones.
pub struct Recorded<'a> {
    pub folder: &'a Folder,
}

impl Draws for Recorded<'_> {
    fn noise(
        &self,
        _: u64,
        batch: &PackedBatch,
        hidden: usize,
        _: NoiseDistribution,
        _: f64,
    ) -> Result<Tensor> {
        let mut rows = Vec::new();
        for i in 0..batch.len() {
            let id = batch.ids[i];
            let inputs = &self.folder.inputs;
            let noise = inputs.get("noise").unwrap_or_else(|| &inputs[&format!("noise_{}", id.view + 1)]);
            rows.push(noise.get(id.sentence as usize)?.narrow(0, 0, batch.seqlen(i))?);
        }
        Tensor::cat(&rows, 0)?.reshape((batch.total_tokens(), hidden))
    }

    fn direction(&self, like: &Parameters) -> Result<Parameters> {
        Parameters::from_named(like.layout().clone(), like.dtype(), like.device(), |spec| {
            Ok::<_, candle_core::Error>(
                self.folder.inputs[&format!("direction.{}", self.folder.recorded_name(&spec.name))].clone(),
            )
        })
    }
}
