//! What a step draws at random besides dropout masks. Hashed in training; recorded in tests.

use candle_core::{Device, Result, Tensor};
use clap::ValueEnum;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batch::PackedBatch;
use crate::random::{Key, Site};
use crate::weights::Parameters;

/// Distribution of noise on word embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseDistribution {
    /// U(−ε, ε)
    Uniform,
    /// N(0, ε²)
    Normal,
}

/// The source of a step's noise and directions.
pub trait Draws {
    /// Noise for the word embeddings of `batch`, `[total_tokens, hidden]` f32 on the CPU. `term`
    /// tells apart the noises of several terms.
    fn noise(
        &self,
        term: u64,
        batch: &PackedBatch,
        hidden: usize,
        distribution: NoiseDistribution,
        range: f64,
    ) -> Result<Tensor>;

    /// ε̂ ~ N(0, I) over all trained parameters, in the form of `like`.
    fn direction(&self, like: &Parameters) -> Result<Parameters>;
}

/// Draws that are a function of (seed, step).
#[derive(Clone, Copy, Debug)]
pub struct HashedDraws {
    key: Key,
}

impl HashedDraws {
    pub fn new(seed: u64, step: u64) -> Self {
        HashedDraws { key: Key::new(seed).at(step) }
    }

    /// The key of the step's clean pass.
    pub fn pass_key(&self) -> Key {
        self.key
    }
}

impl Draws for HashedDraws {
    fn noise(
        &self,
        term: u64,
        batch: &PackedBatch,
        hidden: usize,
        distribution: NoiseDistribution,
        range: f64,
    ) -> Result<Tensor> {
        let mut noise = vec![0f32; batch.total_tokens() * hidden];
        let key = self.key.site(Site::EmbeddingNoise).at(term);
        let rows: Vec<Key> = (0..batch.len())
            .flat_map(|i| {
                let sequence = key.at(u64::from(batch.ids[i].view)).at(u64::from(batch.ids[i].sentence));
                (0..batch.seqlen(i)).map(move |token| sequence.at(token as u64))
            })
            .collect();
        noise.par_chunks_mut(hidden).zip(rows).for_each(|(row, key)| {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = match distribution {
                    NoiseDistribution::Uniform => key.uniform(channel as u32, range) as f32,
                    NoiseDistribution::Normal => (key.normal(channel as u32) * range) as f32,
                };
            }
        });
        Tensor::from_vec(noise, (batch.total_tokens(), hidden), &Device::Cpu)
    }

    fn direction(&self, like: &Parameters) -> Result<Parameters> {
        like.normals(self.key.site(Site::Direction))
    }
}
