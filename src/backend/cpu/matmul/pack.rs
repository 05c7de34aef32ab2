//! Copies of parts of A and B in the order in which the kernel reads them.

use super::{Matrix, panel_width, tile_rows};
use crate::backend::cpu::simd::Simd;
use std::ops::Range;

/// Some columns of B over a stretch of its depth: row `p` is at `at + p · stride`, as wide as a panel.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub at: *const f32,
    pub stride: usize,
}

/// Copies columns `column .. column + columns` of B at `depth` into panels: panel by panel `[depth, width]`, padded
/// with zeros to whole vectors.
///
/// # Safety
/// `panels` holds the columns rounded up to whole panels times the depth, and B is in bounds.
#[inline(always)]
pub(super) unsafe fn pack_b<S: Simd>(
    panels: *mut f32,
    b: Matrix,
    depth: Range<usize>,
    column: usize,
    columns: usize,
) {
    let width = panel_width::<S>();
    // SAFETY: by the function's contract.
    unsafe {
        let source = b.data.as_ptr().add(column * b.column_stride + depth.start * b.row_stride);
        if b.column_stride == 1 {
            return copy_panels::<S>(panels, source, b.row_stride, depth.len(), columns);
        }
        for start in (0..columns).step_by(width) {
            let panel = panels.add(start * depth.len());
            let (source, filled) = (source.add(start * b.column_stride), width.min(columns - start));
            transpose_panel::<S>(panel, source, (b.row_stride, b.column_stride), depth.len(), filled);
        }
    }
}

/// Row by row, since those are contiguous in the source.
///
/// # Safety
/// `panels` holds `depth` rows of `columns` rounded up to whole panels, `source` as many of `columns` values.
#[inline(always)]
unsafe fn copy_panels<S: Simd>(
    panels: *mut f32,
    source: *const f32,
    stride: usize,
    depth: usize,
    columns: usize,
) {
    let width = panel_width::<S>();
    let whole = columns / width * width;
    let padded = (columns - whole).next_multiple_of(S::F32_LANES);
    for p in 0..depth {
        // SAFETY: row `p` of the source and of each panel, by the function's contract.
        unsafe {
            let from = source.add(p * stride);
            for start in (0..whole).step_by(width) {
                // A constant length: two vectors.
                let to = panels.add(start * depth + p * width);
                std::ptr::copy_nonoverlapping(from.add(start), to, panel_width::<S>());
            }
            if whole < columns {
                let to = panels.add(whole * depth + p * width);
                std::ptr::copy_nonoverlapping(from.add(whole), to, columns - whole);
                to.add(columns - whole).write_bytes(0, padded - (columns - whole));
            }
        }
    }
}

/// Works on blocks of 8 × 8 where B is the transposed view of a row-major matrix.
///
/// # Safety
/// `panel` holds `depth` rows of the width; element (p, j) of the source, `j` below `filled`, is at
/// `p · row_stride + j · column_stride`.
#[inline(always)]
unsafe fn transpose_panel<S: Simd>(
    panel: *mut f32,
    source: *const f32,
    (row_stride, column_stride): (usize, usize),
    depth: usize,
    filled: usize,
) {
    let width = panel_width::<S>();
    let padded = filled.next_multiple_of(S::F32_LANES);
    let blocks = if row_stride == 1 && S::F32_LANES.is_multiple_of(8) { depth / 8 * 8 } else { 0 };
    for j0 in (0..padded).step_by(8) {
        // SAFETY: columns `j0 .. filled` of the source at depths below `blocks`, and as many rows of the panel.
        unsafe {
            let present = filled.saturating_sub(j0).min(8);
            for p in (0..blocks).step_by(8) {
                let from = source.add(p + j0 * column_stride);
                transpose_block::<S>(panel.add(p * width + j0), width, from, column_stride, present);
            }
        }
    }
    for p in blocks..depth {
        for j in 0..padded {
            // SAFETY: element (p, j) of both sides, or zero where B has no such column.
            unsafe {
                let value = if j < filled { *source.add(p * row_stride + j * column_stride) } else { 0.0 };
                *panel.add(p * width + j) = value;
            }
        }
    }
}

/// Eight columns of eight values become eight rows; columns from `present` on are zeros.
///
/// # Safety
/// `from` holds 8 values at each multiple of `column_stride` below `present`; `to` 8 at each of `width`.
#[inline(always)]
unsafe fn transpose_block<S: Simd>(
    to: *mut f32,
    width: usize,
    from: *const f32,
    column_stride: usize,
    present: usize,
) {
    let mut columns = [[0f32; 8]; 8];
    for (j, column) in columns.iter_mut().enumerate() {
        if j < present {
            // SAFETY: by the function's contract.
            *column = unsafe { from.add(j * column_stride).cast::<[f32; 8]>().read_unaligned() };
        }
    }
    let rows = transposed::<S>(columns);
    for (i, row) in rows.iter().enumerate() {
        // SAFETY: by the function's contract.
        unsafe { to.add(i * width).cast::<[f32; 8]>().write_unaligned(*row) };
    }
}

