//! An encoder's forward pass in plain candle operations. Rows are packed everywhere but in attention, which
//! gathers them into a padded grid.
//!
//! candle's fused LayerNorm and softmax drop gradients silently, so both are spelled out here.

use candle_core::{D, DType, Device, IndexOp, Result, Tensor};

use super::Weights;
use crate::backend::{Input, Readout};
use crate::batch::{self, PackedBatch, Pass, SequenceId};
use crate::model::{Activation, EncoderConfig, Kind, Part, Pooling, QUICK_SLOPE};
use crate::random::{Dropout, Key, Site};

/// One forward pass over one batch.
pub(super) struct Forward<'a> {
    config: &'a EncoderConfig,
    readout: Readout,
    weights: &'a Weights,
    batch: &'a PackedBatch,
    pass: &'a Pass,
    /// The key of each sequence's randomness.
    keys: Vec<Key>,
    dtype: DType,
    device: Device,
    padding: Padding,
    /// `[1, heads, width, width]`, where there is one: added to the scores of all layers.
    relative_bias: Option<Tensor>,
}

/// Between packed rows and the padded grid that batched attention works on.
struct Padding {
    width: usize,
    /// `[n · width]`: the packed row at each place of the grid; any valid row at padding.
    to_grid: Tensor,
    /// `[total_tokens]`: the place in the grid of each packed row.
    from_grid: Tensor,
    /// `[n, 1, 1, width]`: 0 where a key is attended to, −∞ (as a large number) where not.
    key_bias: Tensor,
}

impl Padding {
    fn new(batch: &PackedBatch, dtype: DType, device: &Device) -> Result<Self> {
        let (n, width) = (batch.len(), batch.max_seqlen());
        let mut to_grid = vec![0u32; n * width];
        let mut from_grid = vec![0u32; batch.total_tokens()];
        let mut key_bias = vec![-1e30f64; n * width];
        for i in 0..n {
            for (token, row) in batch.rows(i).enumerate() {
                to_grid[i * width + token] = row as u32;
                from_grid[row] = (i * width + token) as u32;
                if token < batch.key_lens[i] {
                    key_bias[i * width + token] = 0.0;
                }
            }
        }
        Ok(Padding {
            width,
            to_grid: Tensor::from_vec(to_grid, n * width, device)?,
            from_grid: Tensor::from_vec(from_grid, batch.total_tokens(), device)?,
            key_bias: Tensor::from_vec(key_bias, (n, 1, 1, width), &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?,
        })
    }
}

impl<'a> Forward<'a> {
    pub fn new(input: &Input<'a>, weights: &'a Weights) -> Result<Self> {
        let &Input { config, readout, batch, pass, .. } = input;
        let word = weights.get(0, Part::WordEmbeddings, Kind::Weight)?;
        let (dtype, device) = (word.dtype(), word.device().clone());
        let padding = Padding::new(batch, dtype, &device)?;
        let keys = batch.ids.iter().map(|&id: &SequenceId| pass.sequence(id)).collect();
        let relative_bias = relative_bias(config, weights, padding.width)?;
        Ok(Forward { config, readout, weights, batch, pass, keys, dtype, device, padding, relative_bias })
    }

    /// `[outputs, hidden]`
    pub fn embed(&self, noise: Option<&Tensor>) -> Result<Tensor> {
        let mut hidden_states = self.embeddings(noise)?;
        let mut first = None;
        for layer in 0..self.config.dimensions.num_hidden_layers {
            hidden_states = self.layer(layer, &hidden_states)?;
            first.get_or_insert_with(|| hidden_states.clone());
        }
        match self.readout {
            Readout::Chosen => {
                let rows: Vec<u32> = self.batch.chosen.iter().flatten().map(|&row| row as u32).collect();
                self.rows(&hidden_states, rows)
            }
            Readout::Pooled(Pooling::Cls) => {
                let starts = (0..self.batch.len()).map(|i| self.batch.first_pooled_row(i) as u32);
                self.rows(&hidden_states, starts.collect())
            }
            // Padding rows are in the batch where mean-padded wants them.
            Readout::Pooled(Pooling::Mean | Pooling::MeanPadded) => self.averaging()?.matmul(&hidden_states),
            Readout::Pooled(Pooling::FirstLastAvg) => match first {
                Some(first) => self.averaging()?.matmul(&((first + hidden_states)? * 0.5)?),
                None => candle_core::bail!("an encoder needs a layer"),
            },
        }
    }

    fn rows(&self, hidden_states: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
        hidden_states.index_select(&Tensor::new(rows, &self.device)?, 0)
    }

    /// `[n, total_tokens]`: row `i` averages the rows of sequence `i` that pooling sees; none give zeros.
    fn averaging(&self) -> Result<Tensor> {
        let (n, total) = (self.batch.len(), self.batch.total_tokens());
        let mut matrix = vec![0f64; n * total];
        for i in 0..n {
            let rows = self.batch.pooled_rows(i);
            let weight = 1.0 / rows.len() as f64;
            matrix[i * total..][rows].fill(weight);
        }
        self.tensor(matrix, &[n, total])
    }

