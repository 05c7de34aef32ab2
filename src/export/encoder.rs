//! The encoder as a graph, layer by layer: what [`crate::backend::Reference`] computes, padded.
//!
//! Linear layers, LayerNorm, attention and GELU have the forms that PyTorch's exporter gives them, since
//! those are what ONNX Runtime fuses.

use candle_core::{Result, Tensor};

use super::Precision;
use super::graph::{Dim, GraphBuilder, Value, float, int, ints};
use super::weights::Initializer;
use crate::encoder::{EncoderConfig, Parameters};
use crate::model::layout::TensorSpec;
use crate::model::{Activation, Kind, Part, Positions, QUICK_SLOPE};
use crate::onnx_file::INPUTS;
use crate::onnx_file::proto::DataType;

/// Tokens of a batch, padded.
pub struct Tokens {
    /// `[batch, sequence]`, int64.
    pub ids: Value,
    /// `[batch, sequence]`, int64: 1 where attended to.
    pub mask: Value,
    /// `[batch, sequence]`, int64, where the model has token types.
    pub types: Option<Value>,
}

/// What the layers put out.
pub struct HiddenStates {
    /// `[batch, sequence, hidden]` after the first layer.
    pub first: Value,
    /// `[batch, sequence, hidden]` after the last layer.
    pub last: Value,
}

/// Puts an encoder into a graph.
pub struct EncoderGraph<'a> {
    /// What has been added so far.
    pub graph: GraphBuilder,
    /// The encoder that the graph computes.
    pub config: &'a EncoderConfig,
    parameters: &'a Parameters,
    precision: Precision,
    /// The type in which hidden states are computed.
    float: DataType,
    /// The activation that was quantised last, and its quantised form: query, key and value share one.
    quantized: Option<(Value, [Value; 3])>,
}

/// What a masked score gets added: as good as −∞, but a row with nothing to attend to has no NaN.
const MASKED: f32 = -1e30;
/// The same within the range of f16, of which half would do.
const MASKED_F16: f32 = -1e4;

impl<'a> EncoderGraph<'a> {
    /// An encoder that is to be added to `graph`, its weights stored in `precision`.
    pub fn new(
        graph: GraphBuilder,
        config: &'a EncoderConfig,
        parameters: &'a Parameters,
        precision: Precision,
    ) -> Self {
        let float = match precision {
            Precision::F16 => DataType::Float16,
            Precision::F32 | Precision::Int8 => DataType::Float,
        };
        EncoderGraph { graph, config, parameters, precision, float, quantized: None }
    }

    /// Adds the inputs that the architecture has: token ids, attention mask, token types.
    pub fn inputs(&mut self) -> Tokens {
        let dims = [Dim::Named("batch_size"), Dim::Named("sequence_length")];
        let [ids, mask, types] = INPUTS;
        Tokens {
            ids: self.graph.input(ids, &dims),
            mask: self.graph.input(mask, &dims),
            types: self.config.has_token_types().then(|| self.graph.input(types, &dims)),
        }
    }

    /// All layers.
    pub fn hidden_states(&mut self, tokens: &Tokens) -> Result<HiddenStates> {
        let mut hidden_states = self.embeddings(tokens)?;
        let mut score_bias = self.key_bias(&tokens.mask);
        if let Some(bias) = self.config.relative_bias() {
            let relative = self.relative_bias(tokens, bias)?;
            score_bias = self.graph.node("Add", &[&relative, &score_bias], vec![]);
        }
        let mut first = None;
        for layer in 0..self.config.dimensions.num_hidden_layers {
            hidden_states = self.layer(layer, &hidden_states, &score_bias)?;
            first.get_or_insert_with(|| hidden_states.clone());
        }
        Ok(HiddenStates { first: first.unwrap_or_else(|| hidden_states.clone()), last: hidden_states })
    }

    /// `[batch, sequence, hidden]`
    fn embeddings(&mut self, tokens: &Tokens) -> Result<Value> {
        self.graph.scope("embeddings");
        let words = self.shared_weight(Part::WordEmbeddings)?;
        let words = self.graph.node("Gather", &[&words, &tokens.ids], vec![]);
        let positions = self.positions(tokens)?;
        let types = match &tokens.types {
            Some(types) => {
                let table = self.shared_weight(Part::TokenTypeEmbeddings)?;
                Some(self.graph.node("Gather", &[&table, types], vec![]))
            }
            None => None,
        };
        let mut sum = self.graph.node("Add", &[&words, &positions], vec![]);
        if let Some(types) = types {
            sum = self.graph.node("Add", &[&sum, &types], vec![]);
        }
        self.layer_norm(0, Part::EmbeddingNorm, &sum)
    }

