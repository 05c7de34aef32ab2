//! Blocks by AMX: four tiles of 16 × 16 sums, two of the left operand, two of a panel.
//!
//! The compiler knows neither the tiles nor their instructions yet, so that a whole block is one piece of assembly.

use super::kernel::{Block, Kind};
use super::operand::{PANEL, STEP};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::LazyLock;

/// Rows of a block.
pub(super) const ROWS: usize = 32;

/// Rows and words of a tile.
const TILE: usize = 16;

/// Whether the processor has the tiles and the instructions of `kind`, and the system lets this process use them.
pub(super) fn is_available(kind: Kind) -> bool {
    let leaf = __cpuid_count(7, 0).edx;
    let (tiles, instructions) = (1 << 24, if kind == Kind::Bf16 { 1 << 22 } else { 1 << 25 });
    leaf & tiles != 0 && leaf & instructions != 0 && *PERMITTED
}

/// Linux gives a process the tiles' registers when it asks for them: `arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)`.
static PERMITTED: LazyLock<bool> = LazyLock::new(|| {
    if !cfg!(target_os = "linux") {
        return false;
    }
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: a system call that reads and writes no memory of this process.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
});

/// As `ldtilecfg` reads it: all eight tiles have 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

static WHOLE_TILES: Configuration = {
    let (mut bytes_of_row, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (bytes_of_row[tile], rows[tile]) = (64, TILE as u8);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_row, rows }
};

/// This thread's tiles, ready to be used. They are given up when dropped, so that the system need not save them.
pub(super) struct Tiles(());

impl Tiles {
    /// # Safety
    /// [`is_available`] was true.
    pub unsafe fn set_up() -> Self {
        // SAFETY: the configuration is valid for palette 1, which every AMX has; tiles are clobbered as stated.
        unsafe {
            asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const WHOLE_TILES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the machine has AMX, since the tiles were set up.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

/// # Safety
/// The tiles are set up; all that the block names can be read, and its sums written; it has at most [`ROWS`] rows, and
/// [`ROWS`] rows of the left operand can be read.
pub(super) unsafe fn block(_: &Tiles, kind: Kind, b: Block) {
    if b.rows == ROWS && b.columns == PANEL {
        // SAFETY: forwarded.
        return unsafe { whole_block(kind, b) };
    }
    // Tiles are whole: what the block lacks is computed beside it and left there.
    let mut sums = [[0u32; PANEL]; ROWS];
    for (row, sums) in sums.iter_mut().enumerate().take(b.rows) {
        // SAFETY: `columns` sums of row `row`.
        unsafe {
            let start = b.start.add(row * b.start_stride);
            std::ptr::copy_nonoverlapping(start, sums.as_mut_ptr(), b.columns);
        }
    }
    let at = sums.as_mut_ptr().cast::<u32>();
    let whole = Block { start: at, start_stride: PANEL, sums: at, sums_stride: PANEL, ..b };
    // SAFETY: as the function's contract, with sums of its own.
    unsafe { if b.rows <= TILE { half_block(kind, whole) } else { whole_block(kind, whole) } }
    for (row, sums) in sums.iter().enumerate().take(b.rows) {
        // SAFETY: `columns` sums of row `row`.
        unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), b.sums.add(row * b.sums_stride), b.columns) }
    }
}

/// 32 rows and a whole panel: four tiles of sums.
///
/// # Safety
/// As [`block`].
unsafe fn whole_block(kind: Kind, b: Block) {
    macro_rules! with {
        ($dot:literal) => {
            asm!(
                "tileloadd tmm0, [{start} + {start_stride}]",
                "tileloadd tmm1, [{start} + {start_stride} + 64]",
                "tileloadd tmm2, [{start_below} + {start_stride}]",
                "tileloadd tmm3, [{start_below} + {start_stride} + 64]",
                "2:",
                "tileloadd tmm6, [{left} + {left_stride}]",
                "tileloadd tmm4, [{panel} + {panel_stride}]",
                concat!($dot, " tmm0, tmm6, tmm4"),
                "tileloadd tmm5, [{panel} + {panel_stride} + 64]",
                concat!($dot, " tmm1, tmm6, tmm5"),
                "tileloadd tmm7, [{left_below} + {left_stride}]",
                concat!($dot, " tmm2, tmm7, tmm4"),
                concat!($dot, " tmm3, tmm7, tmm5"),
                "add {panel}, 2048",
                "add {left}, 64",
                "add {left_below}, 64",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {sums_stride}], tmm0",
                "tilestored [{sums} + {sums_stride} + 64], tmm1",
                "tilestored [{sums_below} + {sums_stride}], tmm2",
                "tilestored [{sums_below} + {sums_stride} + 64], tmm3",
                start = in(reg) b.start,
                start_below = in(reg) b.start.wrapping_add(TILE * b.start_stride),
                start_stride = in(reg) 4 * b.start_stride,
                left = inout(reg) b.left => _,
                left_below = inout(reg) b.left.wrapping_add(TILE * b.left_stride) => _,
                left_stride = in(reg) 4 * b.left_stride,
                panel = inout(reg) b.panel => _,
                panel_stride = in(reg) 4 * PANEL,
                steps = inout(reg) b.depth / STEP => _,
                sums = in(reg) b.sums,
                sums_below = in(reg) b.sums.wrapping_add(TILE * b.sums_stride),
                sums_stride = in(reg) 4 * b.sums_stride,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            )
        };
    }
    // SAFETY: by the function's contract; a depth of words has at least one step.
    unsafe {
        match kind {
            Kind::Bf16 => with!("tdpbf16ps"),
            Kind::Int8 => with!("tdpbusd"),
        }
    }
}

/// 16 rows and a whole panel: two tiles of sums.
///
/// # Safety
/// As [`block`].
unsafe fn half_block(kind: Kind, b: Block) {
    macro_rules! with {
        ($dot:literal) => {
            asm!(
                "tileloadd tmm0, [{start} + {start_stride}]",
                "tileloadd tmm1, [{start} + {start_stride} + 64]",
                "2:",
                "tileloadd tmm6, [{left} + {left_stride}]",
                "tileloadd tmm4, [{panel} + {panel_stride}]",
                concat!($dot, " tmm0, tmm6, tmm4"),
                "tileloadd tmm5, [{panel} + {panel_stride} + 64]",
                concat!($dot, " tmm1, tmm6, tmm5"),
                "add {panel}, 2048",
                "add {left}, 64",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {sums_stride}], tmm0",
                "tilestored [{sums} + {sums_stride} + 64], tmm1",
                start = in(reg) b.start,
                start_stride = in(reg) 4 * b.start_stride,
                left = inout(reg) b.left => _,
                left_stride = in(reg) 4 * b.left_stride,
                panel = inout(reg) b.panel => _,
                panel_stride = in(reg) 4 * PANEL,
                steps = inout(reg) b.depth / STEP => _,
                sums = in(reg) b.sums,
                sums_stride = in(reg) 4 * b.sums_stride,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                options(nostack),
            )
        };
    }
    // SAFETY: by the function's contract; a depth of words has at least one step.
    unsafe {
        match kind {
            Kind::Bf16 => with!("tdpbf16ps"),
            Kind::Int8 => with!("tdpbusd"),
        }
    }
}
