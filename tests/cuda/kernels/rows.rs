//! Rows of packed sequences, and their masks.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream};
use mirror::batch::{Pass, SequenceId, row_key};
use mirror::random::{Dropout, Key, Site};

use super::launch::Argument;

/// The keys of a batch's sequences.
pub fn keys(sequences: usize) -> Vec<Key> {
    let pass = Pass { key: Key::new(11), ..Pass::inference() };
    (0..sequences as u32).map(|i| pass.sequence(SequenceId { view: i % 2, sentence: i / 2 })).collect()
}

/// Rows, each a token of a sequence.
pub struct Rows {
    pub sequence: Vec<u32>,
    token: Vec<u32>,
    keys: Vec<Key>,
    there: (CudaSlice<u32>, CudaSlice<u32>, CudaSlice<u64>),
}

impl Rows {
    /// So many, in sequences of five.
    pub fn new(stream: &Arc<CudaStream>, rows: usize) -> Self {
        let (sequence, token): (Vec<u32>, Vec<u32>) = (0..rows as u32).map(|row| (row / 5, row % 5)).unzip();
        let keys = keys(rows.div_ceil(5));
        let names: Vec<u64> = keys.iter().map(|key| key.value()).collect();
        let upload = |values: &[u32]| stream.clone_htod(values).unwrap();
        let there = (upload(&sequence), upload(&token), stream.clone_htod(&names).unwrap());
        Rows { sequence, token, keys, there }
    }

    pub fn arguments(&self) -> [Argument; 3] {
        [(&self.there.0).into(), (&self.there.1).into(), (&self.there.2).into()]
    }

    /// What dropout multiplies a value by.
    pub fn factor(
        &self,
        dropout: Option<Dropout>,
        (layer, site): (usize, Site),
        row: usize,
        channel: usize,
    ) -> f64 {
        let key = row_key(self.keys[self.sequence[row] as usize], layer, site, self.token[row] as usize);
        dropout.map_or(1.0, |dropout| f64::from(dropout.factor(key, channel as u32)))
    }
}

/// Threshold and scale, as kernels take them.
pub fn numbers(dropout: Option<Dropout>) -> [Argument; 2] {
    let (threshold, scale) = dropout.map_or((0, 1.0), |dropout| (dropout.threshold, dropout.scale));
    [threshold.into(), scale.into()]
}

/// A row's mean is subtracted, and it is divided by its deviation: the values, and the divisor's inverse.
pub fn normalise(row: &[f64], eps: f64) -> (Vec<f64>, f64) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
    let rstd = 1.0 / (variance + eps).sqrt();
    (row.iter().map(|x| (x - mean) * rstd).collect(), rstd)
}

/// The gradient of a row from that of what [`normalise`] makes of it.
pub fn normalise_backward(along: &[f64], normalised: &[f64], rstd: f64) -> Vec<f64> {
    let n = along.len() as f64;
    let mean = along.iter().sum::<f64>() / n;
    let shared = along.iter().zip(normalised).map(|(g, x)| g * x).sum::<f64>() / n;
    along.iter().zip(normalised).map(|(g, x)| rstd * (g - mean - x * shared)).collect()
}

/// Both are one another's: the gradient is the slope of `normalise`.
#[test]
fn the_gradient_of_a_norm_is_its_slope() {
    let value = |i: u32| Key::new(1).normal(i);
    let row: Vec<f64> = (0..9).map(value).collect();
    let along: Vec<f64> = (9..18).map(value).collect();
    let of = |row: &[f64]| normalise(row, 1e-2).0.iter().zip(&along).map(|(x, g)| x * g).sum::<f64>();
    let (normalised, rstd) = normalise(&row, 1e-2);
    for (i, gradient) in normalise_backward(&along, &normalised, rstd).into_iter().enumerate() {
        let moved = |step: f64| row.iter().enumerate().map(move |(j, x)| if i == j { x + step } else { *x });
        let [up, down] = [1e-5, -1e-5].map(|step| of(&moved(step).collect::<Vec<_>>()));
        assert!((gradient - (up - down) / 2e-5).abs() < 1e-8, "{i}: {gradient}");
    }
}
