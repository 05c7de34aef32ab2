//! Matrix products of one thread: `C = init + A · B` with A at any strides.
//!
//! Parallelism in this room is over chunks of sequences and blocks of gradients, never inside a
//! product. What is left is a register-blocked kernel, a packed panel of B that stays in the
//! cache, and a summation order that depends on the depth `k` alone: a row of C has the same bits whatever
//! rows are computed beside it.

use super::simd::{Simd, kernel};
use std::cell::RefCell;

/// Rows of C that a kernel holds in registers; with two vectors of columns that is 24 of AVX-512's 32.
const MAX_ROWS: usize = 12;
/// Depth of a packed panel of B.
const DEPTH: usize = 512;
/// Columns of B packed at a time: with [`DEPTH`], half a megabyte, which the second-level cache holds.
const COLUMNS: usize = 256;

/// A matrix read at any strides: element (i, j) is `data[i · row_stride + j · column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, row-major and dense.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Matrix::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]` with `row_stride` elements from row to row.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let matrix = Matrix { data, rows, columns, row_stride, column_stride: 1 };
        matrix.check();
        matrix
    }

    /// The transposed view of the same data.
    pub fn t(self) -> Self {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Rows `range`.
    pub fn row_range(self, range: std::ops::Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows);
        if range.is_empty() {
            return Matrix { rows: 0, ..self };
        }
        Matrix { data: &self.data[range.start * self.row_stride..], rows: range.len(), ..self }
    }

    fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.data.len(), "a matrix view reaches past its data");
        }
    }
}

/// What C holds before the product is added.
#[derive(Clone, Copy)]
pub(crate) enum Init<'a> {
    Zero,
    /// The same row for all rows: a bias.
    Row(&'a [f32]),
    /// What is there: `C += A · B`.
    Keep,
}

/// `C = init + A · B`, C being `[a.rows, b.columns]` with `c_stride` elements from row to row.
pub(crate) fn matmul(c: &mut [f32], c_stride: usize, init: Init, a: Matrix, b: Matrix) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a product");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    assert!(c_stride >= b.columns && (a.rows - 1) * c_stride + b.columns <= c.len());
    if let Init::Row(row) = init {
        assert_eq!(row.len(), b.columns, "a bias has one value for each column");
    }
    a.check();
    b.check();
    SCRATCH.with_borrow_mut(|scratch| product(c, c_stride, init, a, b, scratch));
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { lines: Vec::new() }) };
}

/// The packed part of B: whole vectors, so that loads are aligned.
struct Scratch {
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Scratch {
    fn at_least(&mut self, len: usize) -> *mut f32 {
        let lines = len.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; 16]));
        }
        self.lines.as_mut_ptr().cast()
    }
}

/// Columns of a panel: two vectors.
const fn panel_width<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// Rows of a tile: as many as leave registers for B and a broadcast.
const fn tile_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { MAX_ROWS } else { 6 }
}

kernel! {
fn product<'a, S>(
    simd,
    c: &'a mut [f32],
    c_stride: usize,
    init: Init<'a>,
    a: Matrix<'a>,
    b: Matrix<'a>,
    scratch: &'a mut Scratch,
) {
    let (width, tile) = (panel_width::<S>(), tile_rows::<S>());
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let panels_len = COLUMNS.min(n.next_multiple_of(width)).next_multiple_of(width) * DEPTH.min(k);
    let a_len = tile * DEPTH.min(k);
    let panels = scratch.at_least(panels_len + a_len.next_multiple_of(16));
    let packed_a = panels.wrapping_add(panels_len);
    let blocks = k.div_ceil(DEPTH).max(1);
    for block in 0..blocks {
        let depth = block * DEPTH..((block + 1) * DEPTH).min(k);
        let init = if block == 0 { init } else { Init::Keep };
        let mut column = 0;
        while column < n {
            let columns = COLUMNS.min(n - column);
            // SAFETY: the scratch holds `columns` rounded up to whole panels times `depth.len()` values
            // (computed above for the largest block) and, behind them, one packed tile of A; `matmul` has
            // checked that A, B and C hold what their shapes say.
            unsafe {
                pack_b::<S>(panels, b, depth.clone(), column, columns);
                let mut row = 0;
                while row < m {
                    let rows = tile.min(m - row);
                    let tile_a = Tile::new::<S>(a, row, rows, depth.clone(), packed_a);
                    for start in (0..columns).step_by(width) {
                        let tile_c = TileC {
                            at: c.as_mut_ptr().add(row * c_stride + column + start),
                            stride: c_stride,
                            columns: width.min(columns - start),
                            init: match init {
                                Init::Zero => TileInit::Zero,
                                Init::Row(bias) => TileInit::Row(bias.as_ptr().add(column + start)),
                                Init::Keep => TileInit::Keep,
                            },
                        };
                        kernel_of_rows(simd, rows, tile_a, panels.add(start * depth.len()), tile_c);
                    }
                    row += rows;
                }
            }
            column += columns;
        }
    }
}
}

