//! Elementary functions as polynomials, so that loops over them vectorise.
//!
//! Each is a straight line without branches or calls. Errors are measured against the f64
//! functions in the tests.

use super::simd::{Simd, fma};

/// Adding and subtracting 1.5 · 2²³ rounds a small f32 to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// e^x for x ≤ 88 (Cephes' polynomial); below −87.3 it stays at 1.2e-38.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.0);
    let shifted = fma::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<S>(n, -0.693_359_4, x);
    let r = fma::<S>(n, 2.121_944_4e-4, r);
    let p = fma::<S>(1.987_569_2e-4, r, 1.398_199_9e-3);
    let p = fma::<S>(p, r, 8.333_452e-3);
    let p = fma::<S>(p, r, 4.166_579_6e-2);
    let p = fma::<S>(p, r, 0.166_666_65);
    let p = fma::<S>(p, r, 0.5);
    let y = fma::<S>(p, r * r, r) + 1.0;
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23;
    y * f32::from_bits(exponent)
}

/// The error function: a rational approximation on [−4, 4] (Eigen's), constant outside.
#[inline(always)]
pub(crate) fn erf<S: Simd>(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = fma::<S>(-2.726_142_3e-10, s, 2.770_681_4e-8);
    let p = fma::<S>(p, s, -2.101_024e-6);
    let p = fma::<S>(p, s, -5.692_506_4e-5);
    let p = fma::<S>(p, s, -7.349_906_3e-4);
    let p = fma::<S>(p, s, -2.954_6e-3);
    let p = fma::<S>(p, s, -1.609_603_3e-2);
    let q = fma::<S>(-1.456_607_2e-5, s, -2.133_740_6e-4);
    let q = fma::<S>(q, s, -1.682_827e-3);
    let q = fma::<S>(q, s, -7.373_329e-3);
    let q = fma::<S>(q, s, -1.426_473_9e-2);
    x * p / q
}

/// tanh, by its exponential.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(x: f32) -> f32 {
    let x = x.clamp(-10.0, 10.0);
    1.0 - 2.0 / (exp::<S>(2.0 * x) + 1.0)
}

/// 1 / (1 + e^−x)
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>((-x).min(87.0)))
}

/// `a · b + c` in f64, fused where that is an instruction.
#[inline(always)]
fn fma64<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if !S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// The natural logarithm of a normal, positive f64, to about 1e-13 relative to max(1, |ln x|).
#[inline(always)]
pub(crate) fn ln64<S: Simd>(x: f64) -> f64 {
    // x = m · 2^e with m in [√½, √2): by moving the split of mantissa and exponent.
    const SQRT_HALF_BITS: u64 = 0x3FE6_A09E_667F_3BCD;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let m = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF).wrapping_add(SQRT_HALF_BITS));
    // The exponent as a float without an integer conversion: it sits in the low bits of 1.5 · 2⁵².
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let e = (bits as i64) >> 52;
    let e = f64::from_bits(SHIFT.to_bits().wrapping_add(e as u64)) - SHIFT;
    // ln m = 2 artanh((m − 1) / (m + 1)), |t| ≤ 0.1716.
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let p = fma64::<S>(s, 2.0 / 15.0, 2.0 / 13.0);
    let p = fma64::<S>(p, s, 2.0 / 11.0);
    let p = fma64::<S>(p, s, 2.0 / 9.0);
    let p = fma64::<S>(p, s, 2.0 / 7.0);
    let p = fma64::<S>(p, s, 2.0 / 5.0);
    let p = fma64::<S>(p, s, 2.0 / 3.0);
    let p = fma64::<S>(p, s, 2.0);
    fma64::<S>(e, std::f64::consts::LN_2, t * p)
}

