//! Scaled dot-product attention of one sequence at a time, with dropout of the probabilities and drophead.
//!
//! Queries, keys and values are read where the projections left them; probabilities live in one
//! small buffer and are recomputed in the backward.

use super::buffers::Buffer;
use super::matmul::{Init, Matrix, matmul};
use super::relative::Strips;
use super::simd::{LANES, Simd, fma, kernel, sum_lanes};
use crate::batch::{Pass, attention_row_key, drophead_factors};
use crate::random::{Dropout, Key};

/// Sizes that all sequences share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub hidden: usize,
    pub heads: usize,
}

impl Heads {
    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }
}

/// One sequence's part of the projections: `queries` rows of `q` `[queries, hidden]` and `rows` rows
/// of `kv` `[rows, 2 · hidden]`, keys before values. Only the first `keys` rows are attended to. Queries are the
/// sequence's first rows.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub q: &'a [f32],
    pub kv: &'a [f32],
    pub queries: usize,
    pub keys: usize,
    /// Added to the scores, where there is one.
    pub bias: Option<&'a Strips>,
}

impl<'a> Sequence<'a> {
    /// One head's products of queries and keys, with the bias: `[queries, keys]` scores before they are scaled.
    fn scores(&self, head: usize, q: Matrix<'a>, k: Matrix<'a>, scores: &mut [f32]) {
        match self.bias {
            None => matmul(scores, self.keys, Init::Zero, q, k.t()),
            Some(bias) => {
                bias.fill(head, self.keys, scores);
                matmul(scores, self.keys, Init::Keep, q, k.t());
            }
        }
    }
}

/// The randomness of one sequence in one layer.
pub(crate) struct Masks {
    dropout: Option<Dropout>,
    sequence: Key,
    layer: usize,
    /// `[heads]`
    head_factors: Vec<f32>,
}

impl Masks {
    pub fn new(pass: &Pass, sequence: Key, layer: usize, heads: usize) -> Self {
        Masks {
            dropout: Dropout::new(pass.attention_dropout),
            sequence,
            layer,
            head_factors: drophead_factors(pass, sequence, layer, heads),
        }
    }

    /// What the probabilities of one head are multiplied by.
    fn of_head(&self, head: usize) -> HeadMask<'_> {
        HeadMask { masks: self, head, factor: self.head_factors[head] }
    }
}

#[derive(Clone, Copy)]
struct HeadMask<'a> {
    masks: &'a Masks,
    head: usize,
    factor: f32,
}

impl HeadMask<'_> {
    /// The dropout (its scale times the head's factor) and the key of a query's row.
    #[inline(always)]
    fn row(&self, query: usize) -> (Option<Dropout>, Key) {
        let m = self.masks;
        let dropout = m.dropout.map(|d| Dropout { scale: d.scale * self.factor, ..d });
        (dropout, attention_row_key(m.sequence, m.layer, self.head, query))
    }
}

/// Buffers for the `[queries, keys]` matrices of one head.
pub(crate) struct Scratch {
    probabilities: Buffer,
    masked: Buffer,
    gradient: Buffer,
}

impl Scratch {
    /// For sequences of up to `queries` × `keys`.
    pub fn new(queries: usize, keys: usize) -> Self {
        let len = queries * keys;
        Scratch {
            probabilities: Buffer::unspecified(len),
            masked: Buffer::unspecified(len),
            gradient: Buffer::unspecified(len),
        }
    }
}

/// `context` `[queries, hidden]`: every head's mean of values, weighted by its probabilities.
pub(crate) fn forward(h: Heads, s: Sequence, masks: &Masks, scratch: &mut Scratch, context: &mut [f32]) {
    let (d, hidden) = (h.size(), h.hidden);
    if s.keys == 0 {
        context.fill(0.0);
        return;
    }
    for head in 0..h.heads {
        let at = head * d;
        let q = Matrix::strided(&s.q[at..], s.queries, d, hidden);
        let k = Matrix::strided(&s.kv[at..], s.keys, d, 2 * hidden);
        let v = Matrix::strided(&s.kv[hidden + at..], s.keys, d, 2 * hidden);
        let p = &mut scratch.probabilities[..s.queries * s.keys];
        s.scores(head, q, k, p);
        softmax(p, s.keys, h.scale());
        mask_in_place(p, s.keys, masks.of_head(head));
        matmul(&mut context[at..], hidden, Init::Zero, Matrix::new(p, s.queries, s.keys), v);
    }
}

