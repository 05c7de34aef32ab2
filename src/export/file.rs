//! From a graph to bytes: protobuf written piece by piece, so that no copy of the weights is made, and
//! weights in a file of their own where protobuf's limit of 2 GB asks for it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::graph::GraphBuilder;
use super::weights::Initializer;
use crate::onnx_file::data_file;
use crate::onnx_file::proto::{
    self, EXTERNAL, Entry, GRAPH_INITIALIZER, MODEL_GRAPH, Model, OperatorSet, TENSOR_RAW_DATA,
};

/// Beyond this many bytes of values, weights go to a file beside the graph: protobuf ends at 2 GB.
pub const LARGEST_FILE: usize = 2_000_000_000;

/// Smaller constants stay in the graph, where shape inference sees them.
const LEAST_EXTERNAL: usize = 1024;

/// Readers map the file into memory, by pages.
const ALIGNMENT: u64 = 4096;

/// Writes a graph, its weights beside it where they are more than `largest` bytes. Returns whether they
/// are.
///
/// # Errors
/// A file cannot be written.
pub fn write(graph: GraphBuilder, path: &Path, largest: usize) -> io::Result<bool> {
    let bytes: usize = graph.initializers.iter().map(Initializer::bytes).sum();
    let external = bytes > largest;
    let tensors = match external {
        true => write_external(&graph.initializers, &data_file(path))?,
        false => graph.initializers.iter().map(header).collect(),
    };
    let mut to = BufWriter::new(File::create(path)?);
    write_model(graph, &tensors, &mut to)?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(external)
}

/// An initialiser without its values.
fn header(initializer: &Initializer) -> proto::Tensor {
    proto::Tensor {
        dims: initializer.dims.iter().map(|&size| size as i64).collect(),
        data_type: Some(initializer.data_type as i32),
        name: Some(initializer.name.clone()),
        ..proto::Tensor::default()
    }
}

/// Writes the values of all but the smallest initialisers to a file, and says in their headers where.
fn write_external(initializers: &[Initializer], path: &Path) -> io::Result<Vec<proto::Tensor>> {
    let location = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut to = BufWriter::new(File::create(path)?);
    let mut tensors = Vec::with_capacity(initializers.len());
    for initializer in initializers {
        let mut tensor = header(initializer);
        if initializer.bytes() >= LEAST_EXTERNAL {
            let offset = to.stream_position()?.next_multiple_of(ALIGNMENT);
            let gap = offset - to.stream_position()?;
            to.write_all(&vec![0; gap as usize])?;
            initializer.write(&mut to)?;
            let entry = |key: &str, value: String| Entry { key: Some(key.into()), value: Some(value) };
            tensor.external_data = vec![
                entry("location", location.clone()),
                entry("offset", offset.to_string()),
                entry("length", initializer.bytes().to_string()),
            ];
            tensor.data_location = Some(EXTERNAL);
        }
        tensors.push(tensor);
    }
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(tensors)
}

/// Bytes of a field that is a message or bytes of `len` bytes, with its key and length.
fn field_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

fn write_field_start(tag: u32, len: usize, to: &mut impl Write) -> io::Result<()> {
    let mut start = Vec::with_capacity(16);
    encode_key(tag, WireType::LengthDelimited, &mut start);
    encode_varint(len as u64, &mut start);
    to.write_all(&start)
}

/// Bytes of a tensor, its values included where they are not elsewhere.
fn tensor_len(tensor: &proto::Tensor, initializer: &Initializer) -> usize {
    let values = match tensor.data_location {
        None => field_len(TENSOR_RAW_DATA, initializer.bytes()),
        Some(_) => 0,
    };
    tensor.encoded_len() + values
}

fn write_model(graph: GraphBuilder, tensors: &[proto::Tensor], to: &mut impl Write) -> io::Result<()> {
    let entry = |key: &str, value: &str| Entry { key: Some(key.into()), value: Some(value.into()) };
    let model = Model {
        ir_version: Some(ir_version(graph.opset)),
        producer_name: Some("mirror".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: None,
        opset_import: vec![OperatorSet {
            domain: Some(String::new()),
            version: Some(i64::from(graph.opset)),
        }],
        metadata_props: graph.metadata.iter().map(|(key, value)| entry(key, value)).collect(),
    };
    let initializers = graph.initializers;
    let graph = proto::Graph {
        node: graph.nodes,
        name: Some("sentence_encoder".into()),
        initializer: vec![],
        input: graph.inputs,
        output: graph.outputs,
    };
    let values: usize = tensors
        .iter()
        .zip(&initializers)
        .map(|(tensor, initializer)| field_len(GRAPH_INITIALIZER, tensor_len(tensor, initializer)))
        .sum();
    to.write_all(&model.encode_to_vec())?;
    write_field_start(MODEL_GRAPH, graph.encoded_len() + values, to)?;
    to.write_all(&graph.encode_to_vec())?;
    for (tensor, initializer) in tensors.iter().zip(&initializers) {
        write_field_start(GRAPH_INITIALIZER, tensor_len(tensor, initializer), to)?;
        to.write_all(&tensor.encode_to_vec())?;
        if tensor.data_location.is_none() {
            write_field_start(TENSOR_RAW_DATA, initializer.bytes(), to)?;
            initializer.write(to)?;
        }
    }
    Ok(())
}

/// The version of the file format that came with an opset, so that a reader that knows the one knows the
/// other.
fn ir_version(opset: u32) -> i64 {
    match opset {
        0..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        _ => 11,
    }
}
