//! The encoder in plain f64, one sequence and one value at a time: what the fused operations are held
//! against in tests.

use super::shape::EncoderShape;
use crate::backend::Readout;
use crate::batch::{PackedBatch, Pass, attention_row_key, drophead_factors, row_key};
use crate::model::{Activation, Pooling};
use crate::random::{Dropout, Key, Site};

/// Weight groups in f64.
pub type Weights = Vec<Vec<f64>>;
type Rows = Vec<Vec<f64>>;

/// Takes the next `len` values off a flat buffer.
struct Reader<'a>(&'a [f64]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [f64] {
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        head
    }
}

pub fn erf(x: f64) -> f64 {
    if x.abs() < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let a = x.abs();
        let tail = (1..200).rev().fold(a, |f, n| a + f64::from(n) / 2.0 / f);
        x.signum() * (1.0 - (-a * a).exp() / (std::f64::consts::PI.sqrt() * tail))
    }
}

pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

pub fn layer_norm(z: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let n = z.len() as f64;
    let mean = z.iter().sum::<f64>() / n;
    let variance = z.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (0..z.len()).map(|i| (z[i] - mean) / (variance + eps).sqrt() * weight[i] + bias[i]).collect()
}

fn linear(x: &Rows, weight: &[f64], bias: &[f64]) -> Rows {
    let inputs = weight.len() / bias.len();
    let value = |row: &[f64], o: usize| {
        bias[o] + row.iter().zip(&weight[o * inputs..(o + 1) * inputs]).map(|(a, b)| a * b).sum::<f64>()
    };
    x.iter().map(|row| (0..bias.len()).map(|o| value(row, o)).collect()).collect()
}

fn drop_hidden(x: &mut Rows, pass: &Pass, sequence: Key, layer: usize, site: Site) {
    if let Some(dropout) = Dropout::new(pass.hidden_dropout) {
        for (token, row) in x.iter_mut().enumerate() {
            let key = row_key(sequence, layer, site, token);
            for (channel, x) in row.iter_mut().enumerate() {
                *x *= f64::from(dropout.factor(key, channel as u32));
            }
        }
    }
}

/// softmax(q · kᵀ · scale + bias) over the first `keys` rows.
pub fn probabilities(q: &[f64], k: &[&[f64]], scale: f64, bias: impl Fn(usize) -> f64) -> Vec<f64> {
    let score =
        |(i, k): (usize, &&[f64])| q.iter().zip(*k).map(|(a, b)| a * b).sum::<f64>() * scale + bias(i);
    let scores: Vec<f64> = k.iter().enumerate().map(score).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
    scores.iter().map(|s| (s - max).exp() / sum).collect()
}

fn attention(
    shape: &EncoderShape,
    pass: &Pass,
    (sequence, layer, keys): (Key, usize, usize),
    (q, k, v): (&Rows, &Rows, &Rows),
    table: &[f64],
) -> Rows {
    let d = shape.hidden / shape.heads;
    let factors = drophead_factors(pass, sequence, layer, shape.heads);
    let dropout = Dropout::new(pass.attention_dropout);
    let mut context = vec![vec![0.0; shape.hidden]; q.len()];
    for (head, &factor) in factors.iter().enumerate() {
        let part = head * d..(head + 1) * d;
        let k: Vec<&[f64]> = k[..keys].iter().map(|row| &row[part.clone()]).collect();
        for query in 0..q.len() {
            let bias = |key: usize| match shape.relative {
                Some(bias) => table[bias.bucket(key as isize - query as isize) * shape.heads + head],
                None => 0.0,
            };
            let p = probabilities(&q[query][part.clone()], &k, 1.0 / (d as f64).sqrt(), bias);
            let row = attention_row_key(sequence, layer, head, query);
            for (key, p) in p.iter().enumerate() {
                let keep = dropout.map_or(1.0, |d| f64::from(d.factor(row, key as u32)));
                for channel in part.clone() {
                    context[query][channel] += p * keep * f64::from(factor) * v[key][channel];
                }
            }
        }
    }
    context
}

