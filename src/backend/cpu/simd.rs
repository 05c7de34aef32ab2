//! The instruction set, chosen once at run time, and the few lane idioms that kernels share.
//!
//! Kernels are `#[inline(always)]` functions over a type `S: Simd`; [`kernel!`] compiles one for
//! every instruction set and runs the best that this machine has. Most are plain loops over
//! slices which the compiler vectorises inside the dispatched function; reductions keep
//! [`LANES`] partial sums whatever the instruction set, so their order never depends on it.

use std::sync::LazyLock;

pub(crate) use pulp::{Arch, Simd};

/// Partial sums of every reduction.
pub(crate) const LANES: usize = 16;

/// What `MIRROR_SIMD` allows of what this machine has, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allowed {
    Portable,
    Avx2,
    /// Of AVX-512 what f32 needs.
    Avx512,
    /// Its dot products of bf16 and int8 too.
    Avx512Dot,
    All,
}

/// `MIRROR_SIMD=portable`, `avx2`, `avx512` or `avx512-dot` asks for less than this machine has, to try those paths.
static ALLOWED: LazyLock<Allowed> = LazyLock::new(|| match std::env::var("MIRROR_SIMD").as_deref() {
    Ok("portable") => Allowed::Portable,
    Ok("avx2") => Allowed::Avx2,
    Ok("avx512") => Allowed::Avx512,
    Ok("avx512-dot") => Allowed::Avx512Dot,
    _ => Allowed::All,
});

pub(crate) fn allowed() -> Allowed {
    *ALLOWED
}

static ARCH: LazyLock<Arch> = LazyLock::new(|| match allowed() {
    Allowed::Portable => Arch::Scalar,
    #[cfg(target_arch = "x86_64")]
    Allowed::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
    _ => Arch::new(),
});

pub(crate) fn arch() -> Arch {
    *ARCH
}

/// What the kernels run on, by the processor's architecture and the name of the level: `x86_64 V4`.
pub fn instruction_set() -> String {
    // The enum's name without the list of what it stands for.
    let level = format!("{:?}", arch());
    let level = level.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    format!("{} {level}", std::env::consts::ARCH)
}

/// Defines a function whose body is compiled for every instruction set and run by the best that this machine has.
///
/// `kernel! { fn name<'a, S>(simd, x: &'a [f32], …) -> T { … } }`: references name the lifetime, and the
/// body may use `S: Simd` and the token `simd`.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<'a, $s:ident>($simd:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<'a>($($arg: $ty),*) $(-> $ret)? {
            struct Op<'a> {
                $($arg: $ty,)*
                lifetime: std::marker::PhantomData<&'a ()>,
            }
            impl<'a> pulp::WithSimd for Op<'a> {
                type Output = kernel!(@ret $($ret)?);
                #[inline(always)]
                #[allow(unused_variables)]
                fn with_simd<$s: pulp::Simd>(self, $simd: $s) -> Self::Output {
                    let Op { $($arg,)* .. } = self;
                    $body
                }
            }
            $crate::backend::cpu::simd::arch().dispatch(Op { $($arg,)* lifetime: std::marker::PhantomData })
        }
    };
    (@ret) => { () };
    (@ret $ret:ty) => { $ret };
}
pub(crate) use kernel;

/// `a · b + c`, in one instruction where the instruction set has it. `f32::mul_add` elsewhere
/// would be a call into libm.
#[inline(always)]
pub(crate) fn fma<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if !S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// The sum of all lanes, as a fixed tree.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
