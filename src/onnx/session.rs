//! A graph that ONNX Runtime has loaded: padded tokens in, embeddings out.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array, Array2, Array3, Dimension};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef};

use super::{OnnxError, Runtime, graph_error, one_line};
use crate::onnx_file::{INPUTS, LAST_HIDDEN_STATE, LOGITS, SENTENCE_EMBEDDING};
use crate::tokenize::Tokens;

/// The graph of a sentence encoder, or of a model with a head.
pub struct Graph {
    path: PathBuf,
    /// ONNX Runtime's sessions are not for several threads at once.
    session: Mutex<Session>,
    /// How many of [`INPUTS`] it takes.
    inputs: usize,
}

/// Padded tokens, `[batch, sequence]` each.
pub struct Padded {
    /// Shape [batch, tokens], padded with the padding token's id.
    pub input_ids: Array2<i64>,
    /// Shape [batch, tokens]: 1 for a token, 0 for padding.
    pub attention_mask: Array2<i64>,
    /// Shape [batch, tokens].
    pub token_type_ids: Array2<i64>,
}

impl Padded {
    /// Texts or pairs, as long as the longest; with the types of their tokens where the model is given them.
    pub fn of(tokens: &[Tokens], typed: bool, pad_token_id: u32) -> Self {
        let width = tokens.iter().map(|tokens| tokens.ids.len()).max().unwrap_or(0);
        let shape = (tokens.len(), width);
        let mut input_ids = Array2::from_elem(shape, i64::from(pad_token_id));
        let (mut attention_mask, mut token_type_ids) = (Array2::zeros(shape), Array2::zeros(shape));
        for (row, tokens) in tokens.iter().enumerate() {
            for (column, (&id, &of_token)) in tokens.ids.iter().zip(&tokens.types).enumerate() {
                input_ids[[row, column]] = i64::from(id);
                attention_mask[[row, column]] = 1;
                token_type_ids[[row, column]] = if typed { i64::from(of_token) } else { 0 };
            }
        }
        Padded { input_ids, attention_mask, token_type_ids }
    }
}

impl Graph {
    /// Loads a graph, to be computed on `threads` threads.
    ///
    /// # Errors
    /// The file is not a graph, or not that of a sentence encoder.
    pub fn load(runtime: &Runtime, path: &Path, threads: usize) -> Result<Self, OnnxError> {
        Self::load_with(runtime, path, threads, SENTENCE_EMBEDDING)
    }

    /// As [`Graph::load`], of a graph that has an output f32 `[batch, width]` of this name.
    ///
    /// # Errors
    /// The file is not a graph, or not one with that output.
    pub fn load_with(
        runtime: &Runtime,
        path: &Path,
        threads: usize,
        output: &'static str,
    ) -> Result<Self, OnnxError> {
        let wrong = |error: ort::Error| graph_error(path, &error);
        std::fs::File::open(path).map_err(|error| graph_error(path, &error))?;
        let session = Session::builder(&runtime.environment)
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
            // Lengths differ from batch to batch, so a plan of memory for one of them helps no other.
            .and_then(|builder| Ok(builder.with_memory_pattern(false)?))
            .and_then(|mut builder| builder.commit_from_file(path))
            .map_err(wrong)?;
        let inputs = inputs(path, session.inputs())?;
        check_outputs(path, session.outputs(), output)?;
        Ok(Graph { path: path.to_owned(), session: Mutex::new(session), inputs })
    }

    /// Sentence embeddings `[batch, width]`.
    pub fn embed(&self, tokens: &Padded) -> Result<Array2<f32>, OnnxError> {
        self.run(tokens, SENTENCE_EMBEDDING)
    }

    /// The last layer's output, `[batch, sequence, hidden]`.
    pub fn hidden_states(&self, tokens: &Padded) -> Result<Array3<f32>, OnnxError> {
        self.run(tokens, LAST_HIDDEN_STATE)
    }

    /// What a head gives, `[batch, outputs]`.
    pub fn logits(&self, tokens: &Padded) -> Result<Array2<f32>, OnnxError> {
        self.run(tokens, LOGITS)
    }

    /// One of the outputs.
    fn run<D: Dimension>(&self, tokens: &Padded, output: &str) -> Result<Array<f32, D>, OnnxError> {
        let failed = |error: ort::Error| OnnxError::Run { path: self.path.clone(), reason: one_line(&error) };
        let all = [&tokens.input_ids, &tokens.attention_mask, &tokens.token_type_ids];
        let mut inputs = Vec::with_capacity(all.len());
        for (name, values) in INPUTS.into_iter().zip(all).take(self.inputs) {
            let tensor = TensorRef::from_array_view(values.view()).map_err(failed)?;
            inputs.push((name, SessionInputValue::from(tensor)));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs).map_err(failed)?;
        let lacks = || graph_error(&self.path, &format!("it has no output {output}"));
        let values = outputs.get(output).ok_or_else(lacks)?.try_extract_array::<f32>().map_err(failed)?;
        let values = values.into_dimensionality::<D>();
        values.map(|array| array.to_owned()).map_err(|error| graph_error(&self.path, &error))
    }

    /// A graph whose embeddings have another shape than its folder says.
    pub(super) fn shape_error(&self, found: (usize, usize), expected: (usize, usize)) -> OnnxError {
        let reason =
            format!("its embeddings have the shape {found:?}, but config.json makes it {expected:?}");
        OnnxError::Run { path: self.path.clone(), reason }
    }
}

/// How many of the three inputs a graph takes: the types of tokens may be missing, nothing else may be
/// there.
fn inputs(path: &Path, found: &[Outlet]) -> Result<usize, OnnxError> {
    let has = |name: &&str| found.iter().any(|input| input.name() == *name);
    let integers = found.iter().all(|input| is_tensor(input, TensorElementType::Int64, 2));
    if matches!(found.len(), 2 | 3) && integers && INPUTS[..found.len()].iter().all(has) {
        return Ok(found.len());
    }
    Err(OnnxError::Interface {
        path: path.to_owned(),
        what: "inputs",
        found: list(found),
        expected: "input_ids, attention_mask and token_type_ids, int64 [batch, sequence]",
    })
}

fn check_outputs(path: &Path, found: &[Outlet], wanted: &str) -> Result<(), OnnxError> {
    let output = found.iter().find(|output| output.name() == wanted);
    if output.is_some_and(|output| is_tensor(output, TensorElementType::Float32, 2)) {
        return Ok(());
    }
    Err(OnnxError::Interface {
        path: path.to_owned(),
        what: "outputs",
        found: list(found),
        expected: match wanted {
            LOGITS => "logits, f32 [batch, outputs]",
            _ => "sentence_embedding, f32 [batch, hidden]",
        },
    })
}

fn is_tensor(outlet: &Outlet, of: TensorElementType, rank: usize) -> bool {
    let dtype = outlet.dtype();
    dtype.tensor_type() == Some(of) && dtype.tensor_shape().is_some_and(|shape| shape.len() == rank)
}

fn list(outlets: &[Outlet]) -> String {
    let names: Vec<&str> = outlets.iter().map(Outlet::name).collect();
    match names[..] {
        [] => "none".to_owned(),
        _ => names.join(", "),
    }
}
