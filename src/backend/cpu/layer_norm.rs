//! Dropout, residual and LayerNorm as one operation, and its backward.

use super::simd::{LANES, Simd, fma, kernel, sum_lanes};
use crate::random::{Dropout, Key};

/// Dropout of `[rows, hidden]`: one key for each row.
pub(crate) struct RowDropout {
    pub dropout: Dropout,
    pub keys: Vec<Key>,
}

/// The learned scale and shift.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    /// `[hidden]`
    pub weight: &'a [f32],
    /// `[hidden]`
    pub bias: &'a [f32],
}

#[inline(always)]
fn sum_of(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    sum_lanes(lanes)
}

kernel! {
/// z = dropout(branch) + residual; y = LayerNorm(z). `branch` becomes the normalised z before scale and
/// shift, which with `rstd` `[rows]` is all that the backward needs. Without a residual z = branch.
pub(crate) fn forward<'a, S>(
    simd,
    branch: &'a mut [f32],
    residual: Option<&'a [f32]>,
    dropout: Option<&'a RowDropout>,
    affine: Affine<'a>,
    eps: f32,
    rstd: &'a mut [f32],
    y: &'a mut [f32],
) {
    let hidden = affine.weight.len();
    let rows = rstd.len();
    assert!(branch.len() == rows * hidden && y.len() == rows * hidden && affine.bias.len() == hidden);
    for row in 0..rows {
        let range = row * hidden..(row + 1) * hidden;
        let z = &mut branch[range.clone()];
        if let Some(RowDropout { dropout, keys }) = dropout {
            drop_row(z, *dropout, keys[row]);
        }
        if let Some(residual) = residual {
            for (z, &x) in z.iter_mut().zip(&residual[range.clone()]) {
                *z += x;
            }
        }
        let scale = 1.0 / hidden as f32;
        let mean = sum_of(z, |x| x) * scale;
        let variance = sum_of(z, |x| (x - mean) * (x - mean)) * scale;
        let r = 1.0 / (variance + eps).sqrt();
        rstd[row] = r;
        let out = y[range].iter_mut();
        for (((z, y), &w), &b) in z.iter_mut().zip(out).zip(affine.weight).zip(affine.bias) {
            *z = (*z - mean) * r;
            *y = fma::<S>(*z, w, b);
        }
    }
}
}

#[inline(always)]
fn drop_row(row: &mut [f32], dropout: Dropout, key: Key) {
    for (channel, x) in row.iter_mut().enumerate() {
        *x *= dropout.factor(key, channel as u32);
    }
}

kernel! {
/// `x` ∘ its dropout factors, in place. `[rows, hidden]`
pub(crate) fn apply_dropout<'a, S>(simd, x: &'a mut [f32], hidden: usize, dropout: &'a RowDropout) {
    for (row, &key) in x.chunks_exact_mut(hidden).zip(&dropout.keys) {
        drop_row(row, dropout.dropout, key);
    }
}
}

kernel! {
/// The forward's y, from what it saved.
pub(crate) fn output<'a, S>(simd, normalised: &'a [f32], affine: Affine<'a>, y: &'a mut [f32]) {
    let hidden = affine.weight.len();
    for (y, z) in y.chunks_exact_mut(hidden).zip(normalised.chunks_exact(hidden)) {
        for (((y, &z), &w), &b) in y.iter_mut().zip(z).zip(affine.weight).zip(affine.bias) {
            *y = fma::<S>(z, w, b);
        }
    }
}
}

/// Column sums that a backward adds to, each `[hidden]`.
pub(crate) struct Sums<'a> {
    pub weight: &'a mut [f32],
    pub bias: &'a mut [f32],
    /// Gradient of a bias that was added to the branch before dropout.
    pub branch_bias: &'a mut [f32],
}

kernel! {
/// Turns d loss / d y into d loss / d z (which is the residual's gradient) in place; the branch's
/// gradient, dropout applied, goes to `branch`.
pub(crate) fn backward<'a, S>(
    simd,
    gradient: &'a mut [f32],
    normalised: &'a [f32],
    rstd: &'a [f32],
    affine: Affine<'a>,
    dropout: Option<&'a RowDropout>,
    branch: Option<&'a mut [f32]>,
    sums: Sums<'a>,
) {
    let hidden = affine.weight.len();
    let mut branch = branch;
    for row in 0..rstd.len() {
        let range = row * hidden..(row + 1) * hidden;
        let (g, z) = (&mut gradient[range.clone()], &normalised[range.clone()]);
        let scale = 1.0 / hidden as f32;
        let mean = dot_weighted::<S>(g, affine.weight, None) * scale;
        let slope = dot_weighted::<S>(g, affine.weight, Some(z)) * scale;
        let columns = sums.weight.iter_mut().zip(sums.bias.iter_mut());
        for (((g, &z), &w), (weight, bias)) in g.iter_mut().zip(z).zip(affine.weight).zip(columns) {
            *weight = fma::<S>(*g, z, *weight);
            *bias += *g;
            *g = rstd[row] * (fma::<S>(*g, w, -mean) - z * slope);
        }
        if let Some(branch) = &mut branch {
            let out = &mut branch[range];
            out.copy_from_slice(g);
            if let Some(RowDropout { dropout, keys }) = dropout {
                drop_row(out, *dropout, keys[row]);
            }
            for (sum, &x) in sums.branch_bias.iter_mut().zip(out.iter()) {
                *sum += x;
            }
        }
    }
}
}

