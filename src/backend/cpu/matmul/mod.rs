//! Matrix products: `C = init + A · B` with A at any strides.
//!
//! Parallelism in this room is over chunks of sequences and blocks of gradients. A product is a register-blocked
//! kernel, a packed panel of B that stays in the cache, and a summation order that depends on the depth `k` alone:
//! a row of C has the same bits whatever rows are computed beside it. So where a batch has fewer chunks than there
//! are threads, those left over take rows of the same product ([`shared_matmul`]).

mod kernel;
mod pack;

use super::buffers::{CacheLine, EXACT};
use super::simd::{Simd, kernel};
use kernel::{TileC, TileInit, kernel_of_rows};
pub(super) use pack::transposed;
use pack::{Panel, Tile, pack_b};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows of C that a kernel holds in registers; with two vectors of columns that is 24 of AVX-512's 32.
pub(crate) const MAX_ROWS: usize = 12;
/// Depth of a packed panel of B.
const DEPTH: usize = 512;
/// Values of B packed at a time: 640 KiB, which the second-level cache holds.
const PACKED: usize = 96 * 1024;

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

    /// Columns `range`.
    pub fn column_range(self, range: std::ops::Range<usize>) -> Self {
        self.t().row_range(range).t()
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

/// Rows that repay packing B once more.
const LEAST_ROWS: usize = 2 * MAX_ROWS;
/// Multiplications that repay waking other threads.
const LEAST_WORK: usize = 1 << 20;

/// [`matmul`] by up to `threads` threads, each on rows of its own. `c` is dense.
pub(crate) fn shared_matmul(threads: usize, c: &mut [f32], init: Init, a: Matrix, b: Matrix) {
    let (rows, columns) = (a.rows, b.columns);
    assert_eq!(c.len(), rows * columns, "a dense product");
    if threads <= 1 || rows < 2 * LEAST_ROWS || rows * columns * a.columns < LEAST_WORK {
        return matmul(c, columns, init, a, b);
    }
    let share = rows.div_ceil(threads).next_multiple_of(MAX_ROWS).max(LEAST_ROWS);
    c.par_chunks_mut(share * columns).enumerate().for_each(|(part, c)| {
        let first = part * share;
        matmul(c, columns, init, a.row_range(first..(first + share).min(rows)), b);
    });
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { lines: Vec::new() }) };
}

/// The packed part of B: whole vectors, so that loads are aligned.
struct Scratch {
    lines: Vec<CacheLine>,
}

impl Scratch {
    fn at_least(&mut self, len: usize) -> *mut f32 {
        let lines = len.div_ceil(16);
        if EXACT {
            self.lines = vec![CacheLine([0.0; 16]); lines];
        } else if self.lines.len() < lines {
            self.lines.resize(lines, CacheLine([0.0; 16]));
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
    let most_columns = (PACKED / DEPTH.min(k.max(1)) / width * width).min(n.next_multiple_of(width));
    let panels_len = most_columns * DEPTH.min(k);
    let a_len = tile * DEPTH.min(k);
    let panels = scratch.at_least(panels_len + a_len.next_multiple_of(16));
    let packed_a = panels.wrapping_add(panels_len);
    let blocks = k.div_ceil(DEPTH).max(1);
    for block in 0..blocks {
        let depth = block * DEPTH..((block + 1) * DEPTH).min(k);
        let init = if block == 0 { init } else { Init::Keep };
        let mut column = 0;
        while column < n {
            let columns = most_columns.min(n - column);
            // SAFETY: the scratch holds `columns` rounded up to whole panels times `depth.len()` values
            // (computed above for the largest block) and, behind them, one packed tile of A; `matmul` has
            // checked that A, B and C are as long as their shapes require.
            unsafe {
                // Few rows do not repay the copy, if whole panels can be read where they lie.
                let direct = b.column_stride == 1 && m <= 3 * tile && columns.is_multiple_of(width);
                if !direct {
                    pack_b::<S>(panels, b, depth.clone(), column, columns);
                }
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
                        let panel = if direct {
                            let at = b.data.as_ptr().add(depth.start * b.row_stride + column + start);
                            Panel { at, stride: b.row_stride }
                        } else {
                            Panel { at: panels.add(start * depth.len()), stride: width }
                        };
                        kernel_of_rows(simd, rows, tile_a, panel, tile_c);
                    }
                    row += rows;
                }
            }
            column += columns;
        }
    }
}
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
    fn a_shared_product_has_the_same_bits() {
        for (m, n, k) in [(48, 96, 300), (61, 100, 700), (250, 48, 512), (10, 96, 3000), (200, 3, 4)] {
            let (a, b, old) = (values(1, m * k), values(2, k * n), values(3, m * n));
            let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
            for init in [Init::Zero, Init::Row(&old[..n]), Init::Keep] {
                let mut alone = old.clone();
                matmul(&mut alone, n, init, a, b);
                for threads in [1, 2, 3, 16] {
                    let mut shared = old.clone();
                    shared_matmul(threads, &mut shared, init, a, b);
                    assert_eq!(shared, alone, "{m} × {n} × {k} on {threads} threads");
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
