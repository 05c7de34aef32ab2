//! Builds a graph: nodes in the order in which they compute, constants beside them.

use super::weights::Initializer;
use crate::onnx_file::proto::{
    Attribute, DataType, Dimension, FLOAT, INT, INTS, Node, Shape, TensorType, Type, ValueInfo,
};

/// A value in the graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(String);

/// A graph under construction.
pub struct GraphBuilder {
    /// The version of the operators that nodes are written for.
    pub opset: u32,
    /// In an order in which they can be computed.
    pub nodes: Vec<Node>,
    /// Constants: weights, shapes, scalars.
    pub initializers: Vec<Initializer>,
    /// In the order in which they were added.
    pub inputs: Vec<ValueInfo>,
    /// In the order in which they were added.
    pub outputs: Vec<ValueInfo>,
    /// Said of the model in its file.
    pub metadata: Vec<(&'static str, String)>,
    /// What names of nodes begin with: the part of the model that is being built.
    scope: String,
}

impl GraphBuilder {
    /// A graph without nodes.
    pub fn new(opset: u32) -> Self {
        GraphBuilder {
            opset,
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            metadata: Vec::new(),
            scope: String::new(),
        }
    }

    /// Nodes that follow belong to this part of the model.
    pub fn scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// A node with one output, which the rest of the graph can use.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        self.node_of_many(op, inputs, attributes, 1).remove(0)
    }

    /// Adds a node with several outputs, and returns their names.
    pub fn node_of_many(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
        outputs: usize,
    ) -> Vec<Value> {
        // The number makes it unique, the rest tells a reader where he is.
        let name = format!("/{}/{op}_{}", self.scope, self.nodes.len());
        let outputs: Vec<Value> = (0..outputs).map(|i| Value(format!("{name}_output_{i}"))).collect();
        self.nodes.push(Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: outputs.iter().map(|value| value.0.clone()).collect(),
            name: Some(name),
            op_type: Some(op.to_owned()),
            attribute: attributes,
        });
        outputs
    }

    /// Adds a constant, and returns its name.
    pub fn initializer(&mut self, initializer: Initializer) -> Value {
        let value = Value(initializer.name.clone());
        self.initializers.push(initializer);
        value
    }

    /// A one-dimensional constant of integers: shapes, axes.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let name = self.constant_name();
        self.initializer(Initializer::int64(name, vec![values.len()], values))
    }

    /// A constant of int64, shape `[1]`.
    pub fn integer(&mut self, value: i64) -> Value {
        let name = self.constant_name();
        self.initializer(Initializer::int64(name, vec![], &[value]))
    }

    /// A constant without dimensions, rounded to `data_type`.
    pub fn scalar(&mut self, value: f32, data_type: DataType) -> Value {
        let name = self.constant_name();
        self.initializer(Initializer::float(name, vec![], &[value], data_type))
    }

    fn constant_name(&self) -> String {
        format!("/{}/Constant_{}", self.scope, self.initializers.len())
    }

    /// Adds an input of int64.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> Value {
        self.inputs.push(value_info(name, DataType::Int64, dims));
        Value(name.to_owned())
    }

    /// Gives a value the name of one of the graph's outputs.
    pub fn output(&mut self, name: &str, value: &Value, dims: &[Dim]) {
        self.outputs.push(value_info(name, DataType::Float, dims));
        self.nodes.push(Node {
            input: vec![value.0.clone()],
            output: vec![name.to_owned()],
            name: Some(format!("/{name}")),
            op_type: Some("Identity".into()),
            attribute: vec![],
        });
    }

    /// A reduction over one axis, which stays with size 1. Operators took axes as an attribute before
    /// opset 18 (ReduceSum 13), and take them as an input since.
    pub fn reduce(&mut self, op: &str, x: &Value, axis: i64) -> Value {
        let as_input = self.opset >= if op == "ReduceSum" { 13 } else { 18 };
        if as_input {
            let axes = self.integers(&[axis]);
            self.node(op, &[x, &axes], vec![int("keepdims", 1)])
        } else {
            self.node(op, &[x], vec![ints("axes", &[axis]), int("keepdims", 1)])
        }
    }

    /// Adds a node that converts `x`.
    pub fn cast(&mut self, x: &Value, to: DataType) -> Value {
        self.node("Cast", &[x], vec![int("to", to as i64)])
    }
}

/// A dimension: known, or named and left to the caller.
#[derive(Clone, Copy)]
pub enum Dim {
    /// Known when the graph runs.
    Named(&'static str),
    /// Fixed in the graph.
    Known(usize),
}

fn value_info(name: &str, data_type: DataType, dims: &[Dim]) -> ValueInfo {
    let dim = dims
        .iter()
        .map(|dim| match *dim {
            Dim::Named(name) => Dimension { dim_value: None, dim_param: Some(name.to_owned()) },
            Dim::Known(size) => Dimension { dim_value: Some(size as i64), dim_param: None },
        })
        .collect();
    let tensor_type = TensorType { elem_type: Some(data_type as i32), shape: Some(Shape { dim }) };
    ValueInfo { name: Some(name.to_owned()), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

/// An integer attribute of a node.
pub fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: Some(name.into()), i: Some(value), r#type: Some(INT), ..Attribute::default() }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: Some(name.into()), ints: values.to_vec(), r#type: Some(INTS), ..Attribute::default() }
}

/// A real attribute of a node.
pub fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: Some(name.into()), f: Some(value), r#type: Some(FLOAT), ..Attribute::default() }
}

/// Scaled to length 1.
pub(super) fn normalized(graph: &mut GraphBuilder, x: &Value) -> Value {
    let norm = graph.reduce("ReduceL2", x, 1);
    let least = graph.scalar(1e-12, DataType::Float);
    let norm = graph.node("Max", &[&norm, &least], vec![]);
    graph.node("Div", &[x, &norm], vec![])
}
