use half::bf16;
use mirror::random::{Dropout, Key, Site};

use super::launch::{Grid, STRIPE, arguments, check, check_beside, launch, launch_of, unwritten, values};
use super::rows::{Rows, normalise, normalise_backward, numbers};
use crate::machine::{Number, normals, stream};

const EPS: f32 = 1e-5;
const SITE: (usize, Site) = (3, Site::AttentionOutput);

/// Rows, width, threads.
const SHAPES: [(usize, usize, usize); 8] = [
    (70, 1, 64),
    (33, 31, 32),
    (65, 192, 96),
    (9, 768, 256),
    (3, 1000, 128),
    (1, 64, 256),
    (40, 64, 256),
    (3, 1100, 64),
];

fn forward<T: Number>((rows, hidden, threads): (usize, usize, usize), dropout: Option<Dropout>) {
    let (stream, key) = (stream(), Key::new(21));
    let (branch, branch_there) = normals::<T>(&stream, key.at(0), rows * hidden);
    let (residual, residual_there) = normals::<T>(&stream, key.at(1), rows * hidden);
    let (weight, weight_there) = normals::<f32>(&stream, key.at(2), hidden);
    let (bias, bias_there) = normals::<f32>(&stream, key.at(3), hidden);
    let (y, rstd) = (unwritten::<T>(&stream, rows * hidden), unwritten::<f32>(&stream, rows));
    let of_rows = Rows::new(&stream, rows);
    let mut arguments = arguments![&branch_there, &residual_there, &weight_there, &bias_there];
    arguments.extend(of_rows.arguments());
    arguments.extend(arguments![&y, &rstd, rows as u32, hidden as u32, EPS, SITE.0 as u32, SITE.1 as u32]);
    arguments.extend(numbers(dropout));
    let grid = Grid::of(rows.div_ceil(threads / 32), threads);
    launch_of::<T>(&stream, "layer_norm", "add_norm", grid, &arguments);

    let (mut expected, mut expected_y, mut expected_rstd) = (vec![], vec![], vec![]);
    for row in 0..rows {
        let sum = |i: usize| {
            let place = row * hidden + i;
            residual[place] + branch[place] * of_rows.factor(dropout, SITE, row, i)
        };
        let (normalised, inverse) = normalise(&(0..hidden).map(sum).collect::<Vec<_>>(), f64::from(EPS));
        expected_y.extend((0..hidden).map(|i| normalised[i] * weight[i] + bias[i]));
        expected.extend(normalised);
        expected_rstd.push(inverse);
    }
    check::<T>("normalised", &values(&stream, &branch_there), &expected);
    check::<T>("y", &values(&stream, &y), &expected_y);
    check::<f32>("rstd", &values(&stream, &rstd), &expected_rstd);
}

fn backward<T: Number>((rows, hidden, threads): (usize, usize, usize), dropout: Option<Dropout>) {
    let (stream, key) = (stream(), Key::new(22));
    let (grad, grad_there) = normals::<T>(&stream, key.at(0), rows * hidden);
    let (normalised, normalised_there) = normals::<T>(&stream, key.at(1), rows * hidden);
    let (weight, weight_there) = normals::<f32>(&stream, key.at(2), hidden);
    let (rstd, rstd_there) = normals::<f32>(&stream, key.at(3), rows);
    let (stripes, stride) = (rows.div_ceil(STRIPE), 3 * hidden + 5);
    let branch_there = unwritten::<T>(&stream, rows * hidden);
    let partial_there = stream.clone_htod(&vec![7f32; stripes * stride]).unwrap();
    let of_rows = Rows::new(&stream, rows);
    let mut arguments = arguments![&grad_there, &branch_there, &normalised_there, &rstd_there, &weight_there];
    arguments.extend(of_rows.arguments());
    arguments.extend(arguments![&partial_there, rows as u32, hidden as u32, stride as u32]);
    arguments.extend(arguments![SITE.0 as u32, SITE.1 as u32]);
    arguments.extend(numbers(dropout));
    launch_of::<T>(&stream, "layer_norm", "add_norm_backward", Grid::of(stripes, threads), &arguments);

    let mut partial = vec![7.0; stripes * stride];
    (0..stripes).for_each(|stripe| partial[stripe * stride..][..3 * hidden].fill(0.0));
    let (mut residual, mut branch) = (vec![], vec![]);
    for row in 0..rows {
        let (g, n) = (&grad[row * hidden..][..hidden], &normalised[row * hidden..][..hidden]);
        let along: Vec<f64> = g.iter().zip(&weight).map(|(g, w)| g * w).collect();
        let of_row = normalise_backward(&along, n, rstd[row]);
        let sums = &mut partial[row / STRIPE * stride..][..3 * hidden];
        for i in 0..hidden {
            let dropped = of_row[i] * of_rows.factor(dropout, SITE, row, i);
            sums[i] += dropped;
            sums[hidden + i] += g[i] * n[i];
            sums[2 * hidden + i] += g[i];
            branch.push(dropped);
        }
        residual.extend(of_row);
    }
    // Of a single column nothing remains but what rounding leaves.
    let terms = (0..rows).map(|row| (grad[row * hidden] * weight[0] * rstd[row]).abs()).fold(0.0, f64::max);
    check_beside::<T>("residual's gradient", &values(&stream, &grad_there), &residual, terms);
    check_beside::<T>("branch's gradient", &values(&stream, &branch_there), &branch, terms);
    check_beside::<T>("sums over stripes", &values(&stream, &partial_there), &partial, terms);
}

#[test]
fn add_norm_is_what_a_plain_function_gives() {
    for shape in SHAPES {
        for dropout in [None, Dropout::new(0.3)] {
            forward::<f32>(shape, dropout);
            forward::<bf16>(shape, dropout);
        }
    }
}

#[test]
fn the_way_back_through_add_norm_is_what_a_plain_function_gives() {
    for shape in SHAPES {
        for dropout in [None, Dropout::new(0.3)] {
            backward::<f32>(shape, dropout);
            backward::<bf16>(shape, dropout);
        }
    }
}

#[test]
fn sums_over_stripes_are_added_in_their_ranges() {
    let stream = stream();
    let (stride, parts) = (700, [3u32, 9, 1, 0]);
    let (ends, places) = ([31u32, 32, 400, 650], [900u32, 0, 40, 500]);
    let (partial, partial_there) = normals::<f32>(&stream, Key::new(23), 9 * stride);
    let (into, into_there) = normals::<f32>(&stream, Key::new(24), 1000);
    let sum = |column: usize, parts: u32| {
        (0..parts as usize).map(|part| partial[part * stride + column]).sum::<f64>()
    };

    let mut expected = into;
    let mut begin = 0;
    let mut arguments = arguments![&partial_there, &into_there, stride as u32];
    for ((end, parts), place) in ends.into_iter().zip(parts).zip(places) {
        for column in begin..end {
            expected[(place + column - begin) as usize] += sum(column as usize, parts);
        }
        arguments.extend(arguments![end, parts, place]);
        begin = end;
    }
    launch(&stream, "layer_norm", "add_layer_sums", Grid::of(650usize.div_ceil(96), 96), &arguments);
    check::<f32>("four ranges", &values(&stream, &into_there), &expected);

    let arguments = arguments![&partial_there, &into_there, 9u32, stride as u32, 333u32, 600u32];
    launch(&stream, "layer_norm", "add_column_sums", Grid::of(333usize.div_ceil(128), 128), &arguments);
    (0..333).for_each(|column| expected[600 + column] += sum(column, 9));
    check::<f32>("one range", &values(&stream, &into_there), &expected);
}
