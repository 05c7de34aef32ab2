//! One pass over a batch: whose randomness it takes, and how much of it.

use crate::random::{Key, Site};

/// Whose randomness a sequence takes: the view (0 or 1) and the sentence's place in the batch.
/// Masks depend on these and never on where the sequence lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceId {
    /// 0 or 1: which of its sentence's views it is.
    pub view: u32,
    /// The instance within the batch.
    pub sentence: u32,
}

/// What one pass through the encoder may use of randomness. [`Pass::inference`] uses none.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Hash of (seed, step, draw). Passes of a step that share it share every mask.
    pub key: Key,
    /// The probability with which a value of a hidden state is dropped, in [0, 1).
    pub hidden_dropout: f64,
    /// The same for attention probabilities.
    pub attention_dropout: f64,
    /// Probability that a head's output is dropped, per sequence and layer.
    pub drophead: f64,
}

impl Pass {
    /// A pass without dropout and drophead.
    pub fn inference() -> Self {
        Pass { key: Key::new(0), hidden_dropout: 0.0, attention_dropout: 0.0, drophead: 0.0 }
    }

    /// The same pass with other masks, which `draw` names.
    pub fn redrawn(&self, draw: u64) -> Self {
        Pass { key: self.key.site(Site::Redraw).at(draw), ..*self }
    }

    /// The key of one sequence, under which sites of layers lie: `.at(layer).site(site).at(token)`.
    pub fn sequence(&self, id: SequenceId) -> Key {
        self.key.at(u64::from(id.view)).at(u64::from(id.sentence))
    }
}

/// Row key of a hidden-state dropout site. The embeddings' site uses layer 0; layers count from 0.
#[inline(always)]
pub fn row_key(sequence: Key, layer: usize, site: Site, token: usize) -> Key {
    sequence.at(layer as u64).site(site).at(token as u64)
}

/// Row key of the dropout of attention probabilities for one query token and head.
#[inline(always)]
pub fn attention_row_key(sequence: Key, layer: usize, head: usize, query: usize) -> Key {
    sequence.at(layer as u64).site(Site::AttentionProbs).at(head as u64).at(query as u64)
}

/// Row key of the dropout before layer `place` of a head, for one sequence.
pub fn head_row_key(sequence: Key, place: usize) -> Key {
    row_key(sequence, place, Site::Head, 0)
}

/// Key of a layer's drophead for one sequence.
fn drophead_key(sequence: Key, layer: usize) -> Key {
    sequence.at(layer as u64).site(Site::Drophead)
}

/// The factors of a sequence's heads in `layer`: 0 for a dropped one, heads / kept for the rest.
/// Where no head would be kept, all are (the original divides by zero there).
pub fn drophead_factors(pass: &Pass, sequence: Key, layer: usize, heads: usize) -> Vec<f32> {
    if pass.drophead <= 0.0 {
        return vec![1.0; heads];
    }
    let key = drophead_key(sequence, layer);
    let kept: Vec<bool> = (0..heads).map(|h| key.unit(h as u32) >= pass.drophead).collect();
    match kept.iter().filter(|&&k| k).count() {
        0 => vec![1.0; heads],
        n => kept.iter().map(|&k| if k { heads as f32 / n as f32 } else { 0.0 }).collect(),
    }
}

#[cfg(test)]
impl Pass {
    /// All keys of the pass for some sequences, a head's included.
    pub(crate) fn keys(&self, ids: &[SequenceId], layers: usize, heads: usize, tokens: usize) -> Vec<Key> {
        /// Of a head; there are two at most so far.
        const HEAD_LAYERS: usize = 3;
        let mut keys = Vec::new();
        for sequence in ids.iter().map(|&id| self.sequence(id)) {
            keys.extend((0..tokens).map(|token| row_key(sequence, 0, Site::Embeddings, token)));
            keys.extend((0..HEAD_LAYERS).map(|place| head_row_key(sequence, place)));
            for layer in 0..layers {
                keys.push(drophead_key(sequence, layer));
                for token in 0..tokens {
                    let sites = [Site::AttentionOutput, Site::FeedForwardOutput];
                    keys.extend(sites.map(|site| row_key(sequence, layer, site, token)));
                    keys.extend((0..heads).map(|head| attention_row_key(sequence, layer, head, token)));
                }
            }
        }
        keys
    }
}