/// Copies columns `column .. column + columns` of B at `depth` into panels: panel by panel
/// `[depth, width]`, padded with zeros to the width.
///
/// # Safety
/// `panels` holds the columns rounded up to whole panels times the depth, and B is in bounds.
#[inline(always)]
unsafe fn pack_b<S: Simd>(
    panels: *mut f32,
    b: Matrix,
    depth: std::ops::Range<usize>,
    column: usize,
    columns: usize,
) {
    let width = panel_width::<S>();
    for start in (0..columns).step_by(width) {
        // SAFETY: by the function's contract; the last panel's missing columns are written as zeros.
        unsafe {
            let panel = panels.add(start * depth.len());
            let filled = width.min(columns - start);
            let source = b.data.as_ptr().add((column + start) * b.column_stride + depth.start * b.row_stride);
            if b.column_stride == 1 {
                copy_panel::<S>(panel, source, b.row_stride, depth.len(), filled);
            } else {
                transpose_panel::<S>(panel, source, b.row_stride, b.column_stride, depth.len(), filled);
            }
        }
    }
}

/// # Safety
/// `panel` holds `depth` rows of the width, `source` as many rows of `filled` values.
#[inline(always)]
unsafe fn copy_panel<S: Simd>(
    panel: *mut f32,
    source: *const f32,
    stride: usize,
    depth: usize,
    filled: usize,
) {
    let width = panel_width::<S>();
    for p in 0..depth {
        // SAFETY: row `p` of both, by the function's contract.
        unsafe {
            let (to, from) = (panel.add(p * width), source.add(p * stride));
            if filled == width {
                for j in 0..width {
                    *to.add(j) = *from.add(j);
                }
            } else {
                for j in 0..width {
                    *to.add(j) = if j < filled { *from.add(j) } else { 0.0 };
                }
            }
        }
    }
}

/// Reads blocks of 8 × 8, so that both sides touch whole stretches of a cache line.
///
/// # Safety
/// As [`copy_panel`], with element (p, j) at `p · row_stride + j · column_stride`.
#[inline(always)]
unsafe fn transpose_panel<S: Simd>(
    panel: *mut f32,
    source: *const f32,
    row_stride: usize,
    column_stride: usize,
    depth: usize,
    filled: usize,
) {
    let width = panel_width::<S>();
    for j0 in (0..width).step_by(8) {
        let mut p = 0;
        if width % 8 == 0 && j0 + 8 <= filled && row_stride == 1 {
            while p + 8 <= depth {
                let mut block = [[0f32; 8]; 8];
                for (j, row) in block.iter_mut().enumerate() {
                    // SAFETY: 8 values of column `j0 + j` from depth `p`, inside the source.
                    *row = unsafe {
                        source.add(p + (j0 + j) * column_stride).cast::<[f32; 8]>().read_unaligned()
                    };
                }
                let mut turned = [[0f32; 8]; 8];
                for i in 0..8 {
                    for j in 0..8 {
                        turned[i][j] = block[j][i];
                    }
                }
                for (i, row) in turned.iter().enumerate() {
                    // SAFETY: 8 values of row `p + i` of the panel.
                    unsafe { panel.add((p + i) * width + j0).cast::<[f32; 8]>().write_unaligned(*row) };
                }
                p += 8;
            }
        }
        while p < depth {
            for j in j0..(j0 + 8).min(width) {
                // SAFETY: element (p, j) of both sides, or zero where B has no such column.
                unsafe {
                    let value =
                        if j < filled { *source.add(p * row_stride + j * column_stride) } else { 0.0 };
                    *panel.add(p * width + j) = value;
                }
            }
            p += 1;
        }
    }
}

/// Some rows of A over a stretch of its depth.
#[derive(Clone, Copy)]
struct Tile {
    at: *const f32,
    row_stride: usize,
    column_stride: usize,
    depth: usize,
    packed: bool,
}

impl Tile {
    /// A row-major A is read where it lies; a transposed one is copied to `packed`, since its strides are often
    /// multiples of a page's lines and would evict one another from the first-level cache.
    ///
    /// # Safety
    /// The tile is inside A; `packed` holds `tile_rows · depth` values.
    #[inline(always)]
    unsafe fn new<S: Simd>(
        a: Matrix,
        row: usize,
        rows: usize,
        depth: std::ops::Range<usize>,
        packed: *mut f32,
    ) -> Self {
        // SAFETY: the tile's first element is inside A.
        let at = unsafe { a.data.as_ptr().add(row * a.row_stride + depth.start * a.column_stride) };
        if a.column_stride == 1 {
            return Tile {
                at,
                row_stride: a.row_stride,
                column_stride: 1,
                depth: depth.len(),
                packed: false,
            };
        }
        let tile = tile_rows::<S>();
        for p in 0..depth.len() {
            for i in 0..rows {
                // SAFETY: element (i, p) of the tile, and its place in the packed copy.
                unsafe { *packed.add(p * tile + i) = *at.add(p * a.column_stride + i * a.row_stride) };
            }
        }
        Tile { at: packed, row_stride: 1, column_stride: tile, depth: depth.len(), packed: true }
    }
}