    /// Position embeddings `[batch, sequence, hidden]`.
    ///
    /// Counted, not sliced: a slice's length is only known at run time, and ONNX Runtime fuses what has
    /// the same shape for sure.
    fn positions(&mut self, tokens: &Tokens) -> Result<Value> {
        let table = self.shared_weight(Part::PositionEmbeddings)?;
        let graph = &mut self.graph;
        let axis = graph.integer(1);
        let ids = match self.config.positions() {
            Positions::FromZero => {
                let ones = graph.node("Equal", &[&tokens.ids, &tokens.ids], vec![]);
                let ones = graph.cast(&ones, DataType::Int64);
                graph.node("CumSum", &[&ones, &axis], vec![int("exclusive", 1)])
            }
            Positions::Counted { padding } => {
                let pad = graph.integer(i64::from(padding));
                let is_pad = graph.node("Equal", &[&tokens.ids, &pad], vec![]);
                let is_token = graph.node("Not", &[&is_pad], vec![]);
                let is_token = graph.cast(&is_token, DataType::Int64);
                let count = graph.node("CumSum", &[&is_token, &axis], vec![]);
                let count = graph.node("Mul", &[&count, &is_token], vec![]);
                graph.node("Add", &[&count, &pad], vec![])
            }
        };
        Ok(graph.node("Gather", &[&table, &ids], vec![]))
    }

    /// `[batch, 1, 1, sequence]`: 0 where a key is attended to, −∞ (as a large number) where not.
    fn key_bias(&mut self, mask: &Value) -> Value {
        let graph = &mut self.graph;
        graph.scope("attention_mask");
        let (one, two) = (graph.integers(&[1]), graph.integers(&[2]));
        let mask = graph.node("Unsqueeze", &[mask, &one], vec![]);
        let mask = graph.node("Unsqueeze", &[&mask, &two], vec![]);
        let mask = graph.cast(&mask, self.float);
        let one = graph.scalar(1.0, self.float);
        let masked = if self.float == DataType::Float16 { MASKED_F16 } else { MASKED };
        let masked = graph.scalar(masked, self.float);
        let ignored = graph.node("Sub", &[&one, &mask], vec![]);
        graph.node("Mul", &[&ignored, &masked], vec![])
    }

    /// One post-LN transformer layer, `[batch, sequence, hidden]` to the same.
    fn layer(&mut self, layer: usize, hidden_states: &Value, score_bias: &Value) -> Result<Value> {
        let group = 1 + layer;
        let context = self.attention(group, hidden_states, score_bias)?;
        let output = self.linear(group, Part::AttentionOutput, &context)?;
        let output = self.graph.node("Add", &[&output, hidden_states], vec![]);
        let attended = self.layer_norm(group, Part::AttentionNorm, &output)?;

        let intermediate = self.linear(group, Part::Intermediate, &attended)?;
        let intermediate = self.activation(&intermediate);
        let output = self.linear(group, Part::Output, &intermediate)?;
        let output = self.graph.node("Add", &[&output, &attended], vec![]);
        self.layer_norm(group, Part::OutputNorm, &output)
    }

