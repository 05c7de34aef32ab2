//! A block of a product: what kernels are given, and the one of plain operations.

use super::operand::PANEL;
use crate::backend::cpu::simd::{Simd, fma, kernel};

/// Some rows of a left operand times a panel, over a stretch of the depth. Sums are f32 or i32, by the kind of number,
/// and start from `start`: zeros, a bias or what C holds.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub left: *const u32,
    /// In words.
    pub left_stride: usize,
    pub rows: usize,
    pub panel: *const u32,
    /// In words, a multiple of 16.
    pub depth: usize,
    /// [`PANEL`] columns or, of the last panel, fewer.
    pub columns: usize,
    pub start: *const u32,
    /// In sums; 0 where all rows start alike.
    pub start_stride: usize,
    pub sums: *mut u32,
    /// In sums.
    pub sums_stride: usize,
}

/// Which numbers a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bf16,
    Int8,
}

/// Zeros to start from.
pub(super) static ZEROS: [u32; PANEL] = [0; PANEL];

/// Numbers that come in words of four bytes, and what their products are summed in.
pub(super) trait Numbers {
    /// f32 or i32.
    type Sum: Copy;
    fn sum_of(bits: u32) -> Self::Sum;
    fn bits_of(sum: Self::Sum) -> u32;
    /// `sum` and the products of a word of each operand.
    fn dot<S: Simd>(left: u32, right: u32, sum: Self::Sum) -> Self::Sum;
}

/// Pairs of bf16 values.
pub(super) struct Bf16;

impl Numbers for Bf16 {
    type Sum = f32;

    #[inline(always)]
    fn sum_of(bits: u32) -> f32 {
        flushed(f32::from_bits(bits))
    }

    #[inline(always)]
    fn bits_of(sum: f32) -> u32 {
        sum.to_bits()
    }

    /// As `vdpbf16ps`: the second of a pair first, each product added and rounded by itself, and sums too small to be
    /// normal become 0. A product of two bf16 values is exact in f32, so that a machine without a fused operation
    /// rounds alike.
    #[inline(always)]
    fn dot<S: Simd>(left: u32, right: u32, sum: f32) -> f32 {
        const SECOND: u32 = 0xFFFF_0000;
        let second = flushed(fma::<S>(f32::from_bits(left & SECOND), f32::from_bits(right & SECOND), sum));
        flushed(fma::<S>(f32::from_bits(left << 16), f32::from_bits(right << 16), second))
    }
}

#[inline(always)]
fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// Fours of bytes: unsigned ones in the left operand, signed ones in the right.
pub(super) struct Int8;

impl Numbers for Int8 {
    type Sum = i32;

    #[inline(always)]
    fn sum_of(bits: u32) -> i32 {
        bits as i32
    }

    #[inline(always)]
    fn bits_of(sum: i32) -> u32 {
        sum as u32
    }

    #[inline(always)]
    fn dot<S: Simd>(left: u32, right: u32, sum: i32) -> i32 {
        let product = |byte: u32| {
            let left = (left >> (8 * byte)) & 0xFF;
            let right = (right << (24 - 8 * byte)) as i32 >> 24;
            left as i32 * right
        };
        sum.wrapping_add(product(0) + product(1) + product(2) + product(3))
    }
}

kernel! {
/// Called by [`block`] alone, whose contract it has.
fn block_of<'a, S>(simd, block: Block, kind: Kind) {
    // SAFETY: forwarded.
    unsafe {
        match kind {
            Kind::Bf16 => rows::<S, Bf16>(block),
            Kind::Int8 => rows::<S, Int8>(block),
        }
    }
}
}

/// # Safety
/// All that the block names can be read, and its sums written.
pub(super) unsafe fn block(kind: Kind, block: Block) {
    block_of(block, kind);
}

/// # Safety
/// As [`block`].
#[inline(always)]
unsafe fn rows<S: Simd, N: Numbers>(b: Block) {
    for row in 0..b.rows {
        // SAFETY: row `row` of all that the block names; a panel has all its columns.
        unsafe {
            let (start, sums) = (b.start.add(row * b.start_stride), b.sums.add(row * b.sums_stride));
            let mut lanes = [N::sum_of(0); PANEL];
            for (j, lane) in lanes.iter_mut().enumerate().take(b.columns) {
                *lane = N::sum_of(*start.add(j));
            }
            for word in 0..b.depth {
                let left = *b.left.add(row * b.left_stride + word);
                let right = &*b.panel.add(word * PANEL).cast::<[u32; PANEL]>();
                for (lane, &right) in lanes.iter_mut().zip(right) {
                    *lane = N::dot::<S>(left, right, *lane);
                }
            }
            for (j, &lane) in lanes.iter().enumerate().take(b.columns) {
                *sums.add(j) = N::bits_of(lane);
            }
        }
    }
}
