//! A layer's products in bf16: operands are rounded as they are packed, sums are f32.

use super::bf16_pack::{left_of_columns, left_of_rows, panels_of_columns, panels_of_rows, round_rows, widen};
use super::instructions;
use super::kernel::Kind;
use super::operand::{Left, LeftRows, PanelColumns, Panels, ROWS};
use super::product::{Start, multiply, share_rows};
use crate::backend::cpu::buffers::Buffer;
use crate::backend::cpu::matmul::Init;
use crate::backend::cpu::products::{Backward, Forward, Linears, Stored, Values};
use crate::backend::cpu::shape::{EncoderShape, LayerWeights};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use rayon::prelude::*;
use std::ops::Range;

/// All layers' weights, each for `x · Wᵀ`.
pub(crate) struct ForwardWeights(Vec<Linears<Panels>>);

/// All layers' weights, each for `gradient · W`.
pub(crate) struct BackwardWeights(Vec<Linears<Panels>>);

impl ForwardWeights {
    /// Rounds an encoder's weights, in groups: embeddings, layer 0, ….
    pub fn new(shape: &EncoderShape, groups: &[&[f32]]) -> Self {
        ForwardWeights(packed(shape, groups, panels_of_rows))
    }
}

/// No layers, but all that multiplies by them.
pub(crate) fn none() -> ForwardWeights {
    ForwardWeights(Vec::new())
}

/// One weight `[out, inputs]`.
pub(crate) fn weight(values: &[f32], inputs: usize) -> Panels {
    panels_of_rows(values, inputs)
}

impl BackwardWeights {
    /// As [`ForwardWeights::new`].
    pub fn new(shape: &EncoderShape, groups: &[&[f32]]) -> Self {
        BackwardWeights(packed(shape, groups, panels_of_columns))
    }
}

fn packed(
    shape: &EncoderShape,
    groups: &[&[f32]],
    pack: impl Fn(&[f32], usize) -> Panels + Sync,
) -> Vec<Linears<Panels>> {
    let layer = |group: &&[f32]| Linears::of(&LayerWeights::new(shape, group), &pack);
    groups[1..].par_iter().map(layer).collect()
}

impl Forward for ForwardWeights {
    type Weight<'a> = &'a Panels;
    type Rows<'a> = Left;

    fn layer<'a>(&'a self, layer: usize, _: &LayerWeights<'a>) -> Linears<&'a Panels> {
        self.0[layer].each()
    }

    fn rows(&self, x: &[f32], columns: usize) -> Left {
        left_of_rows(x, columns)
    }

    fn linear(&self, threads: usize, x: &Left, weight: &Panels, bias: &[f32], y: &mut [f32]) {
        shared_product(threads, y, Start::Row(bias), x, weight);
    }
}

/// Activations as the way back multiplies them: rounded to bf16, which for what only goes into products changes nothing.
pub(crate) struct Rounded {
    /// Two values in a word.
    values: Buffer,
    len: usize,
}

impl From<Buffer> for Rounded {
    fn from(x: Buffer) -> Self {
        let mut values = Buffer::unspecified(x.len().div_ceil(2));
        round_rows(&x, x.len(), cast_slice_mut(&mut values), 2 * x.len().div_ceil(2));
        Rounded { values, len: x.len() }
    }
}

impl Stored for Rounded {
    fn values(&self) -> Values<'_> {
        let mut values = Buffer::unspecified(self.len);
        widen(cast_slice(&self.values), &mut values);
        Values::Own(values)
    }
}

impl Backward for BackwardWeights {
    type Stored = Rounded;
    const TILE_ROWS: usize = ROWS;
    type Weight<'a> = &'a Panels;
    type Rows<'a> = Left;
    type Left = Left;
    type Right<'a> = Panels;

    fn layer<'a>(&'a self, layer: usize, _: &LayerWeights<'a>) -> Linears<&'a Panels> {
        self.0[layer].each()
    }

    fn rows(&self, gradient: &[f32], columns: usize) -> Left {
        left_of_rows(gradient, columns)
    }

    fn through(&self, threads: usize, gradient: &Left, weight: &Panels, init: Init, into: &mut [f32]) {
        let start = match init {
            Init::Zero => Start::Zero,
            Init::Row(row) => Start::Row(row),
            Init::Keep => Start::Keep,
        };
        shared_product(threads, into, start, gradient, weight);
    }

    fn left(&self, gradient: Buffer, columns: usize) -> Left {
        left_of_columns(&gradient, columns)
    }

    fn right(&self, input: Values, columns: usize) -> Panels {
        panels_of_columns(&input, columns)
    }

    fn add_weight_gradient(
        &self,
        (left, rows): (&Left, Range<usize>),
        (right, columns): (&Panels, Range<usize>),
        into: &mut [f32],
        stride: usize,
    ) {
        product(into, stride, Start::Keep, left.range(rows), right.range(columns));
    }
}

fn product(sums: &mut [f32], stride: usize, start: Start, left: LeftRows, right: PanelColumns) {
    let by = (instructions::bf16(), Kind::Bf16);
    multiply(by, sums, stride, start, (left, right), |_, _, _| {});
}

/// By up to `threads` threads, each on rows of its own. `sums` is dense.
fn shared_product(threads: usize, sums: &mut [f32], start: Start, left: &Left, right: &Panels) {
    let (left, right) = (left.whole(), right.whole());
    share_rows(threads, (left.rows, right.columns), sums, |rows, sums| {
        product(sums, right.columns, start, left.range(rows), right);
    });
}
