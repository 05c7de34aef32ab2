use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream};
use half::bf16;
use mirror::batch::{Pass, attention_row_key, drophead_factors};
use mirror::random::{Dropout, Key};

use super::launch::{Argument, Grid, NULL, arguments, check_beside, launch_of, pointer, unwritten, values};
use super::rows::{keys, numbers};
use crate::machine::{Number, normals, stream};

const LAYER: usize = 2;
const THREADS: usize = 128;

/// A packed batch, and what of attention is asked for.
#[derive(Clone)]
struct Case {
    heads: usize,
    d: usize,
    /// Of each sequence, and how many of its tokens are attended to.
    lengths: Vec<usize>,
    key_lens: Vec<usize>,
    /// The tokens of each sequence that ask, where not all do: queries lie apart from keys and values then.
    chosen: Option<Vec<Vec<usize>>>,
    bias: bool,
    dropout: f64,
    drophead: f64,
}

impl Case {
    /// All tokens of all sequences ask and are attended to.
    fn plain(d: usize, lengths: &[usize]) -> Self {
        let (lengths, key_lens) = (lengths.to_vec(), lengths.to_vec());
        Case { heads: 2, d, lengths, key_lens, chosen: None, bias: false, dropout: 0.0, drophead: 0.0 }
    }

    fn hidden(&self) -> usize {
        self.heads * self.d
    }

    fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn longest(&self) -> usize {
        *self.lengths.iter().max().unwrap()
    }

    fn offsets(&self) -> usize {
        2 * self.longest() - 1
    }

    fn queries(&self) -> Vec<Vec<usize>> {
        self.chosen.clone().unwrap_or_else(|| self.lengths.iter().map(|&len| (0..len).collect()).collect())
    }

    fn scale(&self) -> f32 {
        1.0 / (self.d as f32).sqrt()
    }

    fn tile(&self) -> usize {
        if self.d <= 64 { 32 } else { 16 }
    }

    /// What a query's probabilities are multiplied by.
    fn masks(&self, sequence: Key, head: usize, query: usize, keys: usize) -> Vec<f64> {
        let pass = Pass { drophead: self.drophead, ..Pass::inference() };
        let of_head = drophead_factors(&pass, sequence, LAYER, self.heads)[head];
        let row = attention_row_key(sequence, LAYER, head, query);
        let factor = |key| Dropout::new(self.dropout).map_or(1.0, |dropout| dropout.factor(row, key));
        (0..keys as u32).map(|key| f64::from(of_head * factor(key))).collect()
    }
}

/// Matrices whose rows are a number of values apart, as `Case` has them in memory.
struct Layout {
    q_stride: usize,
    kv_stride: usize,
    /// Where keys begin in the matrix that queries may be in.
    keys_at: usize,
}

impl Layout {
    fn of(case: &Case) -> Self {
        let h = case.hidden();
        match case.chosen {
            None => Layout { q_stride: 3 * h, kv_stride: 3 * h, keys_at: h },
            Some(_) => Layout { q_stride: h, kv_stride: 2 * h, keys_at: 0 },
        }
    }
}

/// What attention gives, and its gradients.
#[derive(Default)]
struct Expected {
    context: Vec<f64>,
    logsumexp: Vec<f64>,
    /// In the forms of what was given.
    dq: Vec<f64>,
    dkv: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], scale: f64, row: &[f64]) {
    to.iter_mut().zip(row).for_each(|(to, x)| *to += scale * x);
}

