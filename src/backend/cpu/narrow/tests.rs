//! Products by every kind of instruction that this machine has, against plain sums.

use super::bf16::Rounded;
use super::bf16_pack::{left_of_columns, left_of_rows, panels_of_columns, panels_of_rows, rounded};
use super::instructions::{Instructions, available};
use super::int8;
use super::kernel::Kind;
use super::operand::{Left, Panels};
use super::product::{Start, multiply};
use crate::backend::cpu::buffers::Buffer;
use crate::backend::cpu::products::Stored;
use crate::random::Key;
use half::bf16;
use proptest::prelude::*;

fn values(salt: u64, n: usize) -> Vec<f32> {
    (0..n).map(|i| Key::new(salt).at(i as u64).normal(0) as f32).collect()
}

fn turned(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
}

/// `[m, depth]` as a left operand, from rows or from columns.
fn left(x: &[f32], (m, depth): (usize, usize), from_columns: bool) -> Left {
    if from_columns { left_of_columns(&turned(x, m, depth), m) } else { left_of_rows(x, depth) }
}

/// `[n, depth]` as a right operand `[depth, n]`, from rows or from columns.
fn right(x: &[f32], (n, depth): (usize, usize), from_columns: bool) -> Panels {
    if from_columns { panels_of_columns(&turned(x, n, depth), n) } else { panels_of_rows(x, depth) }
}

fn near(x: f32) -> f64 {
    bf16::from_f32(x).to_f64()
}

/// So that a product of what was kept has the bits of one of what was given.
#[test]
fn what_is_kept_is_what_a_product_would_round_to() {
    for len in [1, 2, 33, 384] {
        let x = values(7, len);
        let mut given = Buffer::unspecified(len);
        given.copy_from_slice(&x);
        let kept = Rounded::from(given);
        let expected: Vec<f32> = x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect();
        assert_eq!(kept.values()[..], expected[..]);
    }
}

