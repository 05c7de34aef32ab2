//! What comes after pooling, in a graph: in f32 whatever the precision, since it is little work.

use candle_core::Tensor;

use super::graph::{GraphBuilder, Value, float, int, normalized};
use super::weights::Initializer;
use crate::modules::{Dense, DenseActivation, LAYER_NORM_EPSILON, Module, Modules, Residual};
use crate::onnx_file::proto::DataType;

/// Embeddings `[batch, hidden]` through all modules, `[batch, width]`.
pub fn add(graph: &mut GraphBuilder, modules: &Modules, embeddings: Value) -> Value {
    modules.steps().iter().zip(2..).fold(embeddings, |x, (step, number)| match step {
        Module::Dense(module) => {
            let scope = format!("{number}_Dense");
            graph.scope(&scope);
            dense(graph, &scope, module, &x)
        }
        Module::LayerNorm { weight, bias } => {
            let scope = format!("{number}_LayerNorm");
            graph.scope(&scope);
            let weight = constant(graph, &scope, "norm.weight", weight);
            let bias = constant(graph, &scope, "norm.bias", bias);
            layer_norm(graph, &x, [weight, bias])
        }
        Module::Normalize => {
            graph.scope(format!("{number}_Normalize"));
            normalized(graph, &x)
        }
        Module::Truncate(most) => {
            graph.scope("truncate");
            let (zero, one, end) =
                (graph.integers(&[0]), graph.integers(&[1]), graph.integers(&[*most as i64]));
            graph.node("Slice", &[&x, &zero, &end, &one], vec![])
        }
    })
}

fn constant(graph: &mut GraphBuilder, scope: &str, name: &str, tensor: &Tensor) -> Value {
    graph.initializer(Initializer::weight(format!("{scope}.{name}"), tensor.clone(), DataType::Float))
}

fn dense(graph: &mut GraphBuilder, scope: &str, module: &Dense, x: &Value) -> Value {
    let product = |graph: &mut GraphBuilder, name: &str, weight: &Tensor| {
        let weight = constant(graph, scope, name, weight);
        let weight = graph.node("Transpose", &[&weight], vec![]);
        graph.node("MatMul", &[x, &weight], vec![])
    };
    let mut out = product(graph, "linear.weight", &module.weight);
    if let Some(bias) = &module.bias {
        let bias = constant(graph, scope, "linear.bias", bias);
        out = graph.node("Add", &[&out, &bias], vec![]);
    }
    let out = activation(graph, module.activation, out);
    match &module.residual {
        Residual::None => out,
        Residual::Input => graph.node("Add", &[&out, x], vec![]),
        Residual::Projected(weight) => {
            let projected = product(graph, "residual.weight", weight);
            graph.node("Add", &[&out, &projected], vec![])
        }
    }
}

fn activation(graph: &mut GraphBuilder, activation: DenseActivation, x: Value) -> Value {
    match activation {
        DenseActivation::Identity => x,
        DenseActivation::Tanh => graph.node("Tanh", &[&x], vec![]),
        DenseActivation::Relu => graph.node("Relu", &[&x], vec![]),
        DenseActivation::Sigmoid => graph.node("Sigmoid", &[&x], vec![]),
        DenseActivation::Silu => {
            let sigmoid = graph.node("Sigmoid", &[&x], vec![]);
            graph.node("Mul", &[&x, &sigmoid], vec![])
        }
        DenseActivation::Gelu => {
            let (root, one, half) = (
                graph.scalar(std::f32::consts::SQRT_2, DataType::Float),
                graph.scalar(1.0, DataType::Float),
                graph.scalar(0.5, DataType::Float),
            );
            let scaled = graph.node("Div", &[&x, &root], vec![]);
            let erf = graph.node("Erf", &[&scaled], vec![]);
            let sum = graph.node("Add", &[&erf, &one], vec![]);
            let product = graph.node("Mul", &[&x, &sum], vec![]);
            graph.node("Mul", &[&product, &half], vec![])
        }
    }
}

fn layer_norm(graph: &mut GraphBuilder, x: &Value, [weight, bias]: [Value; 2]) -> Value {
    let epsilon = LAYER_NORM_EPSILON as f32;
    if graph.opset >= 17 {
        let attributes = vec![int("axis", -1), float("epsilon", epsilon), int("stash_type", 1)];
        return graph.node("LayerNormalization", &[x, &weight, &bias], attributes);
    }
    let mean = graph.reduce("ReduceMean", x, -1);
    let centered = graph.node("Sub", &[x, &mean], vec![]);
    let squares = graph.node("Mul", &[&centered, &centered], vec![]);
    let variance = graph.reduce("ReduceMean", &squares, -1);
    let epsilon = graph.scalar(epsilon, DataType::Float);
    let variance = graph.node("Add", &[&variance, &epsilon], vec![]);
    let deviation = graph.node("Sqrt", &[&variance], vec![]);
    let normed = graph.node("Div", &[&centered, &deviation], vec![]);
    let scaled = graph.node("Mul", &[&normed, &weight], vec![]);
    graph.node("Add", &[&scaled, &bias], vec![])
}
