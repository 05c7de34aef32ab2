//! The register-blocked product of a tile of A and a panel of B.

use super::pack::{Panel, Tile};
use super::{MAX_ROWS, panel_width};
use crate::backend::cpu::simd::Simd;

#[derive(Clone, Copy)]
pub(super) enum TileInit {
    Zero,
    Row(*const f32),
    Keep,
}

/// Where a tile's product goes; `columns` may be fewer than the panel is wide.
#[derive(Clone, Copy)]
pub(super) struct TileC {
    pub at: *mut f32,
    pub stride: usize,
    pub columns: usize,
    pub init: TileInit,
}

/// # Safety
/// `rows` ≤ [`tile_rows`](super::tile_rows), and the tiles lie inside their matrices.
#[inline(always)]
pub(super) unsafe fn kernel_of_rows<S: Simd>(simd: S, rows: usize, a: Tile, panel: Panel, c: TileC) {
    macro_rules! by_rows {
        ($($r:literal)*) => {
            match rows {
                // SAFETY: forwarded.
                $($r => unsafe { kernel_of_strides::<S, $r>(simd, a, panel, c) },)*
                _ => unreachable!("a tile has at most {MAX_ROWS} rows"),
            }
        };
    }
    if S::REGISTER_COUNT >= 32 { by_rows!(1 2 3 4 5 6 7 8 9 10 11 12) } else { by_rows!(1 2 3 4 5 6) }
}

/// # Safety
/// As [`kernel_of_rows`].
#[inline(always)]
unsafe fn kernel_of_strides<S: Simd, const ROWS: usize>(simd: S, a: Tile, panel: Panel, c: TileC) {
    // One of the strides is a constant either way, which leaves the address arithmetic to the loads.
    // SAFETY: forwarded.
    unsafe {
        if a.row_stride == 1 {
            kernel_of_columns::<S, ROWS>(simd, Tile { row_stride: 1, ..a }, panel, c)
        } else {
            kernel_of_columns::<S, ROWS>(simd, Tile { column_stride: 1, ..a }, panel, c)
        }
    }
}

/// # Safety
/// As [`kernel_of_rows`].
#[inline(always)]
unsafe fn kernel_of_columns<S: Simd, const ROWS: usize>(simd: S, a: Tile, panel: Panel, c: TileC) {
    // SAFETY: forwarded.
    unsafe {
        if c.columns == panel_width::<S>() {
            tile_product::<S, ROWS, 2, false>(simd, a, panel, c)
        } else if c.columns > S::F32_LANES {
            tile_product::<S, ROWS, 2, true>(simd, a, panel, c)
        } else {
            tile_product::<S, ROWS, 1, true>(simd, a, panel, c)
        }
    }
}

/// A tile of ROWS × VECTORS whole vectors; where EDGE is set, C has only part of the last one.
///
/// # Safety
/// As [`kernel_of_rows`].
#[inline(always)]
unsafe fn tile_product<S: Simd, const ROWS: usize, const VECTORS: usize, const EDGE: bool>(
    simd: S,
    a: Tile,
    panel: Panel,
    c: TileC,
) {
    let lanes = S::F32_LANES;
    let mask = simd.mask_between_m32s(0, (c.columns - (VECTORS - 1) * lanes) as u32);
    // SAFETY: reads ROWS × depth of A, VECTORS of each row of the panel and `columns` of each row of C.
    unsafe {
        let read = |row: *const f32, vector: usize| {
            let at = row.add(vector * lanes);
            if EDGE && vector == VECTORS - 1 { simd.mask_load_ptr_f32s(mask, at) } else { load(simd, at) }
        };
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        match c.init {
            TileInit::Zero => {}
            TileInit::Row(row) => {
                let bias: [S::f32s; VECTORS] = std::array::from_fn(|v| read(row, v));
                sums = [bias; ROWS];
            }
            TileInit::Keep => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = std::array::from_fn(|v| read(c.at.add(i * c.stride), v));
                }
            }
        }
        let (mut at, mut b) = (a.at, panel.at);
        for _ in 0..a.depth {
            let columns: [S::f32s; VECTORS] = std::array::from_fn(|v| load(simd, b.add(v * lanes)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*at.add(i * a.row_stride));
                for (sum, &column) in sum.iter_mut().zip(&columns) {
                    *sum = simd.mul_add_e_f32s(value, column, *sum);
                }
            }
            b = b.wrapping_add(panel.stride);
            at = at.wrapping_add(a.column_stride);
        }
        for (i, sum) in sums.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                let at = c.at.add(i * c.stride + v * lanes);
                if EDGE && v == VECTORS - 1 {
                    simd.mask_store_ptr_f32s(mask, at, sum);
                } else {
                    at.cast::<S::f32s>().write_unaligned(sum);
                }
            }
        }
    }
}

/// # Safety
/// A whole vector can be read at `at`.
#[inline(always)]
unsafe fn load<S: Simd>(_: S, at: *const f32) -> S::f32s {
    // SAFETY: forwarded; any bits are a valid vector.
    unsafe { at.cast::<S::f32s>().read_unaligned() }
}
