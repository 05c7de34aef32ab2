//! The relative position bias of a chunk's sequences, laid out by offset: what a query adds to its row of scores is
//! a slice of a strip, and so is where its gradient goes.

use super::buffers::Buffer;
use super::shape::EncoderShape;
use super::vectors::add_to;
use crate::model::RelativeBias;

/// A strip for each head: a value for each offset of a key from its query, from `1 − longest` to `longest − 1`.
pub(crate) struct Strips {
    /// `[heads, 2 · longest − 1]`
    values: Buffer,
    heads: usize,
    longest: usize,
}

impl Strips {
    /// Of zeros, for sequences of up to `longest` tokens.
    pub fn zeros(heads: usize, longest: usize) -> Self {
        Strips { values: Buffer::zeros(heads * width(longest)), heads, longest }
    }

    /// Of the bias in `table` `[buckets, heads]`, in units of scores before they are scaled.
    pub fn new(shape: &EncoderShape, table: &[f32], longest: usize) -> Option<Self> {
        let bias = shape.relative?;
        let mut strips = Strips::zeros(shape.heads, longest);
        for (place, row) in places(bias, longest) {
            for head in 0..shape.heads {
                let value = table[row * shape.heads + head] / shape.score_scale();
                strips.values[head * width(longest) + place] = value;
            }
        }
        Some(strips)
    }

    /// A head's bias of all pairs, into `scores` `[queries, keys]`.
    pub fn fill(&self, head: usize, keys: usize, scores: &mut [f32]) {
        for (query, row) in scores.chunks_exact_mut(keys).enumerate() {
            row.copy_from_slice(&self.values[self.start(head, query)..][..keys]);
        }
    }

    /// Adds a head's gradients `[queries, keys]`, offset by offset.
    pub fn add(&mut self, head: usize, keys: usize, gradients: &[f32]) {
        for (query, row) in gradients.chunks_exact(keys).enumerate() {
            let start = self.start(head, query);
            add_to(&mut self.values[start..start + keys], row);
        }
    }

    /// Adds those of another layer.
    pub fn add_all(&mut self, other: &Strips) {
        add_to(&mut self.values, &other.values);
    }

    /// Adds the gradient of the table, `[buckets, heads]`, where these strips are that of unscaled scores.
    pub fn add_to_table(&self, shape: &EncoderShape, table: &mut [f32]) {
        let Some(bias) = shape.relative else { return };
        for (place, row) in places(bias, self.longest) {
            for head in 0..self.heads {
                let gradient = self.values[head * width(self.longest) + place];
                table[row * self.heads + head] += gradient / shape.score_scale();
            }
        }
    }

    /// Where the row of a query begins: its key 0 is `query` tokens before it.
    fn start(&self, head: usize, query: usize) -> usize {
        head * width(self.longest) + self.longest - 1 - query
    }
}

fn width(longest: usize) -> usize {
    (2 * longest).saturating_sub(1)
}

/// Each place of a strip with its bucket.
fn places(bias: RelativeBias, longest: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..width(longest)).map(move |place| (place, bias.bucket(place as isize + 1 - longest as isize)))
}