#[derive(Clone, Copy)]
enum TileInit {
    Zero,
    Row(*const f32),
    Keep,
}

/// Where a tile's product goes; `columns` may be fewer than the panel is wide.
#[derive(Clone, Copy)]
struct TileC {
    at: *mut f32,
    stride: usize,
    columns: usize,
    init: TileInit,
}

/// # Safety
/// `rows` ≤ [`tile_rows`], and the tiles lie inside their matrices.
#[inline(always)]
unsafe fn kernel_of_rows<S: Simd>(simd: S, rows: usize, a: Tile, panel: *const f32, c: TileC) {
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
unsafe fn kernel_of_strides<S: Simd, const ROWS: usize>(simd: S, a: Tile, panel: *const f32, c: TileC) {
    // One of the strides is a constant either way, which leaves the address arithmetic to the loads.
    // SAFETY: forwarded.
    unsafe {
        if a.packed {
            let a = Tile { row_stride: 1, column_stride: tile_rows::<S>(), ..a };
            kernel_of_columns::<S, ROWS>(simd, a, panel, c)
        } else {
            kernel_of_columns::<S, ROWS>(simd, Tile { column_stride: 1, ..a }, panel, c)
        }
    }
}

/// # Safety
/// As [`kernel_of_rows`].
#[inline(always)]
unsafe fn kernel_of_columns<S: Simd, const ROWS: usize>(simd: S, a: Tile, panel: *const f32, c: TileC) {
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
    panel: *const f32,
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
        let (mut at, mut b) = (a.at, panel);
        for _ in 0..a.depth {
            let columns: [S::f32s; VECTORS] = std::array::from_fn(|v| load(simd, b.add(v * lanes)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*at.add(i * a.row_stride));
                for (sum, &column) in sum.iter_mut().zip(&columns) {
                    *sum = simd.mul_add_e_f32s(value, column, *sum);
                }
            }
            b = b.add(panel_width::<S>());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;
    use proptest::prelude::*;

    fn values(salt: u64, n: usize) -> Vec<f32> {
        (0..n).map(|i| Key::new(salt).at(i as u64).normal(0) as f32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_the_product_with_either_operand_transposed(
            m in 1usize..40, n in 1usize..70, k in 0usize..700, pad in 0usize..3, init in 0u8..3,
            a_turned: bool, b_turned: bool,
        ) {
            let (a, b) = (values(1, (m + pad) * (k + pad)), values(2, (n + pad) * (k + pad)));
            let view = |data, rows, columns, turned: bool| {
                if turned { Matrix::strided(data, columns, rows, rows + pad).t() }
                else { Matrix::strided(data, rows, columns, columns + pad) }
            };
            let (a, b) = (view(&a, m, k, a_turned), view(&b, k, n, b_turned));
            let (old, bias) = (values(3, m * (n + pad)), values(4, n));
            let mut c = old.clone();
            let init = match init { 0 => Init::Zero, 1 => Init::Row(&bias), _ => Init::Keep };
            matmul(&mut c, n + pad, init, a, b);
            let at = |x: &Matrix, i, j| f64::from(x.data[i * x.row_stride + j * x.column_stride]);
            for i in 0..m {
                for j in 0..n + pad {
                    let (got, was) = (c[i * (n + pad) + j], old[i * (n + pad) + j]);
                    if j >= n {
                        prop_assert_eq!(got, was, "a column beside C was written");
                        continue;
                    }
                    let start = match init { Init::Zero => 0.0, Init::Row(b) => f64::from(b[j]), Init::Keep => f64::from(was) };
                    let want: f64 = start + (0..k).map(|p| at(&a, i, p) * at(&b, p, j)).sum::<f64>();
                    let size: f64 = (0..k).map(|p| (at(&a, i, p) * at(&b, p, j)).abs()).sum::<f64>() + 1.0;
                    prop_assert!((f64::from(got) - want).abs() < 4e-7 * size, "({}, {}): {} {}", i, j, got, want);
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_beside_any_others() {
        let (m, n, k) = (37, 300, 600);
        let (a, b) = (values(1, m * k), values(2, k * n));
        let mut all = vec![0f32; m * n];
        matmul(&mut all, n, Init::Zero, Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        for i in 0..m {
            let mut row = vec![0f32; n];
            matmul(&mut row, n, Init::Zero, Matrix::new(&a[i * k..], 1, k), Matrix::new(&b, k, n));
            assert_eq!(row, all[i * n..(i + 1) * n]);
        }
    }
}
