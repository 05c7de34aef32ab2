use half::bf16;
use mirror::random::Key;

use super::launch::{Grid, arguments, check, check_bits, launch, unwritten, values};
use crate::machine::{normals, stream};

/// Two blocks of values that share a key, and the part of a third; loops over the grid go round several times.
const N: usize = 2 * 65536 + 1001;

fn grid() -> Grid {
    Grid::of(37, 96)
}

#[test]
fn normal_values_are_those_of_their_keys() {
    let (stream, key) = (stream(), Key::new(51));
    let there = unwritten::<f32>(&stream, N);
    launch(&stream, "flat", "normals", grid(), &arguments![&there, key.value(), N as u64]);
    for (i, value) in values(&stream, &there).into_iter().enumerate() {
        let expected = key.at(i as u64 / 65536).normal(i as u32 % 65536);
        // Rounded once; a card's logarithm may be off by a last place of f64.
        assert!((value - expected).abs() <= 6.1e-8 * expected.abs(), "{i}: {value} for {expected}");
    }
}

#[test]
fn sums_over_flat_buffers_are_what_plain_functions_give() {
    let (stream, key) = (stream(), Key::new(52));
    let (a, a_there) = normals::<f32>(&stream, key.at(0), N);
    let (b, b_there) = normals::<f32>(&stream, key.at(1), N);
    let scale = 0.3f32;
    let plus = |a: &[f64], b: &[f64]| -> Vec<f64> {
        // In f32, each operation rounded: bit for bit.
        a.iter().zip(b).map(|(&a, &b)| f64::from(a as f32 + scale * b as f32)).collect()
    };
    let out = unwritten::<f32>(&stream, N);
    launch(&stream, "flat", "plus", grid(), &arguments![&a_there, scale, &b_there, &out, N as u64]);
    check_bits("plus", &values(&stream, &out), &plus(&a, &b));
    launch(&stream, "flat", "plus", grid(), &arguments![&out, scale, &a_there, &out, N as u64]);
    let sum = plus(&plus(&a, &b), &a);
    check_bits("plus in place", &values(&stream, &out), &sum);
    launch(&stream, "flat", "perturb", grid(), &arguments![&b_there, scale, &a_there, N as u64]);
    check_bits("perturb", &values(&stream, &b_there), &plus(&a, &b));

    let partial = stream.clone_htod(&vec![f64::NAN; 256]).unwrap();
    launch(&stream, "flat", "sum_of_squares", Grid::of(256, 256), &arguments![&a_there, &partial, N as u64]);
    let ours: f64 = stream.clone_dtoh(&partial).unwrap().iter().sum();
    let expected: f64 = a.iter().map(|x| x * x).sum();
    assert!((ours / expected - 1.0).abs() < 1e-13, "{ours} for {expected}");

    let rounded = unwritten::<bf16>(&stream, N);
    launch(&stream, "flat", "round_bf16", grid(), &arguments![&a_there, &rounded, N as u64]);
    let expected: Vec<f64> = a.iter().map(|&x| bf16::from_f32(x as f32).to_f64()).collect();
    check_bits("round_bf16", &values(&stream, &rounded), &expected);
}

#[test]
fn an_update_of_adamw_is_what_its_formula_gives() {
    let (stream, key, n) = (stream(), Key::new(53), 10_001);
    let (p, p_there) = normals::<f32>(&stream, key.at(0), n);
    let (g, g_there) = normals::<f32>(&stream, key.at(1), n);
    let (m, m_there) = normals::<f32>(&stream, key.at(2), n);
    let v: Vec<f32> = (0..n as u32).map(|i| key.unit(i) as f32).collect();
    let v_there = stream.clone_htod(&v).unwrap();
    let (beta1, beta2, eps, rate, decay, step) = (0.9f64, 0.999f64, 1e-8f64, 2e-2f64, 0.01f64, 3);
    let (bias1, bias2) = (1.0 - beta1.powi(step), 1.0 - beta2.powi(step));
    let numbers =
        [beta1, 1.0 - beta1, beta2, 1.0 - beta2, 1.0 / bias2.sqrt(), eps, 1.0 - rate * decay, rate / bias1];
    let mut arguments = arguments![&p_there, &g_there, &m_there, &v_there, n as u64];
    arguments.extend(numbers.map(|x| super::launch::Argument::from(x as f32)));
    launch(&stream, "flat", "adamw", grid(), &arguments);

    let new_m: Vec<f64> = m.iter().zip(&g).map(|(m, g)| beta1 * m + (1.0 - beta1) * g).collect();
    let new_v: Vec<f64> =
        v.iter().zip(&g).map(|(&v, g)| beta2 * f64::from(v) + (1.0 - beta2) * g * g).collect();
    let of = |i: usize| {
        let direction = new_m[i] / bias1 / ((new_v[i] / bias2).sqrt() + eps);
        p[i] * (1.0 - rate * decay) - rate * direction
    };
    check::<f32>("first moments", &values(&stream, &m_there), &new_m);
    check::<f32>("second moments", &values(&stream, &v_there), &new_v);
    check::<f32>("weights", &values(&stream, &p_there), &(0..n).map(of).collect::<Vec<_>>());
}
