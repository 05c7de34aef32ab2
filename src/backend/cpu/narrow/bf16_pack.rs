//! f32 values rounded to pairs of bf16, in the order in which kernels read them.
//!
//! Either operand may lie in memory with its depth along rows or along columns: four ways to pack. Where words of the
//! depth have to become rows or the reverse, eight by eight of them are transposed at a time.

use super::operand::{Left, PANEL, Panels, words_of};
use crate::backend::cpu::matmul::transposed;
use crate::backend::cpu::simd::kernel;
use pulp::bytemuck::{cast, cast_slice_mut};

/// The upper half of an f32, rounded to nearest, ties to even. As `vcvtneps2bf16` has it, values too small to be normal
/// become 0, and what is not a number stays so.
#[inline(always)]
pub(super) fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude > 0x7F80_0000 {
        (bits >> 16) | 0x40
    } else if magnitude < 0x0080_0000 {
        (bits >> 16) & 0x8000
    } else {
        nearest
    }
}

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    rounded(first) | rounded(second) << 16
}

/// A left operand whose rows are those of `x` `[rows, depth]`.
pub(super) fn left_of_rows(x: &[f32], depth: usize) -> Left {
    let rows = x.len() / depth;
    let mut left = Left::new(rows, words_of(depth, 2));
    let stride = left.stride();
    round_rows(x, depth, cast_slice_mut(left.words_mut()), 2 * stride);
    left
}

kernel! {
/// Rows of `columns` values to rows of `stride`, filled up with zeros.
pub(super) fn round_rows<'a, S>(simd, x: &'a [f32], columns: usize, to: &'a mut [u16], stride: usize) {
    for (x, to) in x.chunks_exact(columns).zip(to.chunks_exact_mut(stride)) {
        let (filled, rest) = to.split_at_mut(columns);
        for (to, &x) in filled.iter_mut().zip(x) {
            *to = rounded(x) as u16;
        }
        rest.fill(0);
    }
}
}

kernel! {
/// bf16 values as f32.
pub(super) fn widen<'a, S>(simd, x: &'a [u16], to: &'a mut [f32]) {
    for (to, &x) in to.iter_mut().zip(x) {
        *to = f32::from_bits(u32::from(x) << 16);
    }
}
}

/// A left operand whose rows are the columns of `x` `[depth, columns]`.
pub(super) fn left_of_columns(x: &[f32], columns: usize) -> Left {
    let depth = x.len() / columns;
    let words = words_of(depth, 2);
    let mut left = Left::new(columns, words);
    let stride = left.stride();
    turn_columns(x, columns, left.words_mut(), words, stride);
    left
}

kernel! {
fn turn_columns<'a, S>(simd, x: &'a [f32], columns: usize, to: &'a mut [u32], words: usize, stride: usize) {
    let depth = x.len() / columns;
    let (zeros, whole) = ([0f32; 8], columns / 8 * 8);
    for word in (0..words).step_by(8) {
        for column in (0..whole).step_by(8) {
            let row = |row: usize| if row < depth { &x[row * columns + column..][..8] } else { &zeros };
            // Loops over arrays rather than `from_fn`, whose closures would be compiled without the vectors.
            let mut words = [[0f32; 8]; 8];
            for (i, words) in words.iter_mut().enumerate() {
                let (first, second) = (row(2 * (word + i)), row(2 * (word + i) + 1));
                for (word, (&first, &second)) in words.iter_mut().zip(first.iter().zip(second)) {
                    *word = f32::from_bits(pair(first, second));
                }
            }
            for (j, words) in transposed::<S>(words).iter().enumerate() {
                let to = &mut to[(column + j) * stride + word..][..8];
                to.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_bits());
            }
        }
        for column in whole..columns {
            for word in word..word + 8 {
                let at = |row: usize| if row < depth { x[row * columns + column] } else { 0.0 };
                to[column * stride + word] = pair(at(2 * word), at(2 * word + 1));
            }
        }
    }
}
}

/// A right operand whose columns are those of `x` `[depth, columns]`.
pub(super) fn panels_of_columns(x: &[f32], columns: usize) -> Panels {
    let words = words_of(x.len() / columns, 2);
    let mut panels = Panels::new(words, columns);
    pair_rows(x, columns, panels.words_mut(), words);
    panels
}

kernel! {
fn pair_rows<'a, S>(simd, x: &'a [f32], columns: usize, to: &'a mut [u32], words: usize) {
    let depth = x.len() / columns;
    let zeros = [0f32; PANEL];
    for word in 0..words {
        for first in (0..columns).step_by(PANEL) {
            let width = PANEL.min(columns - first);
            let row = |row: usize| {
                if row < depth { &x[row * columns + first..][..width] } else { &zeros[..width] }
            };
            let to = &mut to[first * words + word * PANEL..][..PANEL];
            for ((to, &a), &b) in to.iter_mut().zip(row(2 * word)).zip(row(2 * word + 1)) {
                *to = pair(a, b);
            }
            to[width..].fill(0);
        }
    }
}
}

/// A right operand whose columns are the rows of `x` `[columns, depth]`.
pub(super) fn panels_of_rows(x: &[f32], depth: usize) -> Panels {
    let columns = x.len() / depth;
    let words = words_of(depth, 2);
    let mut panels = Panels::new(words, columns);
    turn_rows(x, depth, panels.words_mut(), words);
    panels
}

kernel! {
fn turn_rows<'a, S>(simd, x: &'a [f32], depth: usize, to: &'a mut [u32], words: usize) {
    let columns = x.len() / depth;
    for first in (0..columns.next_multiple_of(PANEL)).step_by(8) {
        let panel = &mut to[first / PANEL * PANEL * words..][..PANEL * words];
        let within = first % PANEL;
        let whole = if first + 8 <= columns { depth / 16 * 8 } else { 0 };
        for word in (0..whole).step_by(8) {
            let mut words = [[0f32; 8]; 8];
            for (j, words) in words.iter_mut().enumerate() {
                let from = &x[(first + j) * depth + 2 * word..][..16];
                let mut halves = [0u16; 16];
                for (half, &x) in halves.iter_mut().zip(from) {
                    *half = rounded(x) as u16;
                }
                *words = cast(halves);
            }
            let turned = transposed::<S>(words);
            for (i, words) in turned.iter().enumerate() {
                let to = &mut panel[(word + i) * PANEL + within..][..8];
                to.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_bits());
            }
        }
        for word in whole..words {
            for j in 0..8 {
                let at = |i: usize| {
                    if first + j < columns && i < depth { x[(first + j) * depth + i] } else { 0.0 }
                };
                panel[word * PANEL + within + j] = pair(at(2 * word), at(2 * word + 1));
            }
        }
    }
}
}