/// Embeddings `[outputs, hidden]`. Padding rows beyond a sequence's `key_lens` are computed like others.
pub fn embed(
    shape: &EncoderShape,
    weights: &Weights,
    batch: &PackedBatch,
    noise: Option<&[f64]>,
    pass: &Pass,
    readout: Readout,
) -> Vec<f64> {
    let mut all = Vec::new();
    for i in 0..batch.len() {
        let outputs = sequence_outputs(shape, weights, batch, i, noise, pass);
        let (first, last) = (&outputs[1.min(outputs.len() - 1)], &outputs[outputs.len() - 1]);
        let left_out = batch.unpooled[i];
        let mean = |rows: &Rows, c: usize| {
            let pooled = &rows[left_out..];
            pooled.iter().map(|r| r[c]).sum::<f64>() / pooled.len().max(1) as f64
        };
        let Readout::Pooled(pooling) = readout else {
            let chosen = batch.chosen.iter().flatten().filter(|row| batch.rows(i).contains(row));
            all.extend(chosen.flat_map(|row| last[row - batch.rows(i).start].clone()));
            continue;
        };
        all.extend((0..shape.hidden).map(|c| match pooling {
            Pooling::Mean | Pooling::MeanPadded => mean(last, c),
            Pooling::Cls => last[if left_out < last.len() { left_out } else { 0 }][c],
            Pooling::FirstLastAvg => (mean(first, c) + mean(last, c)) / 2.0,
        }));
    }
    all
}

/// Hidden states of one sequence: after the embeddings and after each layer.
pub fn sequence_outputs(
    shape: &EncoderShape,
    weights: &Weights,
    batch: &PackedBatch,
    i: usize,
    noise: Option<&[f64]>,
    pass: &Pass,
) -> Vec<Rows> {
    let (h, inter, eps) = (shape.hidden, shape.intermediate, f64::from(shape.layer_norm_eps));
    let sequence = pass.sequence(batch.ids[i]);
    let mut r = Reader(&weights[0]);
    let word = r.take(shape.vocab_size * h);
    let position = r.take(shape.max_position_embeddings * h);
    let token_type = r.take(shape.type_vocab_size * h);
    let (weight, bias) = (r.take(h), r.take(h));
    let table = r.take(shape.relative_rows * shape.heads);
    let embedding = |row: usize| {
        let (token, place) = (batch.token_ids[row] as usize, batch.position_ids[row] as usize);
        let of_type = token_type.get(batch.token_types[row] as usize * h..).unwrap_or_default();
        let sum: Vec<f64> = (0..h)
            .map(|c| {
                let noise = noise.map_or(0.0, |n| n[row * h + c]);
                word[token * h + c] + noise + position[place * h + c] + of_type.get(c).unwrap_or(&0.0)
            })
            .collect();
        layer_norm(&sum, weight, bias, eps)
    };
    let mut x: Rows = batch.rows(i).map(embedding).collect();
    drop_hidden(&mut x, pass, sequence, 0, Site::Embeddings);
    let mut outputs = vec![x.clone()];
    for layer in 0..shape.layers {
        let mut r = Reader(&weights[layer + 1]);
        let [wq, wk, wv] = std::array::from_fn(|_| r.take(h * h));
        let [bq, bk, bv] = std::array::from_fn(|_| r.take(h));
        let (wo, bo, g1, b1) = (r.take(h * h), r.take(h), r.take(h), r.take(h));
        let (wi, bi, w2, b2) = (r.take(inter * h), r.take(inter), r.take(h * inter), r.take(h));
        let (g2, beta2) = (r.take(h), r.take(h));
        let (q, k, v) = (linear(&x, wq, bq), linear(&x, wk, bk), linear(&x, wv, bv));
        let context = attention(shape, pass, (sequence, layer, batch.key_lens[i]), (&q, &k, &v), table);
        let mut branch = linear(&context, wo, bo);
        drop_hidden(&mut branch, pass, sequence, layer, Site::AttentionOutput);
        let y: Rows = add(&branch, &x).iter().map(|z| layer_norm(z, g1, b1, eps)).collect();
        let mut pre = linear(&y, wi, bi);
        pre.iter_mut().flatten().for_each(|x| *x = activate(shape.activation, *x));
        let mut out = linear(&pre, w2, b2);
        drop_hidden(&mut out, pass, sequence, layer, Site::FeedForwardOutput);
        x = add(&out, &y).iter().map(|z| layer_norm(z, g2, beta2, eps)).collect();
        outputs.push(x.clone());
    }
    outputs
}

fn add(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}