/// From `context`'s gradient those of `q` and `kv`, which are overwritten: rows of `kv` that are not
/// attended to get zeros. Those of the unscaled scores are added to `bias_gradient`.
pub(crate) fn backward(
    h: Heads,
    s: Sequence,
    masks: &Masks,
    scratch: &mut Scratch,
    context_gradient: &[f32],
    (q_gradient, kv_gradient): (&mut [f32], &mut [f32]),
    mut bias_gradient: Option<&mut Strips>,
) {
    let (d, hidden) = (h.size(), h.hidden);
    kv_gradient[s.keys * 2 * hidden..].fill(0.0);
    if s.keys == 0 {
        q_gradient.fill(0.0);
        return;
    }
    let len = s.queries * s.keys;
    for head in 0..h.heads {
        let at = head * d;
        let q = Matrix::strided(&s.q[at..], s.queries, d, hidden);
        let k = Matrix::strided(&s.kv[at..], s.keys, d, 2 * hidden);
        let v = Matrix::strided(&s.kv[hidden + at..], s.keys, d, 2 * hidden);
        let g = Matrix::strided(&context_gradient[at..], s.queries, d, hidden);
        let (p, masked, dp) =
            (&mut scratch.probabilities[..len], &mut scratch.masked[..len], &mut scratch.gradient[..len]);
        s.scores(head, q, k, p);
        softmax(p, s.keys, h.scale());
        matmul(dp, s.keys, Init::Zero, g, v.t());
        softmax_backward(p, masked, dp, s.keys, h.scale(), masks.of_head(head));
        if let Some(sum) = &mut bias_gradient {
            sum.add(head, s.keys, dp);
        }
        let (masked, ds) = (Matrix::new(masked, s.queries, s.keys), Matrix::new(dp, s.queries, s.keys));
        matmul(&mut kv_gradient[hidden + at..], 2 * hidden, Init::Zero, masked.t(), g);
        matmul(&mut kv_gradient[at..], 2 * hidden, Init::Zero, ds.t(), q);
        matmul(&mut q_gradient[at..], hidden, Init::Zero, ds, k);
    }
}

kernel! {
/// Rows of `keys` scores become probabilities of `scale` · score.
fn softmax<'a, S>(simd, scores: &'a mut [f32], keys: usize, scale: f32) {
    for row in scores.chunks_exact_mut(keys) {
        let max = max_of(row);
        let (whole, rest) = row.as_chunks_mut::<LANES>();
        let mut lanes = [0f32; LANES];
        for chunk in whole {
            for (sum, x) in lanes.iter_mut().zip(chunk) {
                *x = super::math::exp::<S>((*x - max) * scale);
                *sum += *x;
            }
        }
        if !rest.is_empty() {
            // A whole vector of work is cheaper than its elements one by one.
            let mut padded = [f32::NEG_INFINITY; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            for x in &mut padded {
                *x = super::math::exp::<S>((*x - max) * scale);
            }
            rest.copy_from_slice(&padded[..rest.len()]);
            for (sum, x) in lanes.iter_mut().zip(rest) {
                *sum += *x;
            }
        }
        let inverse = 1.0 / sum_lanes(lanes);
        for x in row {
            *x *= inverse;
        }
    }
}
}

#[inline(always)]
fn max_of(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = if lanes[i + width] > lanes[i] { lanes[i + width] } else { lanes[i] };
        }
        width /= 2;
    }
    lanes[0]
}

kernel! {
fn mask_in_place<'a, S>(simd, p: &'a mut [f32], keys: usize, mask: HeadMask<'a>) {
    for (query, row) in p.chunks_exact_mut(keys).enumerate() {
        let (dropout, key) = mask.row(query);
        match dropout {
            Some(dropout) => {
                for (channel, p) in row.iter_mut().enumerate() {
                    *p *= dropout.factor(key, channel as u32);
                }
            }
            None if mask.factor != 1.0 => row.iter_mut().for_each(|p| *p *= mask.factor),
            None => {}
        }
    }
}
}

kernel! {
/// `gradient`, that of the masked probabilities, becomes that of the unscaled scores; `masked` gets the
/// masked probabilities.
fn softmax_backward<'a, S>(
    simd,
    p: &'a [f32],
    masked: &'a mut [f32],
    gradient: &'a mut [f32],
    keys: usize,
    scale: f32,
    mask: HeadMask<'a>,
) {
    let rows = p.chunks_exact(keys).zip(masked.chunks_exact_mut(keys)).zip(gradient.chunks_exact_mut(keys));
    for (query, ((p, masked), g)) in rows.enumerate() {
        let (dropout, key) = mask.row(query);
        match dropout {
            Some(dropout) => {
                for (channel, ((&p, m), g)) in p.iter().zip(masked).zip(g.iter_mut()).enumerate() {
                    let factor = dropout.factor(key, channel as u32);
                    *m = p * factor;
                    *g *= factor;
                }
            }
            None => {
                for ((&p, m), g) in p.iter().zip(masked).zip(g.iter_mut()) {
                    *m = p * mask.factor;
                    *g *= mask.factor;
                }
            }
        }
        let mean = dot::<S>(p, g);
        for (g, &p) in g.iter_mut().zip(p) {
            *g = p * (*g - mean) * scale;
        }
    }
}
}