    /// `[total_tokens, hidden]`
    fn embeddings(&self, noise: Option<&Tensor>) -> Result<Tensor> {
        let token_ids = Tensor::new(self.batch.token_ids.as_slice(), &self.device)?;
        let position_ids = Tensor::new(self.batch.position_ids.as_slice(), &self.device)?;
        let table = |part| self.weights.get(0, part, Kind::Weight);
        let mut words = table(Part::WordEmbeddings)?.index_select(&token_ids, 0)?;
        if let Some(noise) = noise {
            words = (words + noise)?;
        }
        let positions = table(Part::PositionEmbeddings)?.index_select(&position_ids, 0)?;
        let mut sum = (words + positions)?;
        if self.config.has_token_types() {
            sum = self.with_types(&sum, table(Part::TokenTypeEmbeddings)?)?;
        }
        let normed = self.layer_norm(0, Part::EmbeddingNorm, &sum)?;
        self.hidden_dropout(&normed, 0, Site::Embeddings)
    }

    /// The sum of embeddings `[total_tokens, hidden]` and those of token types.
    fn with_types(&self, sum: &Tensor, table: &Tensor) -> Result<Tensor> {
        // Sentences have one type, whose row needs no copy for each token.
        if self.batch.token_types.iter().all(|&of_token| of_token == 0) {
            return sum.broadcast_add(&table.i(0..1)?);
        }
        sum + table.index_select(&Tensor::new(self.batch.token_types.as_slice(), &self.device)?, 0)?
    }

    /// One post-LN transformer layer, `[total_tokens, hidden]` to the same.
    fn layer(&self, layer: usize, hidden_states: &Tensor) -> Result<Tensor> {
        let context = self.attention(layer, hidden_states)?;
        let output = self.linear(layer, Part::AttentionOutput, &context)?;
        let output = self.hidden_dropout(&output, layer, Site::AttentionOutput)?;
        let attended = self.layer_norm(1 + layer, Part::AttentionNorm, &(output + hidden_states)?)?;

        let intermediate =
            activation(self.config.activation, &self.linear(layer, Part::Intermediate, &attended)?)?;
        let output = self.linear(layer, Part::Output, &intermediate)?;
        let output = self.hidden_dropout(&output, layer, Site::FeedForwardOutput)?;
        self.layer_norm(1 + layer, Part::OutputNorm, &(output + attended)?)
    }

