//! What a pass keeps on a GPU, by the kernels of backend/cuda.

use super::Part;
use crate::backend::Precision;
use crate::model::EncoderConfig;

/// What products may use beside their operands.
pub(super) const BASE: u64 = 32 << 20;

/// Rows whose sums are made together.
const STRIPE: u64 = 32;

/// Bytes for the way back.
pub(super) fn kept(config: &EncoderConfig, part: Part, precision: Precision) -> u64 {
    let (hidden, inner, layers) = sizes(config);
    // Queries, keys, values, context, two norms and their outputs; the activation's input. A layer's input is the
    // output before.
    let values = 8 * hidden + inner;
    // The softmax's sums and the deviations of two norms.
    let in_f32 = config.num_attention_heads as u64 + 2;
    part.tokens * (layers * (size(precision) * values + 4 * in_f32) + size(precision) * 2 * hidden)
}

/// Bytes of gradients that are there at the same time where most are, in a layer, and its sums over stripes of rows.
pub(super) fn on_the_way_back(config: &EncoderConfig, part: Part, precision: Precision) -> u64 {
    let (hidden, inner, _) = sizes(config);
    let stripes = part.tokens.div_ceil(STRIPE);
    part.tokens * size(precision) * (3 * hidden + 2 * inner) + 4 * stripes * (9 * hidden + inner)
}

fn sizes(config: &EncoderConfig) -> (u64, u64, u64) {
    let d = &config.dimensions;
    (d.hidden_size as u64, d.intermediate_size as u64, d.num_hidden_layers as u64)
}

fn size(precision: Precision) -> u64 {
    if precision == Precision::F32 { 4 } else { 2 }
}