#[inline(always)]
fn dot<S: Simd>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = fma::<S>(a[i], b[i], lanes[i]);
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] = fma::<S>(a, b, lanes[i]);
    }
    sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::reference;
    use crate::batch::SequenceId;
    use proptest::prelude::*;

    fn values(salt: u64, n: usize) -> Vec<f32> {
        (0..n).map(|i| Key::new(salt).at(i as u64).normal(0) as f32).collect()
    }

    /// Context in f64, from `q` `[queries, hidden]` and `kv` `[rows, 2 · hidden]`.
    fn plain(h: Heads, (queries, keys): (usize, usize), q: &[f64], kv: &[f64], masks: &Masks) -> Vec<f64> {
        let (d, hidden) = (h.size(), h.hidden);
        let mut context = vec![0.0; queries * hidden];
        for head in 0..h.heads {
            let at = head * d;
            let k: Vec<&[f64]> = (0..keys).map(|r| &kv[r * 2 * hidden + at..][..d]).collect();
            for query in 0..queries {
                let p = reference::probabilities(
                    &q[query * hidden + at..][..d],
                    &k,
                    1.0 / (d as f64).sqrt(),
                    |_| 0.0,
                );
                let row = attention_row_key(masks.sequence, masks.layer, head, query);
                for (key, p) in p.iter().enumerate() {
                    let keep = masks.dropout.map_or(1.0, |d| f64::from(d.factor(row, key as u32)));
                    for c in 0..d {
                        context[query * hidden + at + c] += p
                            * keep
                            * f64::from(masks.head_factors[head])
                            * kv[key * 2 * hidden + hidden + at + c];
                    }
                }
            }
        }
        context
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn is_the_plain_function_with_its_gradients(
            heads in 1usize..4, d in 1usize..40, rows in 1usize..45, pad in 0usize..4, one_query: bool,
            attention_dropout in prop::sample::select(vec![0.0, 0.3]),
            drophead in prop::sample::select(vec![0.0, 0.4]),
        ) {
            let h = Heads { hidden: heads * d, heads };
            let (queries, keys) = (if one_query { 1 } else { rows }, rows.saturating_sub(pad).max(1));
            let (q, kv) = (values(1, queries * h.hidden), values(2, rows * 2 * h.hidden));
            let upstream = values(3, queries * h.hidden);
            let pass = Pass { key: Key::new(4), hidden_dropout: 0.0, attention_dropout, drophead };
            let masks = Masks::new(&pass, pass.sequence(SequenceId { view: 1, sentence: 2 }), 3, heads);
            let sequence = Sequence { q: &q, kv: &kv, queries, keys, bias: None };
            let mut scratch = Scratch::new(rows, rows);
            let mut context = vec![0f32; q.len()];
            forward(h, sequence, &masks, &mut scratch, &mut context);
            let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            let (q64, kv64) = (wide(&q), wide(&kv));
            for (got, want) in context.iter().zip(plain(h, (queries, keys), &q64, &kv64, &masks)) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-5, "{} {}", got, want);
            }

            let (mut dq, mut dkv) = (vec![9f32; q.len()], vec![9f32; kv.len()]);
            backward(h, sequence, &masks, &mut scratch, &upstream, (&mut dq, &mut dkv), None);
            let loss = |q: &[f64], kv: &[f64]| -> f64 {
                plain(h, (queries, keys), q, kv, &masks).iter().zip(&upstream)
                    .map(|(c, &u)| c * f64::from(u)).sum()
            };
            // A dozen places of each, spread out.
            for i in (0..q.len()).step_by(q.len().div_ceil(12)) {
                let at = |e: f64| { let mut q = q64.clone(); q[i] += e; loss(&q, &kv64) };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                prop_assert!((f64::from(dq[i]) - want).abs() < 2e-5 * want.abs().max(1.0), "q {}: {} {}", i, dq[i], want);
            }
            for i in (0..kv.len()).step_by(kv.len().div_ceil(24)) {
                let at = |e: f64| { let mut kv = kv64.clone(); kv[i] += e; loss(&q64, &kv) };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                prop_assert!((f64::from(dkv[i]) - want).abs() < 2e-5 * want.abs().max(1.0), "kv {}: {} {}", i, dkv[i], want);
            }
        }
    }
}