    /// Multi-head self-attention before the output projection.
    fn attention(&mut self, group: usize, hidden_states: &Value, score_bias: &Value) -> Result<Value> {
        let (heads, head_size) = (self.config.num_attention_heads, self.config.head_size());
        let mut by_heads = |part, order: [i64; 4]| -> Result<Value> {
            let projected = self.linear(group, part, hidden_states)?;
            let shape = self.graph.integers(&[0, 0, heads as i64, head_size as i64]);
            let projected = self.graph.node("Reshape", &[&projected, &shape], vec![]);
            Ok(self.graph.node("Transpose", &[&projected], vec![ints("perm", &order)]))
        };
        let query = by_heads(Part::Query, [0, 2, 1, 3])?;
        let key = by_heads(Part::Key, [0, 2, 3, 1])?;
        let value = by_heads(Part::Value, [0, 2, 1, 3])?;
        let query_module = self.module(group, Part::Query)?;
        self.graph.scope(query_module.rsplit_once('.').map_or(query_module, |(attention, _)| attention));
        let scores = self.scaled_product(&query, &key, (head_size as f32).sqrt());
        let graph = &mut self.graph;
        let scores = graph.node("Add", &[&scores, score_bias], vec![]);
        let probs = graph.node("Softmax", &[&scores], vec![int("axis", -1)]);
        let context = graph.node("MatMul", &[&probs, &value], vec![]);
        let context = graph.node("Transpose", &[&context], vec![ints("perm", &[0, 2, 1, 3])]);
        let shape = graph.integers(&[0, 0, (heads * head_size) as i64]);
        Ok(graph.node("Reshape", &[&context, &shape], vec![]))
    }

    /// `query · key / scale`. In f16 the sums could overflow, so the query is divided before.
    fn scaled_product(&mut self, query: &Value, key: &Value, scale: f32) -> Value {
        let scale = self.graph.scalar(scale, self.float);
        if self.float == DataType::Float16 {
            let query = self.graph.node("Div", &[query, &scale], vec![]);
            return self.graph.node("MatMul", &[&query, key], vec![]);
        }
        let product = self.graph.node("MatMul", &[query, key], vec![]);
        self.graph.node("Div", &[&product, &scale], vec![])
    }

    fn linear(&mut self, group: usize, part: Part, x: &Value) -> Result<Value> {
        self.graph.scope(self.module(group, part)?);
        let (name, weight) = self.parameters.part(group, part, Kind::Weight)?;
        let product = match self.precision {
            Precision::Int8 => self.quantized_product(name, &weight, x)?,
            Precision::F32 | Precision::F16 => {
                let weight = Initializer::weight(name.to_owned(), weight.t()?, self.float);
                let weight = self.graph.initializer(weight);
                self.graph.node("MatMul", &[x, &weight], vec![])
            }
        };
        let bias = self.weight(group, part, Kind::Bias)?;
        Ok(self.graph.node("Add", &[&product, &bias], vec![]))
    }

    /// `x · weightᵀ` in integers: `x` in eight bits by its own range in this batch, the weight by columns.
    fn quantized_product(&mut self, name: &str, weight: &Tensor, x: &Value) -> Result<Value> {
        let [quantized, scale, zero_point] = self.quantize(x);
        let graph = &mut self.graph;
        let (weight, scales) = Initializer::quantized(format!("{name}_quantized"), weight)?;
        let weight = graph.initializer(weight);
        let dims = vec![scales.len()];
        let scales = Initializer::float(format!("{name}_scale"), dims, &scales, DataType::Float);
        let scales = graph.initializer(scales);
        let product = graph.node("MatMulInteger", &[&quantized, &weight, &zero_point], vec![]);
        let product = graph.cast(&product, DataType::Float);
        let scales = graph.node("Mul", &[&scale, &scales], vec![]);
        Ok(graph.node("Mul", &[&product, &scales], vec![]))
    }

    /// Eight bits, their scale and their zero point.
    fn quantize(&mut self, x: &Value) -> [Value; 3] {
        match &self.quantized {
            Some((last, quantized)) if last == x => quantized.clone(),
            _ => {
                let values = self.graph.node_of_many("DynamicQuantizeLinear", &[x], vec![], 3);
                let quantized = [values[0].clone(), values[1].clone(), values[2].clone()];
                self.quantized = Some((x.clone(), quantized.clone()));
                quantized
            }
        }
    }

