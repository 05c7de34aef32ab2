//! Batches larger than memory: a pass in parts, one after another.
//!
//! GradCache (Gao et al., *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*, 2021): embeddings
//! of all parts come first, without a way back; the loss is one over the whole batch; then each part goes through once
//! more, with a way back for its own rows of the gradient. Dropout masks are a function of the sequence, so a second
//! time through gives the same embeddings, and the sum over the parts is the gradient of the whole batch.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{Encoded, Encoder, PackedBatch, Parameters, Pass, Tape};

/// A pass over a batch in parts.
struct InParts {
    /// Takes a part as a whole.
    encoder: Encoder,
    parts: Vec<Part>,
    pass: Pass,
}

/// Some sequences of a batch, one after another.
struct Part {
    batch: PackedBatch,
    /// Where its embeddings lie among those of the whole batch.
    outputs: Range<usize>,
    /// `[tokens of the part, hidden]`
    noise: Option<Tensor>,
}

impl InParts {
    fn new(encoder: &Encoder, batch: &PackedBatch, noise: Option<&Tensor>, pass: &Pass) -> Result<Self> {
        let part = |sequences: Range<usize>| -> Result<Part> {
            let rows = batch.cu_seqlens[sequences.start]..batch.cu_seqlens[sequences.end];
            let noise = noise.map(|noise| noise.narrow(0, rows.start, rows.len())).transpose()?;
            Ok(Part { batch: batch.slice(sequences.clone()), outputs: batch.outputs(sequences), noise })
        };
        let parts = batch.parts(encoder.parts).into_iter().map(part).collect::<Result<_>>()?;
        Ok(InParts { encoder: encoder.clone().in_parts(1), parts, pass: *pass })
    }

    fn embed(&self, weights: &Parameters) -> Result<Tensor> {
        let embed = |part: &Part| self.encoder.embed(weights, &part.batch, part.noise.as_ref(), &self.pass);
        Tensor::cat(&self.parts.iter().map(embed).collect::<Result<Vec<_>>>()?, 0)
    }

    /// Takes a part through again, with its rows of the gradient of all embeddings.
    fn again(&self, part: &Part, weights: &Parameters, gradient: &Tensor) -> Result<(Box<dyn Tape>, Tensor)> {
        let encoded = self.encoder.embed_tracked(weights, &part.batch, part.noise.as_ref(), &self.pass)?;
        let own = gradient.narrow(0, part.outputs.start, part.outputs.len())?.contiguous()?;
        Ok((encoded.tape, own))
    }
}

impl Tape for InParts {
    fn backward(&self, weights: &Parameters, grad_embeddings: &Tensor, into: &mut Parameters) -> Result<()> {
        self.parts.iter().try_for_each(|part| {
            let (tape, own) = self.again(part, weights, grad_embeddings)?;
            tape.backward(weights, &own, into)
        })
    }

    fn noise_gradient(&self, weights: &Parameters, grad_embeddings: &Tensor) -> Result<Tensor> {
        let gradient = |part: &Part| {
            let (tape, own) = self.again(part, weights, grad_embeddings)?;
            tape.noise_gradient(weights, &own)
        };
        Tensor::cat(&self.parts.iter().map(gradient).collect::<Result<Vec<_>>>()?, 0)
    }
}

/// Embeddings `[n, hidden]` of all parts.
pub(super) fn embed(
    encoder: &Encoder,
    weights: &Parameters,
    batch: &PackedBatch,
    noise: Option<&Tensor>,
    pass: &Pass,
) -> Result<Tensor> {
    InParts::new(encoder, batch, noise, pass)?.embed(weights)
}

/// Embeddings `[n, hidden]` of all parts, with a way back that takes each part through again.
pub(super) fn embed_tracked(
    encoder: &Encoder,
    weights: &Parameters,
    batch: &PackedBatch,
    noise: Option<&Tensor>,
    pass: &Pass,
) -> Result<Encoded> {
    let in_parts = InParts::new(encoder, batch, noise, pass)?;
    Ok(Encoded { embeddings: in_parts.embed(weights)?, tape: Box::new(in_parts) })
}
