//! Masked language modelling: the words of masked tokens, read off a head whose decoder is the word embeddings.
//!
//! An instance is a sequence. With R masked tokens in a batch of N sequences, its loss is N/R times the sum of the
//! cross entropies of its own: the mean over instances is then the mean over the batch's masked tokens, which is what
//! is minimised everywhere else, and a sequence weighs as many masked tokens as it has.

use std::sync::Arc;

use candle_core::{D, DType, Device, Result, Tensor};

use super::word_distributions::{Decoded, Decoder};
use super::{Leaf, Objective, Prediction, Shared};
use crate::backend;
use crate::batch::PackedBatch;
use crate::model::{Kind, Part, WordHead};
use crate::random::{Key, Site};

/// The standard deviation of a new head's matrix, as transformers' configurations have it (`initializer_range`).
const INITIAL_DEVIATION: f64 = 0.02;

/// Cross entropy with the word at each chosen row of a batch.
#[derive(Clone, Debug)]
pub struct MaskedWords {
    /// On the hidden states of chosen rows.
    pub head: WordHead,
    /// The token that stood at each chosen row, before it was masked.
    pub targets: Vec<u32>,
}

impl Objective for MaskedWords {
    fn instances(&self, batch: &PackedBatch) -> usize {
        batch.len()
    }

    fn shared(&self) -> &'static [Shared] {
        &[(0, Part::WordEmbeddings, Kind::Weight)]
    }

    fn predict(&self, leaf: &Leaf) -> Result<Prediction> {
        Ok(Prediction::Words(self.words(leaf)?))
    }
}

impl MaskedWords {
    /// What a pass predicts at each chosen row.
    ///
    /// # Errors
    /// Another number of words than the batch has chosen rows, words that the head does not know, own weights that are
    /// not there.
    pub fn words(&self, leaf: &Leaf) -> Result<Words> {
        let rows = leaf.embeddings.dim(0)?;
        if leaf.batch.chosen.is_none() || rows != self.targets.len() {
            candle_core::bail!("{} words for {rows} rows of a batch", self.targets.len());
        }
        if let Some(target) = self.targets.iter().find(|&&target| target as usize >= self.head.vocab_size) {
            candle_core::bail!("token {target} of a vocabulary of {}", self.head.vocab_size);
        }
        let mut sequences = Vec::with_capacity(rows);
        for sequence in 0..leaf.batch.len() {
            sequences.extend(leaf.batch.outputs(sequence..sequence + 1).map(|_| sequence as u32));
        }
        let decoder = Decoder {
            table: leaf.own.get(Part::WordEmbeddings, Kind::Weight)?.clone(),
            bias: leaf.own.get(Part::WordDecoder, Kind::Bias)?.clone(),
        };
        Ok(Words {
            decoded: Decoded { rows: transformed(&self.head, leaf)?, decoder },
            targets: self.targets.as_slice().into(),
            sequences: Tensor::from_vec(sequences, rows, &Device::Cpu)?,
            instances: leaf.batch.len(),
        })
    }
}

/// `[rows, hidden]`: what the decoder takes of hidden states, LayerNorm(activation(W·x + b)).
fn transformed(head: &WordHead, leaf: &Leaf) -> Result<Tensor> {
    let own = |part, kind| leaf.own.get(part, kind);
    let dense = leaf.embeddings.matmul(&own(Part::WordDense, Kind::Weight)?.t()?)?;
    let dense = dense.broadcast_add(own(Part::WordDense, Kind::Bias)?)?;
    let x = backend::activation(head.activation, &dense)?;
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centered.broadcast_div(&(variance + head.layer_norm_eps)?.sqrt()?)?;
    normed.broadcast_mul(own(Part::WordNorm, Kind::Weight)?)?.broadcast_add(own(Part::WordNorm, Kind::Bias)?)
}

/// A distribution over words for each chosen row, and the words that are right.
#[derive(Clone)]
pub struct Words {
    decoded: Decoded,
    /// `[rows]`
    targets: Arc<[u32]>,
    /// `[rows]`: the instance of each.
    sequences: Tensor,
    instances: usize,
}

impl Words {
    /// `[rows]`: −log of the right word's probability.
    pub fn losses_of_rows(&self) -> Result<Tensor> {
        self.decoded.losses(self.targets.clone())
    }

    /// `[N]`: N/R times the sum of the losses of each instance's own rows.
    pub fn losses(&self) -> Result<Tensor> {
        self.of_instances(self.losses_of_rows()?)
    }

    /// `[N]`: KL(P‖Q) + KL(Q‖P), summed up alike.
    pub fn divergence(&self, other: &Words) -> Result<Tensor> {
        self.of_instances(self.decoded.divergences(&other.decoded)?)
    }

    fn of_instances(&self, values: Tensor) -> Result<Tensor> {
        let share = self.instances as f64 / values.dim(0)? as f64;
        let sums = Tensor::zeros(self.instances, DType::F64, &Device::Cpu)?;
        sums.index_add(&self.sequences, &(values * share)?, 0)
    }
}

/// The weights of a new head by part and kind: a matrix of N(0, 0.02²), biases of 0, and LayerNorm's factors of 1. A
/// function of the seed.
pub fn initial(head: &WordHead, seed: u64, part: Part, kind: Kind) -> Result<Tensor> {
    let hidden = head.hidden;
    match (part, kind) {
        (Part::WordDense, Kind::Weight) => {
            let key = Key::new(seed).site(Site::InitialWeights).at(0);
            let row = |output: usize| {
                let row = key.at(output as u64);
                (0..hidden as u32).map(move |input| row.normal(input) * INITIAL_DEVIATION)
            };
            let values: Vec<f64> = (0..hidden).flat_map(row).collect();
            Tensor::from_vec(values, (hidden, hidden), &Device::Cpu)
        }
        (Part::WordNorm, Kind::Weight) => Tensor::ones(hidden, DType::F64, &Device::Cpu),
        (Part::WordDecoder, _) => Tensor::zeros(head.vocab_size, DType::F64, &Device::Cpu),
        _ => Tensor::zeros(hidden, DType::F64, &Device::Cpu),
    }
}