    /// Over the last dimension, its sums in f32.
    fn layer_norm(&mut self, group: usize, part: Part, x: &Value) -> Result<Value> {
        self.graph.scope(self.module(group, part)?);
        let epsilon = self.config.layer_norm_eps as f32;
        let weight = self.weight(group, part, Kind::Weight)?;
        let bias = self.weight(group, part, Kind::Bias)?;
        if self.graph.opset >= 17 {
            let attributes = vec![int("axis", -1), float("epsilon", epsilon), int("stash_type", 1)];
            return Ok(self.graph.node("LayerNormalization", &[x, &weight, &bias], attributes));
        }
        let graph = &mut self.graph;
        let half = self.float == DataType::Float16;
        let x = if half { graph.cast(x, DataType::Float) } else { x.clone() };
        let mean = graph.reduce("ReduceMean", &x, -1);
        let centered = graph.node("Sub", &[&x, &mean], vec![]);
        let two = graph.scalar(2.0, DataType::Float);
        let squares = graph.node("Pow", &[&centered, &two], vec![]);
        let variance = graph.reduce("ReduceMean", &squares, -1);
        let epsilon = graph.scalar(epsilon, DataType::Float);
        let variance = graph.node("Add", &[&variance, &epsilon], vec![]);
        let deviation = graph.node("Sqrt", &[&variance], vec![]);
        let mut normed = graph.node("Div", &[&centered, &deviation], vec![]);
        if half {
            normed = graph.cast(&normed, DataType::Float16);
        }
        let scaled = graph.node("Mul", &[&normed, &weight], vec![]);
        Ok(graph.node("Add", &[&scaled, &bias], vec![]))
    }

    fn activation(&mut self, x: &Value) -> Value {
        let float = self.float;
        let graph = &mut self.graph;
        match self.config.activation {
            Activation::Gelu => {
                let (root, one) = (graph.scalar(std::f32::consts::SQRT_2, float), graph.scalar(1.0, float));
                let half = graph.scalar(0.5, float);
                let scaled = graph.node("Div", &[x, &root], vec![]);
                let erf = graph.node("Erf", &[&scaled], vec![]);
                let sum = graph.node("Add", &[&erf, &one], vec![]);
                let product = graph.node("Mul", &[x, &sum], vec![]);
                graph.node("Mul", &[&product, &half], vec![])
            }
            Activation::GeluTanh => {
                let cubic = graph.scalar(0.044_715, float);
                let scale = graph.scalar((2.0 / std::f32::consts::PI).sqrt(), float);
                let (one, half) = (graph.scalar(1.0, float), graph.scalar(0.5, float));
                let square = graph.node("Mul", &[x, x], vec![]);
                let square = graph.node("Mul", &[&square, &cubic], vec![]);
                let factor = graph.node("Add", &[&square, &one], vec![]);
                let inner = graph.node("Mul", &[x, &scale], vec![]);
                let inner = graph.node("Mul", &[&inner, &factor], vec![]);
                let tanh = graph.node("Tanh", &[&inner], vec![]);
                let sum = graph.node("Add", &[&tanh, &one], vec![]);
                let product = graph.node("Mul", &[x, &sum], vec![]);
                graph.node("Mul", &[&product, &half], vec![])
            }
            Activation::QuickGelu => {
                let slope = graph.scalar(QUICK_SLOPE, float);
                let inner = graph.node("Mul", &[x, &slope], vec![]);
                let sigmoid = graph.node("Sigmoid", &[&inner], vec![]);
                graph.node("Mul", &[x, &sigmoid], vec![])
            }
            Activation::Relu => graph.node("Relu", &[x], vec![]),
            Activation::Silu => {
                let sigmoid = graph.node("Sigmoid", &[x], vec![]);
                graph.node("Mul", &[x, &sigmoid], vec![])
            }
        }
    }

    /// Hidden states in f32.
    pub fn in_f32(&mut self, x: &Value) -> Value {
        match self.float {
            DataType::Float => x.clone(),
            _ => self.graph.cast(x, DataType::Float),
        }
    }

    /// A tensor of the model as it is, in the type of hidden states.
    fn weight(&mut self, group: usize, part: Part, kind: Kind) -> Result<Value> {
        let (name, tensor) = self.parameters.part(group, part, kind)?;
        Ok(self.graph.initializer(Initializer::weight(name.to_owned(), tensor, self.float)))
    }

    /// A table that belongs to no layer.
    pub(super) fn shared_weight(&mut self, part: Part) -> Result<Value> {
        self.weight(0, part, Kind::Weight)
    }

    /// The name of a part's module.
    fn module(&self, group: usize, part: Part) -> Result<&'a str> {
        let spec = self.parameters.layout().part(group, part, Kind::Weight);
        match spec.map(TensorSpec::module) {
            Some(module) => Ok(module),
            None => candle_core::bail!("the encoder has no {part:?} in group {group}"),
        }
    }
}
