//! What a step draws at random besides dropout masks. Hashed in training; recorded in tests.

use candle_core::{Device, Result, Tensor};
use clap::ValueEnum;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batch::{PackedBatch, SequenceId};
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
    /// distinguishes the noises of several terms.
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
    /// The draws of a step (from 1) of a run with this seed.
    pub fn new(seed: u64, step: u64) -> Self {
        HashedDraws { key: Key::new(seed).at(step) }
    }

    /// The key of the step's clean pass.
    pub fn pass_key(&self) -> Key {
        self.key
    }

    /// The key of a sequence's noise, under which its tokens lie.
    fn noise_key(&self, term: u64, id: SequenceId) -> Key {
        let key = self.key.site(Site::EmbeddingNoise).at(term);
        key.at(u64::from(id.view)).at(u64::from(id.sentence))
    }

    fn direction_key(&self) -> Key {
        self.key.site(Site::Direction)
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
        let rows: Vec<Key> = (0..batch.len())
            .flat_map(|i| {
                let sequence = self.noise_key(term, batch.ids[i]);
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
        like.normals(self.direction_key())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::batch::Pass;

    /// Two places with one key would draw the same values: masks that agree, noise that follows a mask.
    #[test]
    fn no_two_places_of_a_step_share_a_key() {
        const SENTENCES: u32 = 14;
        let ids: Vec<SequenceId> = (0..2)
            .flat_map(|view| (0..SENTENCES).map(move |sentence| SequenceId { view, sentence }))
            .collect();
        let draws = HashedDraws::new(42, 3);
        let clean = Pass { key: draws.pass_key(), ..Pass::inference() };
        let mut places = vec![("the clean pass".to_owned(), clean.keys(&ids, 12, 12, 14))];
        for draw in 0..3 {
            places.push((format!("draw {draw}"), clean.redrawn(draw).keys(&ids, 12, 12, 14)));
        }
        for term in 0..4 {
            let rows = ids.iter().flat_map(|&id| (0..14).map(move |t| draws.noise_key(term, id).at(t)));
            places.push((format!("noise {term}"), rows.collect()));
        }
        let blocks = (0..13).flat_map(|group| (0..400).map(move |block| (group, block)));
        let direction = blocks.map(|(group, block)| draws.direction_key().at(group).at(block));
        places.push(("the direction".to_owned(), direction.collect()));
        let mut seen = HashMap::new();
        for (place, keys) in &places {
            for key in keys {
                // 64 bits of a key are a bijection of it.
                if let Some(other) = seen.insert(key.bits64(), place) {
                    panic!("{place} and {other} share a key");
                }
            }
        }
    }
}
