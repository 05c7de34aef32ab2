//! How fast this machine multiplies: what a benchmark divides a step's operations by.

use std::time::Instant;

use super::buffers::Buffer;
use super::narrow::{bf16, int8};
use super::products::{F32, Forward};
use crate::backend::Precision;
use crate::random::Key;
use rayon::prelude::*;

/// Seconds of `x · Wᵀ + b` with `x` `[rows, inputs]` and `W` `[outputs, inputs]` in `precision`, as a layer computes it:
/// `x` is converted, `W` was before. Each thread has rows of its own, and the best of ten tries counts.
pub fn product_seconds(precision: Precision, [rows, inputs, outputs]: [usize; 3]) -> f64 {
    let values = |salt, n: usize| -> Vec<f32> {
        (0..n).map(|i| Key::new(salt).at(i as u64).normal(0) as f32).collect()
    };
    let (x, w, bias) = (values(1, rows * inputs), values(2, outputs * inputs), values(3, outputs));
    match precision {
        Precision::F32 => seconds(&F32, &w, (&x, inputs), &bias),
        Precision::Bf16 => seconds(&bf16::none(), &bf16::weight(&w, inputs), (&x, inputs), &bias),
        Precision::Int8 => seconds(&int8::none(), &int8::Weight::new(&w, inputs), (&x, inputs), &bias),
    }
}

fn seconds<'a, P: Forward + 'a>(
    products: &'a P,
    weight: P::Weight<'a>,
    (x, inputs): (&[f32], usize),
    bias: &[f32],
) -> f64
where
    P::Weight<'a>: Sync,
{
    let share = (x.len() / inputs).div_ceil(rayon::current_num_threads()) * inputs;
    let once = |_| {
        let began = Instant::now();
        x.par_chunks(share).for_each(|x| {
            // A chunk of sequences at a time, as layers have them.
            for x in x.chunks(256 * inputs) {
                let mut y = Buffer::unspecified(x.len() / inputs * bias.len());
                products.linear(1, &products.rows(x, inputs), weight, bias, &mut y);
            }
        });
        began.elapsed().as_secs_f64()
    };
    (0..10).map(once).fold(f64::INFINITY, f64::min)
}