impl Expected {
    fn of(case: &Case, q: &[f64], kv: &[f64], bias: &[f64], grad_context: &[f64]) -> Self {
        let (h, d, at) = (case.hidden(), case.d, Layout::of(case));
        let queries = case.queries();
        let asked: usize = queries.iter().map(Vec::len).sum();
        let mut all = Expected {
            context: vec![0.0; asked * h],
            logsumexp: vec![0.0; asked * case.heads],
            dq: vec![0.0; q.len()],
            dkv: vec![0.0; kv.len()],
        };
        let scale = f64::from(case.scale());
        let (mut row, mut first) = (0, 0);
        for (i, sequence) in keys(queries.len()).into_iter().enumerate() {
            for &token in &queries[i] {
                for head in 0..case.heads {
                    let count = case.key_lens[i];
                    if count == 0 {
                        continue;
                    }
                    let query_at = row * at.q_stride + head * d;
                    let query = &q[query_at..][..d];
                    let key_at = |k: usize| (first + k) * at.kv_stride + at.keys_at + head * d;
                    let of_offset = |k: usize| {
                        let offset = head * case.offsets() + case.longest() - 1 + k - token;
                        if case.bias { bias[offset] } else { 0.0 }
                    };
                    let scores: Vec<f64> = (0..count)
                        .map(|k| scale * dot(query, &kv[key_at(k)..][..d]) + of_offset(k))
                        .collect();
                    let logsumexp = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
                    all.logsumexp[head * asked + row] = logsumexp;
                    let probabilities: Vec<f64> =
                        scores.iter().map(|score| (score - logsumexp).exp()).collect();
                    let masks = case.masks(sequence, head, token, count);
                    let gradient = &grad_context[row * h + head * d..][..d];
                    let of_probability: Vec<f64> =
                        (0..count).map(|k| masks[k] * dot(gradient, &kv[key_at(k) + h..][..d])).collect();
                    let along = dot(&probabilities, &of_probability);
                    for k in 0..count {
                        let (place, weight) = (key_at(k), probabilities[k] * masks[k]);
                        add(&mut all.context[row * h + head * d..][..d], weight, &kv[place + h..][..d]);
                        let of_score = scale * probabilities[k] * (of_probability[k] - along);
                        add(&mut all.dq[query_at..][..d], of_score, &kv[place..][..d]);
                        add(&mut all.dkv[place..][..d], of_score, query);
                        add(&mut all.dkv[place + h..][..d], weight, gradient);
                    }
                }
                row += 1;
            }
            first += case.lengths[i];
        }
        all
    }
}

/// The batch on the device.
struct There {
    cu_queries: CudaSlice<u32>,
    query_token: CudaSlice<u32>,
    cu_seqlens: CudaSlice<u32>,
    key_lens: CudaSlice<u32>,
    keys: CudaSlice<u64>,
}

impl There {
    fn new(stream: &Arc<CudaStream>, case: &Case) -> Self {
        let queries = case.queries();
        let upload = |values: &[usize]| {
            stream.clone_htod(&values.iter().map(|&x| x as u32).collect::<Vec<_>>()).unwrap()
        };
        let starts = |lens: &[usize]| {
            let sums = (0..=lens.len()).map(|i| lens[..i].iter().sum());
            sums.collect::<Vec<usize>>()
        };
        let names: Vec<u64> = keys(queries.len()).iter().map(|key| key.value()).collect();
        There {
            cu_queries: upload(&starts(&queries.iter().map(Vec::len).collect::<Vec<_>>())),
            query_token: upload(&queries.concat()),
            cu_seqlens: upload(&starts(&case.lengths)),
            key_lens: upload(&case.key_lens),
            keys: stream.clone_htod(&names).unwrap(),
        }
    }

    fn arguments(&self, bias: Argument) -> Vec<Argument> {
        arguments![&self.cu_queries, &self.query_token, &self.cu_seqlens, &self.key_lens, &self.keys, bias]
    }
}

fn shape(case: &Case) -> Vec<Argument> {
    let at = Layout::of(case);
    let mut shape = arguments![at.q_stride as u32, at.kv_stride as u32, case.hidden() as u32];
    shape.extend(arguments![case.heads as u32, case.d as u32, case.longest() as u32, case.scale()]);
    shape.extend(arguments![LAYER as u32]);
    shape.extend(numbers(Dropout::new(case.dropout)));
    shape.extend(arguments![case.drophead]);
    shape
}

fn grid(case: &Case, tiles: usize, matrices: usize, more: usize) -> Grid {
    let shared = size_of::<f32>() * case.tile() * (matrices * (case.d + 1) + more);
    Grid { blocks: (case.lengths.len(), case.heads, tiles), threads: THREADS, shared }
}

