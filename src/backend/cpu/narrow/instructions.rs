//! Which instructions multiply narrow numbers on this machine.

use super::kernel::Kind;
use crate::backend::cpu::simd::{Allowed, allowed};
use std::sync::LazyLock;

/// What a kernel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Plain operations, compiled for the instruction set of the f32 operations.
    Portable,
    /// `vdpbf16ps` and `vpdpbusd` on vectors of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// `tdpbf16ps` and `tdpbusd` on tiles.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

static BF16: LazyLock<Instructions> = LazyLock::new(|| best(Kind::Bf16));
static INT8: LazyLock<Instructions> = LazyLock::new(|| best(Kind::Int8));

/// Those for products of bf16 values.
pub fn bf16() -> Instructions {
    *BF16
}

/// Those for products of int8 values.
pub fn int8() -> Instructions {
    *INT8
}

/// Whether products of bf16 values are faster than those of f32 here.
pub fn bf16_outruns_f32() -> bool {
    match bf16() {
        Instructions::Portable => false,
        // AMD's processors have twice f32's rate. On Intel's, which leave the work to AMX, one `vdpbf16ps` takes longer
        // than the two operations of f32 that it stands for: 0.6 of f32's rate on a Sapphire Rapids.
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => !is_intel(),
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx => true,
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) fn is_intel() -> bool {
    std::arch::x86_64::__cpuid(0).ecx == u32::from_le_bytes(*b"ntel")
}

impl Instructions {
    /// As the processor's vendor calls them: `AMX`, `AVX-512`, or `emulated`.
    pub fn name(self) -> &'static str {
        match self {
            Instructions::Portable => "emulated",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx => "AMX",
        }
    }
}

/// All that this machine has, the best first.
#[cfg(target_arch = "x86_64")]
pub(super) fn available(kind: Kind) -> Vec<Instructions> {
    let mut found = Vec::new();
    if super::amx::is_available(kind) {
        found.push(Instructions::Amx);
    }
    let dot = match kind {
        Kind::Bf16 => is_x86_feature_detected!("avx512bf16"),
        Kind::Int8 => is_x86_feature_detected!("avx512vnni"),
    };
    if dot && is_x86_feature_detected!("avx512f") {
        found.push(Instructions::Avx512);
    }
    found.push(Instructions::Portable);
    found
}

#[cfg(target_arch = "x86_64")]
fn best(kind: Kind) -> Instructions {
    let is_allowed = |instructions: &Instructions| match instructions {
        Instructions::Portable => true,
        Instructions::Avx512 => allowed() >= Allowed::Avx512Dot,
        Instructions::Amx => allowed() >= Allowed::All,
    };
    available(kind).into_iter().find(is_allowed).unwrap_or(Instructions::Portable)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn available(_: Kind) -> Vec<Instructions> {
    vec![Instructions::Portable]
}

#[cfg(not(target_arch = "x86_64"))]
fn best(_: Kind) -> Instructions {
    Instructions::Portable
}
