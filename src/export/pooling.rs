//! From the layers' hidden states to the graph's two outputs.

use super::encoder::{EncoderGraph, HiddenStates, Tokens};
use super::graph::{Dim, GraphBuilder, Value, int, normalized};
use crate::encoder::Pooling;
use crate::modules::Modules;
use crate::onnx_file::proto::DataType;
use crate::onnx_file::{LAST_HIDDEN_STATE, SENTENCE_EMBEDDING};

/// Tokens padded to `max_length`, however few the caller gives: what mean-padded pooling averages over.
pub fn pad(graph: &mut GraphBuilder, tokens: &Tokens, max_length: usize, pad_token_id: u32) -> Tokens {
    graph.scope("padding");
    let length = length(graph, &tokens.ids);
    let (most, zero) = (graph.integers(&[max_length as i64]), graph.integers(&[0]));
    let missing = graph.node("Sub", &[&most, &length], vec![]);
    let missing = graph.node("Max", &[&missing, &zero], vec![]);
    let before = graph.integers(&[0, 0, 0]);
    let pads = graph.node("Concat", &[&before, &missing], vec![int("axis", 0)]);
    let (pad, nothing) = (graph.integer(i64::from(pad_token_id)), graph.integer(0));
    let mut padded = |x: &Value, with: &Value| graph.node("Pad", &[x, &pads, with], vec![]);
    Tokens {
        ids: padded(&tokens.ids, &pad),
        mask: padded(&tokens.mask, &nothing),
        types: tokens.types.as_ref().map(|types| padded(types, &nothing)),
    }
}

/// The sequence's length, `[1]`.
fn length(graph: &mut GraphBuilder, ids: &Value) -> Value {
    let shape = graph.node("Shape", &[ids], vec![]);
    let (zero, one, two) = (graph.integers(&[0]), graph.integers(&[1]), graph.integers(&[2]));
    graph.node("Slice", &[&shape, &one, &two, &zero], vec![])
}

/// Adds both outputs. `given` are the graph's inputs, `tokens` what went through the layers.
pub fn outputs(
    mut encoder: EncoderGraph,
    given: &Tokens,
    tokens: &Tokens,
    states: HiddenStates,
    pooling: Pooling,
    modules: &Modules,
    normalize: bool,
) -> GraphBuilder {
    let hidden = encoder.config.dimensions.hidden_size;
    let width = modules.width(hidden);
    encoder.graph.scope("pooling");
    let last = encoder.in_f32(&states.last);
    let first = match pooling {
        Pooling::FirstLastAvg => encoder.in_f32(&states.first),
        _ => last.clone(),
    };
    let mut graph = encoder.graph;
    let mut embedding = match pooling {
        Pooling::Mean => mean(&mut graph, &last, &tokens.mask),
        Pooling::MeanPadded => mean_of_all(&mut graph, &last),
        Pooling::Cls => {
            let first = graph.integer(0);
            graph.node("Gather", &[&last, &first], vec![int("axis", 1)])
        }
        Pooling::FirstLastAvg => {
            let half = graph.scalar(0.5, DataType::Float);
            let sum = graph.node("Add", &[&first, &last], vec![]);
            let average = graph.node("Mul", &[&sum, &half], vec![]);
            mean(&mut graph, &average, &tokens.mask)
        }
    };
    embedding = super::modules::add(&mut graph, modules, embedding);
    graph.scope("normalize");
    if normalize {
        embedding = normalized(&mut graph, &embedding);
    }
    let last = match pooling {
        Pooling::MeanPadded => without_padding(&mut graph, &last, &given.ids),
        _ => last,
    };
    let batch = Dim::Named("batch_size");
    let dims = [batch, Dim::Named("sequence_length"), Dim::Known(hidden)];
    graph.output(LAST_HIDDEN_STATE, &last, &dims);
    graph.output(SENTENCE_EMBEDDING, &embedding, &[batch, Dim::Known(width)]);
    graph
}

/// Mean over the tokens that are attended to, `[batch, hidden]`.
fn mean(graph: &mut GraphBuilder, x: &Value, mask: &Value) -> Value {
    let axis = graph.integers(&[2]);
    let mask = graph.cast(mask, DataType::Float);
    let mask = graph.node("Unsqueeze", &[&mask, &axis], vec![]);
    let masked = graph.node("Mul", &[x, &mask], vec![]);
    let sum = graph.reduce("ReduceSum", &masked, 1);
    let count = graph.reduce("ReduceSum", &mask, 1);
    let least = graph.scalar(1e-9, DataType::Float);
    let count = graph.node("Max", &[&count, &least], vec![]);
    let mean = graph.node("Div", &[&sum, &count], vec![]);
    without_axis(graph, &mean)
}

fn mean_of_all(graph: &mut GraphBuilder, x: &Value) -> Value {
    let mean = graph.reduce("ReduceMean", x, 1);
    without_axis(graph, &mean)
}

/// `[batch, 1, hidden]` to `[batch, hidden]`.
fn without_axis(graph: &mut GraphBuilder, x: &Value) -> Value {
    let axis = graph.integers(&[1]);
    graph.node("Squeeze", &[x, &axis], vec![])
}

/// The rows of the tokens that the caller gave.
fn without_padding(graph: &mut GraphBuilder, x: &Value, ids: &Value) -> Value {
    let length = length(graph, ids);
    let (zero, one) = (graph.integers(&[0]), graph.integers(&[1]));
    graph.node("Slice", &[x, &zero, &length, &one], vec![])
}
