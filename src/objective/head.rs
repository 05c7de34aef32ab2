//! A head's layers on embeddings, in f64 like the losses behind them.

use candle_core::{DType, Device, Result, Tensor};

use super::Leaf;
use crate::batch::head_row_key;
use crate::model::{Head, Kind};
use crate::modules::activate;
use crate::random::{Dropout, Key, Site};

/// The standard deviation of a new head's weights, as transformers' configurations have it (`initializer_range`).
const INITIAL_DEVIATION: f64 = 0.02;

/// `[sequences, outputs]`: what the head makes of a leaf.
///
/// # Errors
/// The leaf's weights are not those of the head.
pub fn forward(head: &Head, leaf: &Leaf) -> Result<Tensor> {
    let mut x = leaf.embeddings.clone();
    for (place, layer) in head.layers.iter().enumerate() {
        if layer.drops_input {
            x = dropped(&x, place, leaf)?;
        }
        let weight = leaf.own.get(layer.part, Kind::Weight)?;
        let product = x.matmul(&weight.t()?)?.broadcast_add(leaf.own.get(layer.part, Kind::Bias)?)?;
        x = activate(layer.activation, &product)?;
    }
    Ok(x)
}

/// `[sequences, width]` under the dropout of a head's layer.
fn dropped(x: &Tensor, place: usize, leaf: &Leaf) -> Result<Tensor> {
    let Some(dropout) = Dropout::new(leaf.pass.hidden_dropout) else { return Ok(x.clone()) };
    let (sequences, width) = x.dims2()?;
    let mut factors = Vec::with_capacity(sequences * width);
    for &id in &leaf.batch.ids {
        let row = head_row_key(leaf.pass.sequence(id), place);
        factors.extend((0..width as u32).map(|channel| f64::from(dropout.factor(row, channel))));
    }
    x * Tensor::from_vec(factors, (sequences, width), x.device())?
}

/// The weights of a new head, layer by layer: a matrix `[outputs, inputs]` of N(0, 0.02²), and zeros `[outputs]` that
/// are added. A function of the seed.
pub fn initial(head: &Head, seed: u64) -> Result<Vec<[Tensor; 2]>> {
    let key = Key::new(seed).site(Site::InitialWeights);
    let of_layer = |(place, layer): (usize, &crate::model::HeadLayer)| {
        let row = |output: usize| {
            let row = key.at(place as u64).at(output as u64);
            (0..layer.inputs as u32).map(move |input| row.normal(input) * INITIAL_DEVIATION)
        };
        let values: Vec<f64> = (0..layer.outputs).flat_map(row).collect();
        let weight = Tensor::from_vec(values, (layer.outputs, layer.inputs), &Device::Cpu)?;
        Ok([weight, Tensor::zeros(layer.outputs, DType::F64, &Device::Cpu)?])
    };
    head.layers.iter().enumerate().map(of_layer).collect()
}