    /// Multi-head self-attention within each sequence, before the output projection.
    fn attention(&self, layer: usize, hidden_states: &Tensor) -> Result<Tensor> {
        let (n, width) = (self.batch.len(), self.padding.width);
        let (heads, head_size) = (self.config.num_attention_heads, self.config.head_size());
        let grid = |part| -> Result<Tensor> {
            self.linear(layer, part, hidden_states)?
                .index_select(&self.padding.to_grid, 0)?
                .reshape((n, width, heads, head_size))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (query, key, value) = (grid(Part::Query)?, grid(Part::Key)?, grid(Part::Value)?);
        let mut scores = (query.matmul(&key.transpose(2, 3)?)? / (head_size as f64).sqrt())?;
        if let Some(bias) = &self.relative_bias {
            scores = scores.broadcast_add(bias)?;
        }
        let probs = softmax(&scores.broadcast_add(&self.padding.key_bias)?)?;
        let probs = match self.attention_mask_factors(layer)? {
            Some(factors) => (probs * factors)?,
            None => probs,
        };
        let mut context = probs.matmul(&value)?;
        if self.pass.drophead > 0.0 {
            context = context.broadcast_mul(&self.drophead_factors(layer)?)?;
        }
        context
            .transpose(1, 2)?
            .reshape((n * width, heads * head_size))?
            .index_select(&self.padding.from_grid, 0)
    }

    /// `[n, heads, width, width]` dropout factors of the attention probabilities.
    fn attention_mask_factors(&self, layer: usize) -> Result<Option<Tensor>> {
        let Some(dropout) = Dropout::new(self.pass.attention_dropout) else { return Ok(None) };
        let (n, width, heads) = (self.batch.len(), self.padding.width, self.config.num_attention_heads);
        let mut factors = vec![0f32; n * heads * width * width];
        for i in 0..n {
            for head in 0..heads {
                for query in 0..self.batch.seqlen(i) {
                    let row = batch::attention_row_key(self.keys[i], layer, head, query);
                    let start = ((i * heads + head) * width + query) * width;
                    for (key, factor) in factors[start..start + self.batch.key_lens[i]].iter_mut().enumerate()
                    {
                        *factor = dropout.factor(row, key as u32);
                    }
                }
            }
        }
        self.tensor(factors, &[n, heads, width, width]).map(Some)
    }

    /// `[n, heads, 1, 1]`
    fn drophead_factors(&self, layer: usize) -> Result<Tensor> {
        let heads = self.config.num_attention_heads;
        let factors: Vec<f32> =
            self.keys.iter().flat_map(|&key| batch::drophead_factors(self.pass, key, layer, heads)).collect();
        self.tensor(factors, &[self.batch.len(), heads, 1, 1])
    }

    fn hidden_dropout(&self, x: &Tensor, layer: usize, site: Site) -> Result<Tensor> {
        let Some(dropout) = Dropout::new(self.pass.hidden_dropout) else { return Ok(x.clone()) };
        let hidden = self.config.dimensions.hidden_size;
        let mut factors = Vec::with_capacity(self.batch.total_tokens() * hidden);
        for (i, &key) in self.keys.iter().enumerate() {
            for token in 0..self.batch.seqlen(i) {
                let row = batch::row_key(key, layer, site, token);
                factors.extend((0..hidden as u32).map(|channel| dropout.factor(row, channel)));
            }
        }
        x * self.tensor(factors, x.dims())?
    }

    /// x·Wᵀ + b of a layer's part.
    fn linear(&self, layer: usize, part: Part, x: &Tensor) -> Result<Tensor> {
        let weight = self.weights.get(1 + layer, part, Kind::Weight)?;
        x.matmul(&weight.t()?)?.broadcast_add(self.weights.get(1 + layer, part, Kind::Bias)?)
    }

    fn layer_norm(&self, group: usize, part: Part, x: &Tensor) -> Result<Tensor> {
        let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centered.broadcast_div(&(variance + self.config.layer_norm_eps)?.sqrt()?)?;
        normed.broadcast_mul(self.weights.get(group, part, Kind::Weight)?)?.broadcast_add(self.weights.get(
            group,
            part,
            Kind::Bias,
        )?)
    }

    fn tensor<T: candle_core::WithDType>(&self, values: Vec<T>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)
    }
}

/// The bias of each head for all pairs of `width` tokens, queries before keys.
fn relative_bias(config: &EncoderConfig, weights: &Weights, width: usize) -> Result<Option<Tensor>> {
    let Some(bias) = config.relative_bias() else { return Ok(None) };
    let table = weights.get(0, Part::RelativeBias, Kind::Weight)?;
    let offsets = (0..width).flat_map(|query| (0..width).map(move |key| key as isize - query as isize));
    let buckets: Vec<u32> = offsets.map(|offset| bias.bucket(offset) as u32).collect();
    let by_pair = table.index_select(&Tensor::new(buckets, table.device())?, 0)?;
    by_pair
        .reshape((1, width, width, config.num_attention_heads))?
        .permute((0, 3, 1, 2))?
        .contiguous()
        .map(Some)
}

/// A feed-forward block's activation, with an exact gradient.
pub fn activation(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        // candle's gelu_erf has a gradient with a constant of six digits; erf's is exact.
        Activation::Gelu => x * (((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)? * 0.5)?,
        Activation::GeluTanh => {
            let inner = ((x + (x.powf(3.0)? * 0.044715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
            x * ((inner.tanh()? + 1.0)? * 0.5)?
        }
        Activation::QuickGelu => (x * f64::from(QUICK_SLOPE))?.silu()? / f64::from(QUICK_SLOPE),
        Activation::Relu => x.relu(),
        // x / (1 + exp(−x)), spelled out, has the gradient 0 · ∞ where exp(−x) is beyond the dtype.
        Activation::Silu => x.silu(),
    }
}

/// Softmax over the last dimension, shifted by its largest value (a constant to the gradient).
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?;
    let exp = shifted.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn slopes_far_from_zero_are_those_of_the_limits() {
        for function in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Relu,
            Activation::Silu,
        ] {
            for dtype in [DType::F32, DType::F64] {
                let far = [-1000f64, -800.0, -104.0, -89.0, -40.0, 40.0, 89.0, 104.0, 800.0, 1000.0];
                let x = Var::from_tensor(&Tensor::new(&far, &Device::Cpu).unwrap().to_dtype(dtype).unwrap());
                let x = x.unwrap();
                let y = activation(function, x.as_tensor()).unwrap();
                let gradients = y.sum_all().unwrap().backward().unwrap();
                let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
                for ((x, y), slope) in far.iter().zip(wide(&y)).zip(wide(gradients.get(&x).unwrap())) {
                    let limit = if *x > 0.0 { 1.0 } else { 0.0 };
                    assert!((slope - limit).abs() < 1e-12, "{function:?} {dtype:?}: {slope} at {x}");
                    // QuickGelu multiplies and divides by its slope, which rounds.
                    let rounding = if dtype == DType::F32 { 1e-7 * x.abs() } else { 1e-12 };
                    assert!((y - x * limit).abs() <= rounding, "{function:?} {dtype:?}: {y} at {x}");
                }
            }
        }
    }
}