/// Eight rows of eight values become eight columns, whatever the bits of the values mean.
#[inline(always)]
pub(in crate::backend::cpu) fn transposed<S: Simd>(m: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
    #[cfg(target_arch = "x86_64")]
    if !S::IS_SCALAR {
        // SAFETY: the vector instruction sets of x86-64 that are dispatched to all have AVX.
        return unsafe { transposed_avx(m) };
    }
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

/// # Safety
/// Inlined into a function that has AVX.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transposed_avx(m: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
    use std::arch::x86_64::*;
    // SAFETY: AVX is there by the function's contract; arrays and vectors have the same size.
    unsafe {
        let m: [__m256; 8] = std::mem::transmute(m);
        let pairs: [__m256; 8] = [
            _mm256_unpacklo_ps(m[0], m[1]),
            _mm256_unpackhi_ps(m[0], m[1]),
            _mm256_unpacklo_ps(m[2], m[3]),
            _mm256_unpackhi_ps(m[2], m[3]),
            _mm256_unpacklo_ps(m[4], m[5]),
            _mm256_unpackhi_ps(m[4], m[5]),
            _mm256_unpacklo_ps(m[6], m[7]),
            _mm256_unpackhi_ps(m[6], m[7]),
        ];
        let fours: [__m256; 8] = [
            _mm256_shuffle_ps::<0x44>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0xEE>(pairs[0], pairs[2]),
            _mm256_shuffle_ps::<0x44>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0xEE>(pairs[1], pairs[3]),
            _mm256_shuffle_ps::<0x44>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0xEE>(pairs[4], pairs[6]),
            _mm256_shuffle_ps::<0x44>(pairs[5], pairs[7]),
            _mm256_shuffle_ps::<0xEE>(pairs[5], pairs[7]),
        ];
        std::mem::transmute([
            _mm256_permute2f128_ps::<0x20>(fours[0], fours[4]),
            _mm256_permute2f128_ps::<0x20>(fours[1], fours[5]),
            _mm256_permute2f128_ps::<0x20>(fours[2], fours[6]),
            _mm256_permute2f128_ps::<0x20>(fours[3], fours[7]),
            _mm256_permute2f128_ps::<0x31>(fours[0], fours[4]),
            _mm256_permute2f128_ps::<0x31>(fours[1], fours[5]),
            _mm256_permute2f128_ps::<0x31>(fours[2], fours[6]),
            _mm256_permute2f128_ps::<0x31>(fours[3], fours[7]),
        ])
    }
}

/// Some rows of A over a stretch of its depth. One of the strides is 1.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub at: *const f32,
    pub row_stride: usize,
    pub column_stride: usize,
    pub depth: usize,
}

impl Tile {
    /// A row-major A is read where it lies, as is a small transposed one. A large transposed one is copied to `packed`:
    /// its strides are often multiples of a page's lines, which would evict one another from the
    /// first-level cache.
    ///
    /// # Safety
    /// The tile is inside A; `packed` holds `tile_rows · depth` values.
    #[inline(always)]
    pub unsafe fn new<S: Simd>(
        a: Matrix,
        row: usize,
        rows: usize,
        depth: Range<usize>,
        packed: *mut f32,
    ) -> Self {
        const SMALL: usize = 64;
        let tile = tile_rows::<S>();
        // SAFETY: by the function's contract.
        unsafe {
            let at = a.data.as_ptr().add(row * a.row_stride + depth.start * a.column_stride);
            if a.column_stride == 1 || (a.row_stride == 1 && depth.len() <= SMALL) {
                let (row_stride, column_stride) = (a.row_stride, a.column_stride);
                return Tile { at, row_stride, column_stride, depth: depth.len() };
            }
            for p in 0..depth.len() {
                let (to, from) = (packed.add(p * tile), at.add(p * a.column_stride));
                if rows == tile && a.row_stride == 1 {
                    // A constant length: a few vectors.
                    std::ptr::copy_nonoverlapping(from, to, tile_rows::<S>());
                } else {
                    for i in 0..rows {
                        *to.add(i) = *from.add(i * a.row_stride);
                    }
                }
            }
            Tile { at: packed, row_stride: 1, column_stride: tile, depth: depth.len() }
        }
    }
}
