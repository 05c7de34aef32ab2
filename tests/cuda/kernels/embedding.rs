use half::bf16;
use mirror::random::{Dropout, Key, Site};

use super::launch::{Grid, NULL, STRIPE, arguments, check, check_beside, launch_of, unwritten, values};
use super::rows::{Rows, normalise, normalise_backward, numbers};
use crate::machine::{Number, normals, stream};

const EPS: f32 = 1e-12;
const SITE: (usize, Site) = (0, Site::Embeddings);
const WORDS: usize = 11;
const POSITIONS: usize = 7;
const TYPES: usize = 2;

/// Rows, width, threads.
const SHAPES: [(usize, usize, usize); 7] =
    [(50, 1, 32), (33, 31, 32), (65, 192, 96), (9, 768, 256), (3, 1000, 128), (40, 64, 256), (3, 1100, 64)];

/// What is added to words and positions.
#[derive(Clone, Copy)]
enum Added {
    Nothing,
    TypesAndNoise,
    /// The first type's, of all rows.
    OneType,
}

fn forward<T: Number>(
    (rows, hidden, threads): (usize, usize, usize),
    added: Added,
    dropout: Option<Dropout>,
) {
    let (stream, key) = (stream(), Key::new(61));
    let [(word, word_there), (position, position_there), (types, types_there), (noise, noise_there)] =
        [WORDS, POSITIONS, TYPES, rows].map(|len| normals::<f32>(&stream, key.at(len as u64), len * hidden));
    let (weight, weight_there) = normals::<f32>(&stream, key.at(100), hidden);
    let (bias, bias_there) = normals::<f32>(&stream, key.at(101), hidden);
    let ids = |part: u64, below: usize| -> Vec<u32> {
        (0..rows as u64).map(|row| key.at(part).at(row).below(below as u64) as u32).collect()
    };
    let [token_ids, position_ids, token_types] = [ids(102, WORDS), ids(103, POSITIONS), ids(104, TYPES)];
    let [ids_there, positions_there, token_types_there] =
        [&token_ids, &position_ids, &token_types].map(|ids| stream.clone_htod(ids).unwrap());
    let (y, normalised) = (unwritten::<T>(&stream, rows * hidden), unwritten::<T>(&stream, rows * hidden));
    let rstd = unwritten::<f32>(&stream, rows);
    let of_rows = Rows::new(&stream, rows);
    let given = |there, argument| if there { argument } else { NULL };
    let typed = !matches!(added, Added::Nothing);
    let all = matches!(added, Added::TypesAndNoise);
    let mut arguments = arguments![
        &word_there,
        &position_there,
        given(typed, (&types_there).into()),
        given(all, (&noise_there).into()),
        &ids_there,
        &positions_there,
        given(all, (&token_types_there).into()),
    ];
    arguments.extend(of_rows.arguments());
    arguments.extend(arguments![&weight_there, &bias_there, &y, &normalised, &rstd]);
    arguments.extend(arguments![rows as u32, hidden as u32, EPS]);
    arguments.extend(numbers(dropout));
    launch_of::<T>(&stream, "embedding", "embed", Grid::of(rows.div_ceil(threads / 32), threads), &arguments);

    let (mut expected_y, mut expected, mut expected_rstd) = (vec![], vec![], vec![]);
    for row in 0..rows {
        let sum = |i: usize| {
            let at = |table: &[f64], id: u32| table[id as usize * hidden + i];
            let of_type = match added {
                Added::Nothing => 0.0,
                Added::OneType => at(&types, 0),
                Added::TypesAndNoise => at(&types, token_types[row]) + noise[row * hidden + i],
            };
            at(&word, token_ids[row]) + at(&position, position_ids[row]) + of_type
        };
        let (of_row, inverse) = normalise(&(0..hidden).map(sum).collect::<Vec<_>>(), f64::from(EPS));
        let out = |i: usize| (of_row[i] * weight[i] + bias[i]) * of_rows.factor(dropout, SITE, row, i);
        expected_y.extend((0..hidden).map(out));
        expected.extend(of_row);
        expected_rstd.push(inverse);
    }
    check::<T>("y", &values(&stream, &y), &expected_y);
    check::<T>("normalised", &values(&stream, &normalised), &expected);
    check::<f32>("rstd", &values(&stream, &rstd), &expected_rstd);
}

