use half::bf16;
use mirror::random::Key;

use super::launch::{Grid, arguments, check, check_bits, launch_of, unwritten, values};
use crate::machine::{Number, normals, stream};

/// Of three sequences in 45 rows: one that is averaged in part, one of which nothing is, and one of a row.
const STARTS: [u32; 3] = [1, 40, 44];
const ENDS: [u32; 3] = [34, 40, 45];
const ROWS: usize = 45;
const SHARE: f32 = 0.5;

fn sequence_of(row: usize) -> usize {
    [36, 44].partition_point(|&start| start <= row)
}

/// What a row counts for its sequence's mean.
fn weight(row: usize) -> f64 {
    let sequence = sequence_of(row);
    let range = STARTS[sequence]..ENDS[sequence];
    if range.contains(&(row as u32)) { f64::from(SHARE) / range.len() as f64 } else { 0.0 }
}

fn both_ways<T: Number>(hidden: usize, threads: usize, accumulate: bool) {
    let (stream, key) = (stream(), Key::new(41));
    let (x, x_there) = normals::<T>(&stream, key.at(0), ROWS * hidden);
    let (mut embeddings, embeddings_there) = normals::<f32>(&stream, key.at(1), 3 * hidden);
    let (mut grad, grad_there) = normals::<T>(&stream, key.at(2), ROWS * hidden);
    let (of_embeddings, of_embeddings_there) = normals::<f32>(&stream, key.at(3), 3 * hidden);
    let [starts, ends] = [STARTS, ENDS].map(|bounds| stream.clone_htod(&bounds).unwrap());
    let sequences: Vec<u32> = (0..ROWS).map(|row| sequence_of(row) as u32).collect();
    let sequences = stream.clone_htod(&sequences).unwrap();
    let add = u32::from(accumulate);
    let arguments = arguments![&x_there, &embeddings_there, &starts, &ends, SHARE, hidden as u32, add];
    launch_of::<T>(&stream, "pooling", "pool", Grid::of(3, threads), &arguments);
    let mut arguments = arguments![&of_embeddings_there, &grad_there, &sequences, &starts, &ends, SHARE];
    arguments.extend(arguments![ROWS as u32, hidden as u32, add]);
    launch_of::<T>(&stream, "pooling", "pool_backward", Grid::of(4, threads), &arguments);

    if !accumulate {
        embeddings.fill(0.0);
        grad.fill(0.0);
    }
    for row in 0..ROWS {
        for i in 0..hidden {
            let (place, embedding) = (row * hidden + i, sequence_of(row) * hidden + i);
            embeddings[embedding] += weight(row) * x[place];
            grad[place] += weight(row) * of_embeddings[embedding];
        }
    }
    check::<f32>("embeddings", &values(&stream, &embeddings_there), &embeddings);
    check::<T>("gradient", &values(&stream, &grad_there), &grad);
}

fn moved_rows<T: Number>(hidden: usize, threads: usize) {
    let stream = stream();
    let chosen = [3u32, 0, 44, 7];
    let (x, x_there) = normals::<T>(&stream, Key::new(42), ROWS * hidden);
    let index = stream.clone_htod(&chosen).unwrap();
    let gathered = unwritten::<T>(&stream, chosen.len() * hidden);
    let scattered = stream.clone_htod(&vec![T::from_f32(0.0); ROWS * hidden]).unwrap();
    let grid = Grid::of(chosen.len(), threads);
    let arguments = arguments![&x_there, &index, &gathered, hidden as u32];
    launch_of::<T>(&stream, "pooling", "gather_rows", grid, &arguments);
    let arguments = arguments![&gathered, &index, &scattered, hidden as u32];
    launch_of::<T>(&stream, "pooling", "scatter_rows", grid, &arguments);
    let row = |row: u32| &x[row as usize * hidden..][..hidden];
    check_bits("gathered", &values(&stream, &gathered), &chosen.map(row).concat());
    let back = |number: u32| if chosen.contains(&number) { row(number).to_vec() } else { vec![0.0; hidden] };
    let expected: Vec<f64> = (0..ROWS as u32).flat_map(back).collect();
    check_bits("scattered", &values(&stream, &scattered), &expected);
}

#[test]
fn pooling_and_its_gradient_are_what_plain_functions_give() {
    for (hidden, threads) in [(1, 32), (31, 64), (192, 96), (768, 256), (1000, 128)] {
        for accumulate in [false, true] {
            both_ways::<f32>(hidden, threads, accumulate);
            both_ways::<bf16>(hidden, threads, accumulate);
        }
        moved_rows::<f32>(hidden, threads);
        moved_rows::<bf16>(hidden, threads);
    }
}
