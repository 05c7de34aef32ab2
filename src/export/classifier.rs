//! A model with a head as an ONNX graph: `logits`, f32 `[batch, outputs]`, of the graph's usual inputs.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result};

use super::encoder::EncoderGraph;
use super::folder::{ExportError, limit_length, mark_external};
use super::graph::{Dim, GraphBuilder, int};
use super::{Precision, file, modules};
use crate::classifier::Classifier;
use crate::model::Kind;
use crate::model_folder::head::Outputs;
use crate::modules::{Dense, Module, Modules, Residual};
use crate::onnx::session::Padded;
use crate::onnx::{Graph, OnnxError, Runtime};
use crate::onnx_file::header::WEIGHTS_SHA256;
use crate::onnx_file::{LOGITS, data_file};
use crate::output::OutputError;

/// The graph of a classifier. `opset` is one of [`OPSETS`](super::OPSETS).
///
/// # Errors
/// Weights that are not the model's.
pub fn build(model: &Classifier, precision: Precision, opset: u32) -> Result<GraphBuilder> {
    let config = &model.encoder.config;
    let mut graph = GraphBuilder::new(opset);
    graph.metadata = vec![
        ("max_length", model.max_length.to_string()),
        ("precision", precision.to_string()),
        (WEIGHTS_SHA256, model.parameters.sha256()?),
    ];
    let mut encoder = EncoderGraph::new(graph, config, &model.parameters, precision);
    let tokens = encoder.inputs();
    let states = encoder.hidden_states(&tokens)?;
    encoder.graph.scope("head");
    let last = encoder.in_f32(&states.last);
    let mut graph = encoder.graph;
    let first = graph.integer(0);
    let first = graph.node("Gather", &[&last, &first], vec![int("axis", 1)]);
    let logits = modules::add(&mut graph, &layers(model)?, first);
    graph.output(LOGITS, &logits, &[Dim::Named("batch_size"), Dim::Known(model.head.outputs())]);
    Ok(graph)
}

/// The head's layers, which without dropout are those of Dense modules.
fn layers(model: &Classifier) -> Result<Modules> {
    let group = model.encoder.config.dimensions.groups();
    let dense = |layer: &crate::model::HeadLayer| {
        let values = |kind| {
            let (_, tensor) = model.parameters.part(group, layer.part, kind)?;
            tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)
        };
        Ok(Module::Dense(Dense {
            weight: values(Kind::Weight)?,
            bias: Some(values(Kind::Bias)?),
            activation: layer.activation,
            residual: Residual::None,
        }))
    };
    Ok(Modules::new(model.head.layers.iter().map(dense).collect::<Result<_>>()?))
}

/// Writes the graphs and all files beside them into an empty folder. Returns the graphs' files.
///
/// # Errors
/// A file of the source cannot be read again, or one cannot be written.
pub fn write_folder(
    model: &Classifier,
    precisions: &[Precision],
    opset: u32,
    folder: &Path,
) -> std::result::Result<Vec<PathBuf>, ExportError> {
    let graphs = folder.join("onnx");
    fs::create_dir(&graphs).map_err(|source| OutputError::Write { path: graphs.clone(), source })?;
    let mut files = Vec::new();
    for &precision in precisions {
        let path = folder.join(precision.file());
        let external = file::write(build(model, precision, opset)?, &path, file::LARGEST_FILE)
            .map_err(|source| OutputError::Write { path: path.clone(), source })?;
        files.extend(external.then(|| data_file(&path)));
        files.push(path);
    }
    let pad_token_id = model.encoder.config.pad_token_id;
    model.contents().write_small_files(folder, |config| mark_external(config, pad_token_id, &files))?;
    limit_length(model.max_length, folder)?;
    Ok(files)
}

/// The largest difference of a logit of the folder's graph from the model's, as a share of the largest logit where that
/// is above 1: over pairs and texts of all kinds, one by one and in one batch.
///
/// # Errors
/// A graph that cannot be run.
pub fn distance(
    model: &Classifier,
    runtime: &Runtime,
    graph: &Path,
    threads: usize,
) -> std::result::Result<f64, ExportError> {
    let graph = Graph::load_with(runtime, graph, threads, LOGITS)?;
    let sentences = super::sentences::SENTENCES;
    let others = sentences.iter().rev();
    let pairs = sentences.iter().zip(others).map(|(&first, &second)| (first, Some(second)));
    let texts: Vec<_> = pairs.chain(sentences.iter().map(|&sentence| (sentence, None))).collect();
    let expected = model.logits(&texts)?;
    let tokens = model.tokenizer.encode_pairs(&texts, model.max_length)?;
    let typed = model.encoder.config.architecture.description().types_pairs;
    let mut largest = 0f64;
    for size in [1, texts.len()] {
        for (tokens, expected) in tokens.chunks(size).zip(expected.chunks(size)) {
            let found = graph.logits(&Padded::of(tokens, typed, model.encoder.config.pad_token_id))?;
            for (found, expected) in found.rows().into_iter().zip(expected) {
                let differences = found.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs());
                // A NaN is as far as can be; max would pass over it.
                largest =
                    differences.fold(largest, |most, d| if d.is_nan() { f64::INFINITY } else { most.max(d) });
            }
        }
    }
    let most = expected.iter().flatten().fold(1f64, |most, logit| most.max(logit.abs()));
    Ok(largest / most)
}

/// The largest [`distance`] that a graph may have from its model.
pub fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F16 | Precision::Int8 => 1e-2,
    }
}

/// The README.md of an exported folder.
pub fn card(model: &Classifier, precisions: &[Precision]) -> String {
    let inputs = match model.encoder.config.has_token_types() {
        true => "`input_ids`, `attention_mask` and `token_type_ids`",
        false => "`input_ids` and `attention_mask`",
    };
    let meaning = match &model.outputs {
        Outputs::Classes(classes) => {
            format!("one for each of {} classes, whose names config.json has", classes.len())
        }
        Outputs::Value => "one, the value itself".to_owned(),
    };
    let files: Vec<&str> = precisions.iter().map(|precision| precision.file()).collect();
    format!(
        "---\nlibrary_name: transformers.js\npipeline_tag: text-classification\ntags:\n- onnx\n---\n\n# A text classifier \
         as ONNX\n\nExported by `mirror {}`. Each graph ({}) takes {inputs} (int64, `[batch, sequence]`) of at most {} tokens \
         and gives `logits` (f32, `[batch, {}]`): {meaning}.\n",
        env!("CARGO_PKG_VERSION"),
        files.join(", "),
        model.max_length,
        model.head.outputs(),
    )
}

impl From<OnnxError> for ExportError {
    fn from(error: OnnxError) -> Self {
        ExportError::Onnx(Box::new(error))
    }
}
