//! Normally distributed values for a whole buffer, as a function of a key and the index.

use super::math::{cos_sin_turns, ln64};
use super::simd::kernel;
use crate::random::Key;
use rayon::prelude::*;

/// Values that share a key; even, so that pairs of Box–Muller stay together.
const BLOCK: usize = 1 << 16;

/// `out[i] = key.at(i / 65536).normal(i % 65536)`, to f32's precision.
pub fn fill(key: Key, out: &mut [f32]) {
    out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| fill_block(key.at(block as u64), out));
}

kernel! {
fn fill_block<'a, S>(simd, key: Key, out: &'a mut [f32]) {
    const PAIRS: usize = 8;
    let mut channel = 0u32;
    for out in out.chunks_mut(2 * PAIRS) {
        let mut values = [0f32; 2 * PAIRS];
        let (mut radii, mut turns) = ([0f64; PAIRS], [0f64; PAIRS]);
        for i in 0..PAIRS {
            radii[i] = key.unit(channel + 2 * i as u32);
            turns[i] = key.unit(channel + 2 * i as u32 + 1);
        }
        let (mut x, mut y) = ([0f64; PAIRS], [0f64; PAIRS]);
        for i in 0..PAIRS {
            let radius = (-2.0 * ln64::<S>(radii[i])).sqrt();
            let (c, s) = cos_sin_turns::<S>(turns[i]);
            (x[i], y[i]) = (radius * c, radius * s);
        }
        for i in 0..PAIRS {
            (values[2 * i], values[2 * i + 1]) = (x[i] as f32, y[i] as f32);
        }
        out.copy_from_slice(&values[..out.len()]);
        channel += 2 * PAIRS as u32;
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_key_s_own_normals() {
        let key = Key::new(3).at(9);
        let mut out = vec![0f32; 2 * BLOCK + 11];
        fill(key, &mut out);
        for (i, &x) in out.iter().enumerate() {
            let want = key.at((i / BLOCK) as u64).normal((i % BLOCK) as u32);
            assert!((f64::from(x) - want).abs() <= 1e-7 * want.abs().max(1e-3), "{i}: {x} {want}");
        }
    }
}
