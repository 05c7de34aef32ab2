//! A layer's products in int8, on the way forward alone.
//!
//! A weight's output channels have a scale each, found when it is loaded: its largest value becomes 127. Rows of
//! activations have a scale and a zero each, found as they come: from their least to their largest value they fill
//! 0 to 255. With x = s · (q − z) and w = t · r, Σ x·w = s·t · (Σ q·r − z · Σ r), whose sums of integers are exact, so
//! that all instructions give the same bits.

use super::instructions::{self, Instructions};
use super::kernel::Kind;
use super::operand::{Left, LeftRows, PANEL, Panels, words_of};
use super::product::{Start, multiply, share_rows};
use crate::backend::cpu::products::{Forward, Linears};
use crate::backend::cpu::shape::{EncoderShape, LayerWeights};
use crate::backend::cpu::simd::kernel;
use pulp::bytemuck::cast_slice_mut;
use rayon::prelude::*;

/// All layers' weights in eight bits.
pub(crate) struct Weights(Vec<Linears<Weight>>);

/// A weight `[out, in]` in eight bits.
pub(crate) struct Weight {
    values: Panels,
    /// `[out]`: what one of its steps is.
    scales: Vec<f32>,
    /// `[out]`: the sums of its values.
    sums: Vec<i32>,
}

impl Weights {
    /// Quantises an encoder's weights, in groups: embeddings, layer 0, ….
    pub fn new(shape: &EncoderShape, groups: &[&[f32]]) -> Self {
        let layer = |group: &&[f32]| Linears::of(&LayerWeights::new(shape, group), Weight::new);
        Weights(groups[1..].par_iter().map(layer).collect())
    }
}

/// No layers, but all that multiplies by them.
pub(crate) fn none() -> Weights {
    Weights(Vec::new())
}

