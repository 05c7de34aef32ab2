use half::bf16;
use mirror::random::Key;

use super::launch::{Grid, STRIPE, arguments, check, launch_of, unwritten, values};
use crate::machine::{Number, normals, stream};

/// By the numbers that kernels know them by.
const KINDS: [fn(f64) -> f64; 5] =
    [gelu, gelu_tanh, |x| x * sigmoid(1.702 * x), |x| x.max(0.0), |x| x * sigmoid(x)];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// x Φ(x), with the normal distribution's density integrated by Simpson's rule.
fn gelu(x: f64) -> f64 {
    const PARTS: usize = 100;
    let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
    let step = x / PARTS as f64;
    let weight = |i: usize| {
        if i == 0 || i == PARTS {
            1.0
        } else if i % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    let integral: f64 = (0..=PARTS).map(|i| weight(i) * density(i as f64 * step)).sum();
    x * (0.5 + integral * step / 3.0)
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

fn slope(of: fn(f64) -> f64, x: f64) -> f64 {
    const STEP: f64 = 1e-5;
    (of(x + STEP) - of(x - STEP)) / (2.0 * STEP)
}

/// Rows, columns, threads.
const SHAPES: [(usize, usize, usize); 5] =
    [(33, 1, 32), (65, 31, 64), (32, 192, 96), (7, 768, 256), (2, 1000, 128)];

fn both_ways<T: Number>((rows, columns, threads): (usize, usize, usize), kind: usize) {
    let (stream, key, n) = (stream(), Key::new(31).at(kind as u64), rows * columns);
    let (pre, pre_there) = normals::<T>(&stream, key.at(0), n);
    let (grad, grad_there) = normals::<T>(&stream, key.at(1), n);
    let (y, activated) = (unwritten::<T>(&stream, n), unwritten::<T>(&stream, n));
    let arguments = arguments![&pre_there, &y, n as u64, kind as u32];
    launch_of::<T>(&stream, "activation", "activation", Grid::of(3, threads), &arguments);

    let (stripes, stride) = (rows.div_ceil(STRIPE), columns + 3);
    let partial_there = stream.clone_htod(&vec![7f32; stripes * stride]).unwrap();
    let numbers = arguments![rows as u32, columns as u32, stride as u32];
    let mut arguments = arguments![&pre_there, &grad_there, &activated, &partial_there];
    arguments.extend(numbers.iter().copied());
    arguments.extend(arguments![kind as u32]);
    let grid = Grid::of(columns.div_ceil(threads), threads).by(stripes);
    launch_of::<T>(&stream, "activation", "activation_backward", grid, &arguments);

    let expected_y: Vec<f64> = pre.iter().map(|&x| KINDS[kind](x)).collect();
    let expected: Vec<f64> = pre.iter().zip(&grad).map(|(&x, g)| g * slope(KINDS[kind], x)).collect();
    check::<T>("activation", &values(&stream, &y), &expected_y);
    check::<T>("activation anew", &values(&stream, &activated), &expected_y);
    check::<T>("gradient", &values(&stream, &grad_there), &expected);
    let sums = stripe_sums(&expected, columns, stride, stripes);
    check::<T>("its sums over stripes", &values(&stream, &partial_there), &sums);

    let partial_there = stream.clone_htod(&vec![7f32; stripes * stride]).unwrap();
    let mut arguments = arguments![&pre_there, &partial_there];
    arguments.extend(numbers);
    launch_of::<T>(&stream, "activation", "column_partials", grid, &arguments);
    let sums = stripe_sums(&pre, columns, stride, stripes);
    check::<f32>("sums over stripes", &values(&stream, &partial_there), &sums);
}

/// What lies between the sums is 7.
fn stripe_sums(values: &[f64], columns: usize, stride: usize, stripes: usize) -> Vec<f64> {
    let mut sums = vec![7.0; stripes * stride];
    (0..stripes).for_each(|stripe| sums[stripe * stride..][..columns].fill(0.0));
    for (row, of_row) in values.chunks(columns).enumerate() {
        (0..columns).for_each(|column| sums[row / STRIPE * stride + column] += of_row[column]);
    }
    sums
}

#[test]
fn activations_and_their_gradients_are_what_plain_functions_give() {
    for shape in SHAPES {
        for kind in 0..KINDS.len() {
            both_ways::<f32>(shape, kind);
            both_ways::<bf16>(shape, kind);
        }
    }
}
