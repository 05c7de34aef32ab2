//! Vector arithmetic over flat buffers: norms and sums, the same on any number of threads.

use super::simd::{LANES, fma, kernel};
use rayon::prelude::*;

const BLOCK: usize = 1 << 16;

/// Σ x², in f64, block by block in order.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let blocks: Vec<f64> = x.par_chunks(BLOCK).map(block_squares).collect();
    blocks.iter().sum()
}

kernel! {
fn block_squares<'a, S>(simd, x: &'a [f32]) -> f64 {
    let mut lanes = [0f64; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(x) * f64::from(x);
    }
    lanes.iter().sum()
}
}

/// `sum = a + scale · b`
pub fn add_scaled(a: &[f32], scale: f32, b: &[f32], sum: &mut [f32]) {
    assert!(a.len() == b.len() && b.len() == sum.len());
    let inputs = a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK));
    sum.par_chunks_mut(BLOCK).zip(inputs).for_each(|(sum, (a, b))| block_add_scaled(a, scale, b, sum));
}

kernel! {
fn block_add_scaled<'a, S>(simd, a: &'a [f32], scale: f32, b: &'a [f32], sum: &'a mut [f32]) {
    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *sum = fma::<S>(scale, b, a);
    }
}
}

/// `a += scale · b`
pub fn add_scaled_to(a: &mut [f32], scale: f32, b: &[f32]) {
    assert!(a.len() == b.len());
    a.par_chunks_mut(BLOCK).zip(b.par_chunks(BLOCK)).for_each(|(a, b)| block_add_scaled_to(a, scale, b));
}

kernel! {
fn block_add_scaled_to<'a, S>(simd, a: &'a mut [f32], scale: f32, b: &'a [f32]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = fma::<S>(scale, b, *a);
    }
}
}

/// `sum += part`, of which both have few values: on this thread alone.
pub(crate) fn add_to(sum: &mut [f32], part: &[f32]) {
    for (sum, &x) in sum.iter_mut().zip(part) {
        *sum += x;
    }
}

/// `direction = weights + scale · direction`, the product rounded before the sum.
pub fn perturb(direction: &mut [f32], scale: f32, weights: &[f32]) {
    assert!(direction.len() == weights.len());
    let blocks = direction.par_chunks_mut(BLOCK).zip(weights.par_chunks(BLOCK));
    blocks.for_each(|(direction, weights)| block_perturb(direction, scale, weights));
}

kernel! {
fn block_perturb<'a, S>(simd, direction: &'a mut [f32], scale: f32, weights: &'a [f32]) {
    for (d, &w) in direction.iter_mut().zip(weights) {
        *d = w + *d * scale;
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn sums_are_right_and_the_same_on_any_number_of_threads(n in 0usize..200_000, scale in -2f32..2.0) {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.11).cos()).collect();
            let want: f64 = a.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            let one = on_threads(1, || sum_of_squares(&a));
            let three = on_threads(3, || sum_of_squares(&a));
            prop_assert_eq!(one.to_bits(), three.to_bits());
            prop_assert!((one - want).abs() <= 1e-12 * want);
            let mut sum = vec![0f32; n];
            add_scaled(&a, scale, &b, &mut sum);
            let mut in_place = a.clone();
            add_scaled_to(&mut in_place, scale, &b);
            prop_assert_eq!(&sum, &in_place);
            let mut perturbed = b.clone();
            perturb(&mut perturbed, scale, &a);
            prop_assert!((0..n).all(|i| perturbed[i] == a[i] + b[i] * scale));
            for i in 0..n {
                let want = f64::from(a[i]) + f64::from(scale) * f64::from(b[i]);
                prop_assert!((f64::from(sum[i]) - want).abs() < 4e-7);
            }
        }
    }
}