fn backward<T: Number>((rows, hidden, threads): (usize, usize, usize), dropout: Option<Dropout>) {
    let (stream, key) = (stream(), Key::new(62));
    let (grad, grad_there) = normals::<T>(&stream, key.at(0), rows * hidden);
    let (normalised, normalised_there) = normals::<T>(&stream, key.at(1), rows * hidden);
    let (weight, weight_there) = normals::<f32>(&stream, key.at(2), hidden);
    let (rstd, rstd_there) = normals::<f32>(&stream, key.at(3), rows);
    let (stripes, stride) = (rows.div_ceil(STRIPE), 2 * hidden + 3);
    let partial_there = stream.clone_htod(&vec![7f32; stripes * stride]).unwrap();
    let of_rows = Rows::new(&stream, rows);
    let mut arguments = arguments![&grad_there, &normalised_there, &rstd_there, &weight_there];
    arguments.extend(of_rows.arguments());
    arguments.extend(arguments![&partial_there, rows as u32, hidden as u32, stride as u32]);
    arguments.extend(numbers(dropout));
    launch_of::<T>(&stream, "embedding", "embed_norm_backward", Grid::of(stripes, threads), &arguments);

    let mut partial = vec![7.0; stripes * stride];
    (0..stripes).for_each(|stripe| partial[stripe * stride..][..2 * hidden].fill(0.0));
    let (mut expected, mut terms) = (vec![], 0f64);
    for row in 0..rows {
        let n = &normalised[row * hidden..][..hidden];
        let g = |i: usize| grad[row * hidden + i] * of_rows.factor(dropout, SITE, row, i);
        let along: Vec<f64> = (0..hidden).map(|i| g(i) * weight[i]).collect();
        terms = along.iter().fold(terms, |most, x| most.max((x * rstd[row]).abs()));
        expected.extend(normalise_backward(&along, n, rstd[row]));
        for i in 0..hidden {
            partial[row / STRIPE * stride + i] += g(i) * n[i];
            partial[row / STRIPE * stride + hidden + i] += g(i);
        }
    }
    check_beside::<T>("gradient", &values(&stream, &grad_there), &expected, terms);
    check::<T>("sums over stripes", &values(&stream, &partial_there), &partial);
}

#[test]
fn embeddings_are_what_a_plain_function_gives() {
    for shape in SHAPES {
        for added in [Added::Nothing, Added::TypesAndNoise, Added::OneType] {
            for dropout in [None, Dropout::new(0.2)] {
                forward::<f32>(shape, added, dropout);
                forward::<bf16>(shape, added, dropout);
            }
        }
    }
}

#[test]
fn the_way_back_through_embeddings_is_what_a_plain_function_gives() {
    for shape in SHAPES {
        for dropout in [None, Dropout::new(0.2)] {
            backward::<f32>(shape, dropout);
            backward::<bf16>(shape, dropout);
        }
    }
}

/// Segments of 400 rows, of one and of nine.
fn added_segments<T: Number>(hidden: usize, threads: usize) {
    let (stream, key, rows) = (stream(), Key::new(63), 410);
    let (grad, grad_there) = normals::<T>(&stream, key.at(0), rows * hidden);
    let (mut table, table_there) = normals::<f32>(&stream, key.at(1), WORDS * hidden);
    let order: Vec<u32> = (0..rows as u32).map(|i| i * 7 % rows as u32).collect();
    let (bounds, ids) = ([0u32, 400, 401, 410], [10u32, 0, 4]);
    let [order_there, bounds_there, ids_there] =
        [&order[..], &bounds, &ids].map(|values| stream.clone_htod(values).unwrap());
    let arguments =
        arguments![&grad_there, &order_there, &bounds_there, &ids_there, &table_there, hidden as u32];
    launch_of::<T>(&stream, "embedding", "segment_add", Grid::of(ids.len(), threads), &arguments);
    for (ends, id) in bounds.windows(2).zip(ids) {
        for &row in &order[ends[0] as usize..ends[1] as usize] {
            (0..hidden).for_each(|i| table[id as usize * hidden + i] += grad[row as usize * hidden + i]);
        }
    }
    check::<f32>("table", &values(&stream, &table_there), &table);
}

fn sums_by_type<T: Number>((rows, hidden, threads): (usize, usize, usize), typed: bool) {
    let (stream, key) = (stream(), Key::new(64));
    let (grad, grad_there) = normals::<T>(&stream, key.at(0), rows * hidden);
    let of_rows: Vec<u32> = (0..rows as u64).map(|row| key.at(1).at(row).below(3) as u32).collect();
    let of_rows_there = stream.clone_htod(&of_rows).unwrap();
    let (types, stripes) = (3, rows.div_ceil(STRIPE));
    let stride = types * hidden + 2;
    let partial_there = stream.clone_htod(&vec![7f32; stripes * stride]).unwrap();
    let given = if typed { (&of_rows_there).into() } else { NULL };
    let mut arguments = arguments![&grad_there, given, &partial_there];
    arguments.extend(arguments![rows as u32, hidden as u32, types as u32, stride as u32]);
    launch_of::<T>(&stream, "embedding", "type_partials", Grid::of(stripes, threads).by(types), &arguments);
    let mut partial = vec![7.0; stripes * stride];
    (0..stripes).for_each(|stripe| partial[stripe * stride..][..types * hidden].fill(0.0));
    for row in 0..rows {
        let of_type = if typed { of_rows[row] as usize } else { 0 };
        let sums = &mut partial[row / STRIPE * stride + of_type * hidden..][..hidden];
        sums.iter_mut().zip(&grad[row * hidden..]).for_each(|(sum, g)| *sum += g);
    }
    check::<f32>("sums by type", &values(&stream, &partial_there), &partial);
}

#[test]
fn gradients_of_tables_are_what_plain_functions_give() {
    for (rows, hidden, threads) in SHAPES {
        added_segments::<f32>(hidden, threads);
        added_segments::<bf16>(hidden, threads);
        for typed in [false, true] {
            sums_by_type::<f32>((rows, hidden, threads), typed);
            sums_by_type::<bf16>((rows, hidden, threads), typed);
        }
    }
}