/// Σ g·w, or Σ g·w·z.
#[inline(always)]
fn dot_weighted<S: Simd>(g: &[f32], w: &[f32], z: Option<&[f32]>) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((g, g_rest), (w, w_rest)) = (g.as_chunks::<LANES>(), w.as_chunks::<LANES>());
    if let Some(z) = z {
        let (z, z_rest) = z.as_chunks::<LANES>();
        for ((g, w), z) in g.iter().zip(w).zip(z) {
            for i in 0..LANES {
                lanes[i] = fma::<S>(g[i] * w[i], z[i], lanes[i]);
            }
        }
        for (i, ((&g, &w), &z)) in g_rest.iter().zip(w_rest).zip(z_rest).enumerate() {
            lanes[i] = fma::<S>(g * w, z, lanes[i]);
        }
    } else {
        for (g, w) in g.iter().zip(w) {
            for i in 0..LANES {
                lanes[i] = fma::<S>(g[i], w[i], lanes[i]);
            }
        }
        for (i, (&g, &w)) in g_rest.iter().zip(w_rest).enumerate() {
            lanes[i] = fma::<S>(g, w, lanes[i]);
        }
    }
    sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::reference;
    use proptest::prelude::*;

    fn values(salt: u64, n: usize) -> Vec<f32> {
        (0..n).map(|i| Key::new(salt).at(i as u64).normal(0) as f32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn is_the_plain_function_with_its_gradients(
            rows in 1usize..6, hidden in 4usize..70, p in prop::sample::select(vec![0.0, 0.3]),
        ) {
            let n = rows * hidden;
            let (branch, residual, upstream) = (values(1, n), values(2, n), values(3, n));
            let weight: Vec<f32> = values(4, hidden).iter().map(|x| 1.0 + 0.2 * x).collect();
            let bias = values(5, hidden);
            let keys: Vec<Key> = (0..rows).map(|r| Key::new(6).at(r as u64)).collect();
            let dropout = Dropout::new(p).map(|dropout| RowDropout { dropout, keys });
            let dropout = dropout.as_ref();
            let affine = Affine { weight: &weight, bias: &bias };

            let factor = |i: usize| dropout.map_or(1.0, |d| {
                f64::from(d.dropout.factor(d.keys[i / hidden], (i % hidden) as u32))
            });
            let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            let plain = |branch: &[f64], residual: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
                let z: Vec<f64> = (0..n).map(|i| branch[i] * factor(i) + residual[i]).collect();
                z.chunks(hidden).flat_map(|z| reference::layer_norm(z, weight, bias, 1e-5)).collect()
            };
            let inputs = [wide(&branch), wide(&residual), wide(&weight), wide(&bias)];
            let of = |x: &[Vec<f64>; 4]| plain(&x[0], &x[1], &x[2], &x[3]);

            let (mut z, mut rstd, mut y) = (branch.clone(), vec![0f32; rows], vec![0f32; n]);
            forward(&mut z, Some(&residual), dropout, affine, 1e-5, &mut rstd, &mut y);
            for (got, want) in y.iter().zip(of(&inputs)) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-5, "{} {}", got, want);
            }
            let mut again = vec![0f32; n];
            output(&z, affine, &mut again);
            prop_assert_eq!(&again, &y);

            let (mut g, mut branch_gradient) = (upstream.clone(), vec![0f32; n]);
            let [mut dw, mut db, mut dbranch] = [(); 3].map(|()| vec![0f32; hidden]);
            let sums = Sums { weight: &mut dw, bias: &mut db, branch_bias: &mut dbranch };
            backward(&mut g, &z, &rstd, affine, dropout, Some(&mut branch_gradient), sums);
            for (which, gradient) in [&branch_gradient, &g, &dw, &db].into_iter().enumerate() {
                for i in 0..gradient.len() {
                    let loss = |h: f64| {
                        let mut x = inputs.clone();
                        x[which][i] += h;
                        of(&x).iter().zip(&upstream).map(|(y, &u)| y * f64::from(u)).sum::<f64>()
                    };
                    let want = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                    prop_assert!((f64::from(gradient[i]) - want).abs() < 5e-5 * want.abs().max(1.0),
                        "input {} at {}: {} {}", which, i, gradient[i], want);
                }
            }
            for (c, got) in dbranch.iter().enumerate() {
                let want: f32 = (0..rows).map(|r| branch_gradient[r * hidden + c]).sum();
                prop_assert!((got - want).abs() < 1e-5);
            }
        }
    }
}