fn both_ways<T: Number>(case: &Case) {
    let (stream, key, h, at) = (stream(), Key::new(71).at(case.d as u64), case.hidden(), Layout::of(case));
    let (there, queries) = (There::new(&stream, case), case.queries());
    let asked: usize = queries.iter().map(Vec::len).sum();
    let longest_asked = queries.iter().map(Vec::len).max().unwrap();
    // One matrix serves as both where all rows ask.
    let (kv, kv_there) = normals::<T>(&stream, key.at(0), case.tokens() * at.kv_stride);
    let (q, q_there) = normals::<T>(&stream, key.at(1), asked * at.q_stride);
    let together = case.chosen.is_none();
    let (q, q_there) = if together { (&kv, &kv_there) } else { (&q, &q_there) };
    let (bias, bias_there) = normals::<f32>(&stream, key.at(2), case.heads * case.offsets());
    let (grad, grad_there) = normals::<T>(&stream, key.at(3), asked * h);
    let bias_at = if case.bias { (&bias_there).into() } else { NULL };
    let (context, logsumexp) =
        (unwritten::<T>(&stream, asked * h), unwritten::<f32>(&stream, asked * case.heads));

    let mut inputs = arguments![q_there, pointer(&kv_there, at.keys_at)];
    inputs.extend(there.arguments(bias_at));
    let mut arguments = inputs.clone();
    arguments.extend(arguments![&context, &logsumexp]);
    arguments.extend(shape(case));
    let of_queries = longest_asked.div_ceil(case.tile());
    launch_of::<T>(&stream, "attention", "attention", grid(case, of_queries, 3, 0), &arguments);

    let (dq, dkv) = (unwritten::<T>(&stream, q.len()), unwritten::<T>(&stream, kv.len()));
    let dq = if together { &dkv } else { &dq };
    inputs.extend(arguments![&context, &grad_there, &logsumexp, dq, pointer(&dkv, at.keys_at)]);
    inputs.extend(shape(case));
    let tiles = of_queries + case.longest().div_ceil(case.tile());
    launch_of::<T>(&stream, "attention", "attention_backward", grid(case, tiles, 4, 2), &inputs);

    let mut expected = Expected::of(case, q, &kv, &bias, &grad);
    if together {
        let (dq, dkv) = (&expected.dq, &mut expected.dkv);
        dkv.iter_mut().zip(dq).for_each(|(to, of_queries)| *to += of_queries);
        expected.dq.clone_from(&expected.dkv);
    }
    let what = |part: &str| format!("{part} of heads of {}, {:?}", case.d, case.lengths);
    check_beside::<T>(&what("context"), &values(&stream, &context), &expected.context, 0.0);
    let sums = values(&stream, &logsumexp);
    check_beside::<T>(&what("logsumexp"), &sums, &expected.logsumexp, 1.0);
    // Of a single key's score nothing remains but what rounding leaves.
    check_beside::<T>(&what("queries' gradient"), &values(&stream, dq), &expected.dq, 1.0);
    check_beside::<T>(&what("keys' and values' gradient"), &values(&stream, &dkv), &expected.dkv, 1.0);
}

fn in_both_formats(case: &Case) {
    both_ways::<f32>(case);
    both_ways::<bf16>(case);
}

#[test]
fn attention_of_any_head_size_is_what_a_plain_function_gives() {
    for d in [1, 32, 33, 64, 80, 128] {
        in_both_formats(&Case::plain(d, &[2, 33, 1, 17]));
        let masked = Case { dropout: 0.2, drophead: 0.3, heads: 3, ..Case::plain(d, &[1, 33, 2]) };
        in_both_formats(&masked);
    }
}

#[test]
fn attention_of_long_sequences_is_what_a_plain_function_gives() {
    in_both_formats(&Case { dropout: 0.1, ..Case::plain(33, &[1, 512, 2, 33]) });
    in_both_formats(&Case { heads: 1, ..Case::plain(128, &[2, 512]) });
}

#[test]
fn attention_leaves_out_keys_beyond_those_that_are_attended_to() {
    for d in [32, 80] {
        let plain = Case::plain(d, &[33, 5, 70, 3]);
        in_both_formats(&Case { key_lens: vec![32, 5, 33, 0], dropout: 0.1, ..plain });
    }
}

#[test]
fn chosen_queries_attend_as_they_do_among_all() {
    for d in [1, 64, 128] {
        let chosen = vec![vec![0, 31, 32], vec![], vec![1], (3..60).collect()];
        let plain = Case::plain(d, &[33, 5, 2, 70]);
        let key_lens = vec![33, 5, 1, 66];
        in_both_formats(&Case { chosen: Some(chosen), key_lens, dropout: 0.1, drophead: 0.4, ..plain });
    }
}

#[test]
fn a_bias_is_added_by_how_far_keys_are_from_queries() {
    let plain = Case::plain(33, &[33, 1, 40]);
    in_both_formats(&Case { bias: true, ..plain.clone() });
    let chosen = vec![vec![0, 32], vec![0], vec![7, 8, 39]];
    in_both_formats(&Case { bias: true, chosen: Some(chosen), dropout: 0.1, ..plain });
}
