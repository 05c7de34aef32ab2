//! The feed-forward block's activation, and its derivative with the bias gradient.

use super::math::{erf, exp, sigmoid, tanh};
use super::simd::{Simd, fma, kernel};
use crate::model::{Activation, QUICK_SLOPE};

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// 1 / √(2π)
const DENSITY: f32 = 0.398_942_3;
/// √(2/π)
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBIC: f32 = 0.044_715;

#[inline(always)]
fn gelu<S: Simd>(x: f32) -> f32 {
    let half = 0.5 * x;
    fma::<S>(half, erf::<S>(x * SQRT_HALF), half)
}

#[inline(always)]
fn gelu_slope<S: Simd>(x: f32) -> f32 {
    let cumulative = fma::<S>(0.5, erf::<S>(x * SQRT_HALF), 0.5);
    fma::<S>(x * DENSITY, exp::<S>(-0.5 * x * x), cumulative)
}

#[inline(always)]
fn gelu_tanh<S: Simd>(x: f32) -> f32 {
    let inner = TANH_SCALE * x * fma::<S>(TANH_CUBIC, x * x, 1.0);
    let half = 0.5 * x;
    fma::<S>(half, tanh::<S>(inner), half)
}

#[inline(always)]
fn gelu_tanh_slope<S: Simd>(x: f32) -> f32 {
    let squared = x * x;
    let t = tanh::<S>(TANH_SCALE * x * fma::<S>(TANH_CUBIC, squared, 1.0));
    let inner_slope = TANH_SCALE * fma::<S>(3.0 * TANH_CUBIC, squared, 1.0);
    fma::<S>(0.5 * x * fma::<S>(-t, t, 1.0), inner_slope, fma::<S>(0.5, t, 0.5))
}

#[inline(always)]
fn silu<S: Simd>(x: f32) -> f32 {
    x * sigmoid::<S>(x)
}

#[inline(always)]
fn silu_slope<S: Simd>(x: f32) -> f32 {
    let s = sigmoid::<S>(x);
    s * fma::<S>(x, 1.0 - s, 1.0)
}

#[inline(always)]
fn quick_gelu<S: Simd>(x: f32) -> f32 {
    x * sigmoid::<S>(QUICK_SLOPE * x)
}

#[inline(always)]
fn quick_gelu_slope<S: Simd>(x: f32) -> f32 {
    let inner = QUICK_SLOPE * x;
    let s = sigmoid::<S>(inner);
    s * fma::<S>(inner, 1.0 - s, 1.0)
}

kernel! {
/// `output = activation(pre)`, elementwise.
pub(crate) fn forward<'a, S>(simd, activation: Activation, pre: &'a [f32], output: &'a mut [f32]) {
    assert_eq!(pre.len(), output.len());
    macro_rules! map { ($f:expr) => { for (y, &x) in output.iter_mut().zip(pre) { *y = $f(x); } } }
    match activation {
        Activation::Gelu => map!(gelu::<S>),
        Activation::GeluTanh => map!(gelu_tanh::<S>),
        Activation::QuickGelu => map!(quick_gelu::<S>),
        Activation::Relu => map!(|x: f32| if x > 0.0 { x } else { 0.0 }),
        Activation::Silu => map!(silu::<S>),
    }
}
}

kernel! {
/// Turns d loss / d output into d loss / d pre in place, adds its column sums (the gradient of the bias inside `pre`) to
/// `bias_gradient` `[columns]`, and computes `output` again, with which it shares most of its work. `pre`, `gradient`
/// and `output` are `[rows, columns]`.
pub(crate) fn backward<'a, S>(
    simd,
    activation: Activation,
    pre: &'a [f32],
    gradient: &'a mut [f32],
    bias_gradient: &'a mut [f32],
    output: &'a mut [f32],
) {
    assert!(pre.len() == gradient.len() && pre.len() == output.len());
    let columns = bias_gradient.len();
    macro_rules! map {
        ($value:expr, $slope:expr) => {
            let rows = gradient.chunks_exact_mut(columns).zip(pre.chunks_exact(columns));
            for ((g, x), y) in rows.zip(output.chunks_exact_mut(columns)) {
                for (((g, &x), sum), y) in g.iter_mut().zip(x).zip(bias_gradient.iter_mut()).zip(y) {
                    *y = $value(x);
                    *g *= $slope(x);
                    *sum += *g;
                }
            }
        };
    }
    match activation {
        Activation::Gelu => { map!(gelu::<S>, gelu_slope::<S>); }
        Activation::GeluTanh => { map!(gelu_tanh::<S>, gelu_tanh_slope::<S>); }
        Activation::QuickGelu => { map!(quick_gelu::<S>, quick_gelu_slope::<S>); }
        Activation::Relu => { map!(|x: f32| if x > 0.0 { x } else { 0.0 }, |x: f32| if x > 0.0 { 1.0 } else { 0.0 }); }
        Activation::Silu => { map!(silu::<S>, silu_slope::<S>); }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::reference;

    const ALL: [Activation; 5] =
        [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Relu, Activation::Silu];

    #[test]
    fn values_and_slopes_are_those_of_the_f64_functions() {
        // Off zero, where relu has no slope; 1009 is no multiple of a vector.
        let pre: Vec<f32> = (0..1009).map(|i| (i as f32 - 504.3) * 0.02).collect();
        for activation in ALL {
            let mut output = vec![0f32; pre.len()];
            forward(activation, &pre, &mut output);
            let (mut slope, mut sums) = (vec![1f32; pre.len()], vec![0f32; pre.len()]);
            let mut again = vec![0f32; pre.len()];
            backward(activation, &pre, &mut slope, &mut sums, &mut again);
            assert_eq!(again, output);
            assert_eq!(slope, sums, "one row is its own column sum");
            for (i, &x) in pre.iter().enumerate() {
                let x = f64::from(x);
                let f = |x| reference::activate(activation, x);
                assert!((f64::from(output[i]) - f(x)).abs() < 1e-6 * x.abs().max(1.0), "{activation:?} {x}");
                let want = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6;
                assert!(
                    (f64::from(slope[i]) - want).abs() < 2e-6,
                    "{activation:?}' {x}: {} {want}",
                    slope[i]
                );
            }
        }
    }
}
