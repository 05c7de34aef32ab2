//! Aligned f32 buffers that are kept and reused.
//!
//! A training step needs the same few sizes again and again, tens of megabytes in all. Handing them
//! back to the system would cost a page fault for every 4 KiB at each step, which is as much time
//! as the elementwise work on them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// A cache line: the alignment that full-width vector loads want.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct CacheLine(pub(super) [f32; 16]);

/// Whether a buffer is just what was asked for and never used again, so that a sanitizer sees a read behind its end:
/// scripts/sanitize builds with `--cfg exact_buffers`.
pub(super) const EXACT: bool = cfg!(exact_buffers);

/// Buffers not in use, by their capacity in lines.
static KEPT: Mutex<BTreeMap<usize, Vec<Vec<CacheLine>>>> = Mutex::new(BTreeMap::new());

/// `len` f32 values at an alignment of 64 bytes. Given back for reuse when dropped.
pub struct Buffer {
    lines: Vec<CacheLine>,
    len: usize,
}

impl Buffer {
    /// A buffer whose contents are unspecified (zeros, or what its last user left).
    pub fn unspecified(len: usize) -> Self {
        let class = size_class(len.div_ceil(16));
        let lines = take_kept(class).unwrap_or_else(|| vec![CacheLine([0.0; 16]); class]);
        Buffer { lines, len }
    }

    pub fn zeros(len: usize) -> Self {
        let mut buffer = Buffer::unspecified(len);
        buffer.fill(0.0);
        buffer
    }
}

/// The smallest buffer not in use that will do, unless it is one of twice the size: those are for rows of
/// twice the width, and would be missed there.
fn take_kept(class: usize) -> Option<Vec<CacheLine>> {
    if EXACT {
        return None;
    }
    let mut kept = KEPT.lock().unwrap_or_else(|e| e.into_inner());
    kept.range_mut(class..2 * class).find_map(|(_, buffers)| buffers.pop())
}

/// Sizes are rounded up to a power of two or three quarters of one, so that chunks of different lengths
/// find each other's buffers: finer steps save less than they cost, since every size is kept for itself.
fn size_class(lines: usize) -> usize {
    if EXACT {
        return lines;
    }
    let step = lines.max(8).next_power_of_two() / 4;
    lines.max(8).next_multiple_of(step)
}

/// Gives the buffers not in use back to the system.
pub fn release_kept() {
    KEPT.lock().unwrap_or_else(|e| e.into_inner()).clear();
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if EXACT {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        KEPT.lock().unwrap_or_else(|e| e.into_inner()).entry(lines.len()).or_default().push(lines);
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` owns at least `len` initialised, contiguous f32 (CacheLine is repr(C) over [f32; 16]
        // without padding), and `len` never exceeds 16 times its length.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