impl Weight {
    /// Quantises a weight `[out, inputs]`.
    pub(crate) fn new(weight: &[f32], inputs: usize) -> Self {
        let words = words_of(inputs, 4);
        let mut values = Panels::new(words, weight.len() / inputs);
        let to = values.words_mut();
        to.fill(0);
        let (mut scales, mut sums) = (Vec::new(), Vec::new());
        for (column, row) in weight.chunks_exact(inputs).enumerate() {
            let largest = row.iter().fold(0f32, |most, x| most.max(x.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let quantized = |x: &f32| (x * inverse).round_ties_even() as i8;
            sums.push(row.iter().map(|x| i32::from(quantized(x))).sum());
            // What is not a number makes the channel's outputs not a number.
            scales.push(row.iter().fold(largest / 127.0, |scale, x| scale + x * 0.0));
            let panel = &mut to[column / PANEL * PANEL * words..];
            for (word, four) in row.chunks(4).enumerate() {
                let mut bytes = [0; 4];
                bytes.iter_mut().zip(four).for_each(|(byte, x)| *byte = quantized(x));
                panel[word * PANEL + column % PANEL] = u32::from_le_bytes(bytes.map(|byte| byte as u8));
            }
        }
        Weight { values, scales, sums }
    }
}

/// Rows of activations in eight bits.
pub(crate) struct Rows {
    pub(super) values: Left,
    /// Of each row, what one of its steps is, and which of them is 0.
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    scale: f32,
    zero: i32,
}

impl Forward for Weights {
    type Weight<'a> = &'a Weight;
    type Rows<'a> = Rows;

    fn layer<'a>(&'a self, layer: usize, _: &LayerWeights<'a>) -> Linears<&'a Weight> {
        self.0[layer].each()
    }

    fn rows(&self, x: &[f32], columns: usize) -> Rows {
        rows(x, columns)
    }

    fn linear(&self, threads: usize, x: &Rows, weight: &Weight, bias: &[f32], y: &mut [f32]) {
        let left = x.values.whole();
        share_rows(threads, (left.rows, bias.len()), y, |rows, y| {
            let x = (left.range(rows.clone()), &x.steps[rows]);
            linear(instructions::int8(), x, weight, bias, y);
        });
    }
}

/// Quantises rows of activations.
pub(super) fn rows(x: &[f32], columns: usize) -> Rows {
    let rows = x.len() / columns;
    let mut values = Left::new(rows, words_of(columns, 4));
    let mut steps = vec![Step::default(); rows];
    let stride = 4 * values.stride();
    quantize(x, columns, cast_slice_mut(values.words_mut()), stride, &mut steps);
    Rows { values, steps }
}

/// `y = x · Wᵀ + b`
pub(super) fn linear(
    instructions: Instructions,
    (left, steps): (LeftRows, &[Step]),
    weight: &Weight,
    bias: &[f32],
    y: &mut [f32],
) {
    let columns = bias.len();
    multiply(
        (instructions, Kind::Int8),
        y,
        columns,
        Start::Zero,
        (left, weight.values.whole()),
        |y, rows, part| {
            let channels = (&weight.scales[part.clone()], &weight.sums[part.clone()], &bias[part.clone()]);
            in_f32(&mut y[rows.start * columns + part.start..], columns, &steps[rows], channels);
        },
    );
}

kernel! {
/// Sums of integers, as bits, become outputs: for each step a row of as many as there are channels, `stride` apart.
fn in_f32<'a, S>(
    simd,
    y: &'a mut [f32],
    stride: usize,
    steps: &'a [Step],
    channels: (&'a [f32], &'a [i32], &'a [f32]),
) {
    let (scales, sums, bias) = channels;
    for (y, step) in y.chunks_mut(stride).zip(steps) {
        for (((y, &scale), &sum), &bias) in y.iter_mut().zip(scales).zip(sums).zip(bias) {
            let exact = (y.to_bits() as i32).wrapping_sub(step.zero.wrapping_mul(sum));
            *y = exact as f32 * (step.scale * scale) + bias;
        }
    }
}
}

kernel! {
/// Rows of `columns` values to rows of `stride` bytes, filled up with zeros, which no weight multiplies.
fn quantize<'a, S>(simd, x: &'a [f32], columns: usize, to: &'a mut [u8], stride: usize, steps: &'a mut [Step]) {
    /// Adding it leaves the nearest integer in the lowest bits, ties to even.
    const SHIFT: f32 = 8_388_608.0;
    let rows = x.chunks_exact(columns).zip(to.chunks_exact_mut(stride));
    for ((x, to), step) in rows.zip(steps) {
        let (least, most, poison) = extent(x);
        let inverse = if most > least { 255.0 / (most - least) } else { 0.0 };
        let zero = -least * inverse;
        let zero = (zero + SHIFT) - SHIFT;
        *step = Step { scale: (most - least) / 255.0 + poison, zero: zero as i32 };
        let (filled, rest) = to.split_at_mut(columns);
        for (to, &x) in filled.iter_mut().zip(x) {
            let shifted = x * inverse + zero;
            let shifted = if shifted > 0.0 { shifted } else { 0.0 };
            let shifted = if shifted < 255.0 { shifted } else { 255.0 };
            *to = (shifted + SHIFT).to_bits() as u8;
        }
        rest.fill(0);
    }
}
}

/// The least and the largest of 0 and some values, and 0, or what is not a number where one of them is not finite.
#[inline(always)]
fn extent(x: &[f32]) -> (f32, f32, f32) {
    const LANES: usize = crate::backend::cpu::simd::LANES;
    let (mut least, mut most, mut poison) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
    let mut take = |values: &[f32]| {
        let lanes = least.iter_mut().zip(&mut most).zip(&mut poison);
        for (((least, most), poison), &x) in lanes.zip(values) {
            *least = if x < *least { x } else { *least };
            *most = if x > *most { x } else { *most };
            *poison += x * 0.0;
        }
    };
    let (whole, rest) = x.as_chunks::<LANES>();
    whole.iter().for_each(|chunk| take(chunk));
    take(rest);
    let least = least.into_iter().fold(0f32, f32::min);
    let most = most.into_iter().fold(0f32, f32::max);
    (least, most, poison.iter().sum())
}
