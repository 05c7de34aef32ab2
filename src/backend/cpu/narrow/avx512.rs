//! Blocks by AVX-512's dot products: up to [`ROWS`] rows of sums stay in registers.

use super::kernel::{Block, Kind};
use super::operand::PANEL;
use std::arch::x86_64::*;

/// With two vectors of columns that is 24 of the 32 registers.
pub(super) const ROWS: usize = 12;

const LANES: usize = 16;

/// # Safety
/// The machine has the instructions of `kind`; all that the block names can be read, and its sums written; it has at
/// most [`ROWS`] rows.
pub(super) unsafe fn block(kind: Kind, block: Block) {
    macro_rules! by_rows {
        ($kernel:ident: $($rows:literal)*) => {
            match block.rows {
                // SAFETY: forwarded.
                $($rows => unsafe { $kernel::<$rows>(block) },)*
                _ => unreachable!("a block has at most {ROWS} rows"),
            }
        };
    }
    match kind {
        Kind::Bf16 => by_rows!(bf16: 1 2 3 4 5 6 7 8 9 10 11 12),
        Kind::Int8 => by_rows!(int8: 1 2 3 4 5 6 7 8 9 10 11 12),
    }
}

/// # Safety
/// As [`block`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn bf16<const R: usize>(block: Block) {
    // SAFETY: forwarded; vectors of 512 bits have the same size whatever they hold.
    unsafe {
        rows::<R>(block, |sum, left, right| {
            let left = std::mem::transmute::<__m512i, __m512bh>(left);
            let right = std::mem::transmute::<__m512i, __m512bh>(right);
            _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sum), left, right))
        });
    }
}

/// # Safety
/// As [`block`].
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn int8<const R: usize>(block: Block) {
    // SAFETY: forwarded.
    unsafe { rows::<R>(block, |sum, left, right| _mm512_dpbusd_epi32(sum, left, right)) }
}

/// # Safety
/// As [`block`]; inlined into a function that has AVX-512.
#[inline(always)]
unsafe fn rows<const R: usize>(b: Block, dot: impl Fn(__m512i, __m512i, __m512i) -> __m512i) {
    let mask = |vector: usize| -> __mmask16 {
        let columns = b.columns.saturating_sub(vector * LANES).min(LANES);
        ((1u32 << columns) - 1) as __mmask16
    };
    let masks = [mask(0), mask(1)];
    // SAFETY: reads `depth` words of R rows, as many rows of the panel, and `columns` sums of each row.
    unsafe {
        let mut sums: [[__m512i; 2]; R] = std::array::from_fn(|row| {
            std::array::from_fn(|v| {
                let at = b.start.wrapping_add(row * b.start_stride + v * LANES);
                _mm512_maskz_loadu_epi32(masks[v], at.cast())
            })
        });
        let (mut left, mut panel) = (b.left, b.panel);
        for _ in 0..b.depth {
            let right = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(LANES).cast())];
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_epi32(*left.add(row * b.left_stride).cast::<i32>());
                for (sum, &right) in sums.iter_mut().zip(&right) {
                    *sum = dot(*sum, value, right);
                }
            }
            left = left.wrapping_add(1);
            panel = panel.wrapping_add(PANEL);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = b.sums.wrapping_add(row * b.sums_stride + v * LANES);
                _mm512_mask_storeu_epi32(at.cast(), masks[v], sum);
            }
        }
    }
}