#[test]
fn values_are_rounded_to_the_nearest_bf16() {
    let special =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1.0 + 1.0 / 256.0];
    let drawn = (0..100_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9E37_79B9)));
    for x in drawn.chain(special) {
        let ours = bf16::from_bits(rounded(x) as u16);
        if x.is_nan() {
            assert!(ours.is_nan());
        } else if x.is_subnormal() {
            assert_eq!(ours.to_bits(), bf16::from_f32(0f32.copysign(x)).to_bits(), "{x:e} is too small");
        } else {
            assert_eq!(ours.to_bits(), bf16::from_f32(x).to_bits(), "{x:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn is_the_product_of_rounded_operands_however_they_lie(
        m in 1usize..80, n in 1usize..110, k in 1usize..1200, pad in 0usize..3, start in 0u8..3,
        a_columns: bool, b_columns: bool,
    ) {
        let (a, b) = (values(1, m * k), values(2, n * k));
        let (old, bias) = (values(3, m * (n + pad)), values(4, n));
        let (left, right) = (left(&a, (m, k), a_columns), right(&b, (n, k), b_columns));
        let start = match start { 0 => Start::Zero, 1 => Start::Row(&bias), _ => Start::Keep };
        for instructions in available(Kind::Bf16) {
            let mut c = old.clone();
            let operands = (left.whole(), right.whole());
            multiply((instructions, Kind::Bf16), &mut c, n + pad, start, operands, |_, _, _| {});
            for i in 0..m {
                for j in 0..n + pad {
                    let (got, was) = (c[i * (n + pad) + j], old[i * (n + pad) + j]);
                    if j >= n {
                        prop_assert_eq!(got, was, "{:?} wrote beside C", instructions);
                        continue;
                    }
                    let first = match start {
                        Start::Zero => 0.0, Start::Row(b) => f64::from(b[j]), Start::Keep => f64::from(was),
                    };
                    let terms = (0..k).map(|p| near(a[i * k + p]) * near(b[j * k + p]));
                    let (want, size) = terms.fold((first, 1.0), |(sum, size), t| (sum + t, size + t.abs()));
                    prop_assert!((f64::from(got) - want).abs() < 1e-6 * size,
                        "{:?} {},{}: {} {}", instructions, i, j, got, want);
                }
            }
        }
    }

    #[test]
    fn bits_of_a_row_do_not_depend_on_its_neighbours(m in 2usize..70, n in 1usize..70, k in 1usize..700) {
        let (a, b) = (values(1, m * k), values(2, n * k));
        let right = right(&b, (n, k), false);
        for instructions in available(Kind::Bf16) {
            let product = |rows: usize| {
                let mut c = vec![0f32; rows * n];
                let operands = (left(&a[..rows * k], (rows, k), false), &right);
                let operands = (operands.0.whole(), operands.1.whole());
                multiply((instructions, Kind::Bf16), &mut c, n, Start::Zero, operands, |_, _, _| {});
                c
            };
            let all = product(m);
            for rows in [1, m / 2] {
                prop_assert_eq!(&product(rows)[..], &all[..rows * n], "{:?}", instructions);
            }
        }
    }

    /// `vdpbf16ps` of Intel's processors; AMX sums the firsts and the seconds of 16 pairs by themselves before it adds
    /// them, so that its sums are other ones.
    #[test]
    fn plain_operations_give_the_bits_of_avx_512(m in 1usize..30, n in 1usize..70, k in 1usize..900, exponent in -70i32..40) {
        #[cfg(target_arch = "x86_64")]
        if available(Kind::Bf16).contains(&Instructions::Avx512) && super::instructions::is_intel() {
            let scaled = |salt, n| -> Vec<f32> {
                values(salt, n).iter().enumerate()
                    .map(|(i, x)| x * 2f32.powi(exponent + (i % 7) as i32)).collect()
            };
            let (a, b) = (scaled(1, m * k), scaled(2, n * k));
            let (left, right) = (left(&a, (m, k), false), right(&b, (n, k), false));
            let product = |instructions| -> Vec<u32> {
                let mut c = vec![0f32; m * n];
                let operands = (left.whole(), right.whole());
                multiply((instructions, Kind::Bf16), &mut c, n, Start::Zero, operands, |_, _, _| {});
                c.into_iter().map(f32::to_bits).collect()
            };
            prop_assert_eq!(product(Instructions::Portable), product(Instructions::Avx512));
        }
        let _ = (m, n, k, exponent);
    }

    #[test]
    fn int8_has_the_same_bits_everywhere_and_is_near(
        m in 1usize..70, n in 1usize..110, k in 1usize..1500, shift in -2f32..2.0,
    ) {
        let x: Vec<f32> = values(1, m * k).iter().map(|x| x + shift).collect();
        let (w, bias) = (values(2, n * k), values(3, n));
        let weight = int8::Weight::new(&w, k);
        let rows = int8::rows(&x, k);
        let product = |instructions| {
            let mut y = vec![0f32; m * n];
            int8::linear(instructions, (rows.values.whole(), &rows.steps), &weight, &bias, &mut y);
            y
        };
        let want = product(Instructions::Portable);
        for instructions in available(Kind::Int8) {
            prop_assert_eq!(&product(instructions), &want, "{:?}", instructions);
        }
        for i in 0..m {
            let row = &x[i * k..(i + 1) * k];
            let extent = row.iter().fold(0f32, |m, x| m.max(*x)) - row.iter().fold(0f32, |m, x| m.min(*x));
            for j in 0..n {
                let channel = &w[j * k..(j + 1) * k];
                let exact: f64 = row.iter().zip(channel).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let largest = f64::from(channel.iter().fold(0f32, |m, w| m.max(w.abs())));
                // Half a step of each operand for each term, at most, times the other operand.
                let of_rows: f64 = channel.iter().map(|w| f64::from(w.abs())).sum::<f64>() * f64::from(extent) / 255.0;
                let of_weights: f64 = row.iter().map(|x| f64::from(x.abs())).sum::<f64>() * largest / 127.0;
                let got = f64::from(want[i * n + j]) - f64::from(bias[j]);
                let bound = 0.51 * (of_rows + of_weights) + k as f64 * f64::from(extent) / 255.0 * largest / 127.0;
                prop_assert!((got - exact).abs() <= bound + 1e-5, "{},{}: {} {}", i, j, got, exact);
            }
        }
    }
}

#[test]
fn zeros_stay_zeros_and_what_is_not_finite_is_seen() {
    let (k, n) = (40, 3);
    let bias = [1.0, 2.0, 3.0];
    let encode = |x: &[f32], w: &[f32]| {
        let (weight, rows) = (int8::Weight::new(w, k), int8::rows(x, k));
        let mut y = vec![0f32; n];
        int8::linear(Instructions::Portable, (rows.values.whole(), &rows.steps), &weight, &bias, &mut y);
        y
    };
    let (x, w) = (values(1, k), values(2, n * k));
    assert_eq!(encode(&vec![0.0; k], &w), bias);
    assert_eq!(encode(&x, &vec![0.0; n * k]), bias);
    let mut broken = x.clone();
    broken[7] = f32::INFINITY;
    assert!(encode(&broken, &w).iter().all(|y| y.is_nan()));
    let mut broken = w.clone();
    broken[k] = f32::NAN;
    let y = encode(&x, &broken);
    assert!(y[0].is_finite() && y[1].is_nan() && y[2].is_finite());
}