/// cos and sin of `turns` · 2π for turns in [0, 1], to about 1e-12.
#[inline(always)]
pub(crate) fn cos_sin_turns<S: Simd>(turns: f64) -> (f64, f64) {
    // The nearest quarter turn, and the rest as an angle in [−π/4, π/4].
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let shifted = fma64::<S>(turns, 4.0, SHIFT);
    let quarter = shifted.to_bits();
    let angle = (fma64::<S>(turns, 4.0, -(shifted - SHIFT))) * std::f64::consts::FRAC_PI_2;
    let s = angle * angle;
    let c = fma64::<S>(s, 2.087_675_698_786_81e-9, -2.755_731_922_398_589e-7);
    let c = fma64::<S>(c, s, 2.480_158_730_158_73e-5);
    let c = fma64::<S>(c, s, -1.388_888_888_888_889e-3);
    let c = fma64::<S>(c, s, 4.166_666_666_666_666_4e-2);
    let c = fma64::<S>(c, s, -0.5);
    let c = fma64::<S>(c, s, 1.0);
    let p = fma64::<S>(s, 1.605_904_383_682_161_5e-10, -2.505_210_838_544_172e-8);
    let p = fma64::<S>(p, s, 2.755_731_922_398_589_3e-6);
    let p = fma64::<S>(p, s, -1.984_126_984_126_984e-4);
    let p = fma64::<S>(p, s, 8.333_333_333_333_333e-3);
    let p = fma64::<S>(p, s, -0.166_666_666_666_666_66);
    let sine = fma64::<S>(p * s, angle, angle);
    // Quarter turns swap the two and change signs.
    let swap = quarter & 1 == 1;
    let (x, y) = if swap { (sine, c) } else { (c, sine) };
    let negative_x = ((quarter.wrapping_add(1)) >> 1 & 1) << 63;
    let negative_y = (quarter >> 1 & 1) << 63;
    (f64::from_bits(x.to_bits() ^ negative_x), f64::from_bits(y.to_bits() ^ negative_y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::simd::kernel;

    kernel! {
    /// The largest errors of exp (relative), erf, tanh and sigmoid (absolute) at `xs`.
    fn values<'a, S>(simd, xs: &'a [f32], out: &'a mut [[f32; 4]]) {
        for (out, &x) in out.iter_mut().zip(xs) {
            *out = [exp::<S>(x), erf::<S>(x), tanh::<S>(x), sigmoid::<S>(x)];
        }
    }
    }

    kernel! {
    fn values64<'a, S>(simd, us: &'a [f64], out: &'a mut [[f64; 3]]) {
        for (out, &u) in out.iter_mut().zip(us) {
            let (c, s) = cos_sin_turns::<S>(u);
            *out = [ln64::<S>(u), c, s];
        }
    }
    }

    /// erf in f64: its Maclaurin series, or one minus the continued fraction of erfc.
    fn erf64(x: f64) -> f64 {
        if x.abs() < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else {
            let a = x.abs();
            let tail = (1..200).rev().fold(a, |f, n| a + f64::from(n) / 2.0 / f);
            x.signum() * (1.0 - (-a * a).exp() / (std::f64::consts::PI.sqrt() * tail))
        }
    }

    #[test]
    fn f32_functions_are_close_to_f64() {
        let xs: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 1e-4 * 4.0).collect();
        let mut out = vec![[0f32; 4]; xs.len()];
        values(&xs, &mut out);
        let mut worst = [0f64; 4];
        for (&x, y) in xs.iter().zip(&out) {
            let x = f64::from(x);
            let mut check = |i: usize, want: f64, scale: f64| {
                worst[i] = worst[i].max((f64::from(y[i]) - want).abs() / scale);
            };
            if x > -87.0 {
                check(0, x.exp(), x.exp());
            }
            check(1, erf64(x), 1.0);
            check(2, x.tanh(), 1.0);
            check(3, 1.0 / (1.0 + (-x).exp()), 1.0);
        }
        assert!(worst[0] < 3e-7 && worst[1] < 4e-7 && worst[2] < 2e-7 && worst[3] < 2e-7, "{worst:?}");
    }

    #[test]
    fn f64_functions_are_close_to_libm() {
        let us: Vec<f64> =
            (0..200_000u32).map(|i| (f64::from(i) * 21_474.8 + 0.5) / 4_294_967_296.0).collect();
        let mut out = vec![[0f64; 3]; us.len()];
        values64(&us, &mut out);
        for (&u, got) in us.iter().zip(&out) {
            let (s, c) = (u * std::f64::consts::TAU).sin_cos();
            assert!((got[0] - u.ln()).abs() < 1e-12 * u.ln().abs().max(1e-3), "ln {u}: {}", got[0]);
            assert!((got[1] - c).abs() < 1e-10 && (got[2] - s).abs() < 1e-10, "{u}: {got:?} {c} {s}");
        }
    }
}
