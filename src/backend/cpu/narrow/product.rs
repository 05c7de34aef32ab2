//! Goes through a product block by block, so that what is read again is still in a cache.

use super::instructions::Instructions;
use super::kernel::{self, Block, Kind, ZEROS};
use super::operand::{LeftRows, PANEL, PanelColumns, ROWS};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx512};
use rayon::prelude::*;
use std::ops::Range;

/// Words of the depth at a time: with it a block of the left operand stays in the first-level cache.
const DEPTH: usize = 256;
/// Words of a right operand at a time: 512 KiB, which the second-level cache holds beside C.
const RIGHT: usize = 128 * 1024;

/// What sums start from. Sums are of 32 bits, f32 or i32.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// The same row for all rows: a bias.
    Row(&'a [f32]),
    /// What is there.
    Keep,
}

/// `sums = start + left · right`, `sums` being `[left.rows, right.columns]` with `stride` values from row to row.
/// `finish` is called for each block of rows and columns when its sums are whole.
pub(super) fn multiply(
    (instructions, kind): (Instructions, Kind),
    sums: &mut [f32],
    stride: usize,
    start: Start,
    (left, right): (LeftRows, PanelColumns),
    mut finish: impl FnMut(&mut [f32], Range<usize>, Range<usize>),
) {
    let (rows, columns, depth) = (left.rows, right.columns, left.depth);
    if rows == 0 || columns == 0 {
        return;
    }
    assert_eq!(depth, right.depth, "inner dimensions of a product");
    assert!(stride >= columns && (rows - 1) * stride + columns <= sums.len());
    assert!(left.words.len() >= (rows.next_multiple_of(ROWS) - 1) * left.stride + depth);
    assert!(right.words.len() >= columns.next_multiple_of(PANEL) * depth);
    if let Start::Row(row) = start {
        assert_eq!(row.len(), columns, "a bias has one value for each column");
    }
    let kernel = Kernel::new(instructions, kind);
    let at_once = (RIGHT / DEPTH.min(depth.max(1)) / PANEL * PANEL).min(columns.next_multiple_of(PANEL));
    let blocks = depth.div_ceil(DEPTH).max(1);
    for (number, from) in (0..blocks).map(|block| (block, block * DEPTH)) {
        let words = DEPTH.min(depth - from);
        let start = if number == 0 { start } else { Start::Keep };
        for first in (0..columns).step_by(at_once) {
            let group = first..(first + at_once).min(columns);
            for row in (0..rows).step_by(kernel.rows()) {
                let rows = row..(row + kernel.rows()).min(rows);
                for column in group.clone().step_by(PANEL) {
                    let columns = column..(column + PANEL).min(group.end);
                    let at = row * stride + column;
                    // SAFETY: rows, columns and words lie in both operands and in the sums, as asserted above.
                    unsafe {
                        let target = sums.as_mut_ptr().add(at).cast::<u32>();
                        let (start, start_stride) = match start {
                            Start::Zero => (ZEROS.as_ptr(), 0),
                            Start::Row(bias) => (bias.as_ptr().add(column).cast(), 0),
                            Start::Keep => (target.cast_const(), stride),
                        };
                        kernel.run(Block {
                            left: left.words.as_ptr().add(row * left.stride + from),
                            left_stride: left.stride,
                            rows: rows.len(),
                            panel: right.words.as_ptr().add(column * depth + from * PANEL),
                            depth: words,
                            columns: columns.len(),
                            start,
                            start_stride,
                            sums: target,
                            sums_stride: stride,
                        });
                    }
                    if number + 1 == blocks {
                        finish(sums, rows.clone(), columns);
                    }
                }
            }
        }
    }
}

/// The kernel of some instructions, ready to run on this thread.
enum Kernel {
    Portable(Kind),
    #[cfg(target_arch = "x86_64")]
    Avx512(Kind),
    #[cfg(target_arch = "x86_64")]
    Amx(Kind, amx::Tiles),
}

impl Kernel {
    fn new(instructions: Instructions, kind: Kind) -> Self {
        match instructions {
            Instructions::Portable => Kernel::Portable(kind),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => Kernel::Avx512(kind),
            // SAFETY: `Instructions` are those that the machine has.
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx => Kernel::Amx(kind, unsafe { amx::Tiles::set_up() }),
        }
    }

    /// Rows of a block, at most.
    fn rows(&self) -> usize {
        match self {
            Kernel::Portable(_) => ROWS,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512(_) => avx512::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx(..) => amx::ROWS,
        }
    }

    /// # Safety
    /// All that the block names can be read, and its sums written; it has at most [`Kernel::rows`] rows, and the left
    /// operand has rows up to a multiple of [`ROWS`].
    unsafe fn run(&self, block: Block) {
        // SAFETY: forwarded.
        unsafe {
            match self {
                Kernel::Portable(kind) => kernel::block(*kind, block),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx512(kind) => avx512::block(*kind, block),
                #[cfg(target_arch = "x86_64")]
                Kernel::Amx(kind, tiles) => amx::block(tiles, *kind, block),
            }
        }
    }
}

/// Computes a dense product `[rows, columns]` by up to `threads` threads, each of which `part` gives rows of its own: whole
/// tiles, and enough of them to repay waking it.
pub(super) fn share_rows(
    threads: usize,
    (rows, columns): (usize, usize),
    sums: &mut [f32],
    part: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    assert_eq!(sums.len(), rows * columns, "a dense product");
    let share = rows.div_ceil(threads.max(1)).next_multiple_of(ROWS).max(2 * ROWS);
    if share >= rows {
        return part(0..rows, sums);
    }
    sums.par_chunks_mut(share * columns).enumerate().for_each(|(number, sums)| {
        let first = number * share;
        part(first..(first + share).min(rows), sums);
    });
}
