//! Whether a written graph is the model: both run on the same sentences, in batches of many kinds.

use std::path::Path;

use ndarray::{Array2, ArrayView1, Axis, concatenate};
use thiserror::Error;

use super::Precision;
use super::sentences::{SENTENCES, endless};
use crate::onnx::{OnnxEncoder, OnnxError};
use crate::sentence_encoder::{ModelError, SentenceEncoder};

/// The largest difference that an f32 graph's embedding may have from the model's, each scaled to length 1.
pub const TOLERANCE_F32: f32 = 1e-4;
/// The same for an f16 graph.
pub const TOLERANCE_F16: f32 = 2e-3;
/// The least mean cosine to the model's embeddings that an int8 graph may have.
pub const LEAST_COSINE: f64 = 0.98;

/// Sentences of a batch of mixed lengths.
const BATCH: usize = 9;

/// How far a graph's embeddings are from the model's, all scaled to length 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// The largest difference of any component.
    pub largest: f32,
    /// The mean over sentences of the cosine of the two.
    pub mean_cosine: f64,
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum VerifyError {
    #[error(
        "the {precision} graph differs from the model: {difference}; nothing is written (please report this model)"
    )]
    TooFar { precision: Precision, difference: String },
    #[error(
        "the int8 graph is too far from the model: the mean cosine is {cosine:.4}, and {LEAST_COSINE} is wanted; nothing \
         is written (export this model as f32 or f16)"
    )]
    Int8 { cosine: f64 },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

/// Embeddings of the model that graphs are compared with.
pub struct Verification {
    sentences: Vec<String>,
    /// `[sentences, hidden]`, of length 1.
    expected: Array2<f32>,
}

impl Verification {
    /// Without a prompt: it is for the graph's caller to add.
    pub fn of(model: &SentenceEncoder) -> Result<Self, ModelError> {
        let sentences: Vec<String> = SENTENCES.iter().map(|s| s.to_string()).chain([endless()]).collect();
        let references: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let expected = normalized(model.with_prompt("").encode(&references)?);
        Ok(Verification { sentences, expected })
    }

    /// Runs a graph on each sentence alone, on batches of mixed lengths and on batches of similar ones.
    pub fn measure(&self, graph: &OnnxEncoder) -> Result<Distance, OnnxError> {
        let sentences: Vec<&str> = self.sentences.iter().map(String::as_str).collect();
        let mut distance = Distance { largest: 0.0, mean_cosine: 1.0 };
        for size in [1, BATCH] {
            let batches = sentences.chunks(size).map(|batch| graph.encode_together(batch));
            let batches = batches.collect::<Result<Vec<_>, _>>()?;
            distance.include(self.distance(join(&batches)));
        }
        distance.include(self.distance(graph.encode(&sentences)?));
        Ok(distance)
    }

    fn distance(&self, found: Array2<f32>) -> Distance {
        let found = normalized(found);
        let differences = found.iter().zip(&self.expected).map(|(a, b)| (a - b).abs());
        // A NaN is as far as can be; max would pass over it.
        let largest = differences.fold(0f32, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) });
        let rows = found.rows().into_iter().zip(self.expected.rows());
        let cosines: f64 = rows.map(|(a, b)| sts_eval::cosine(a, b)).sum();
        Distance { largest, mean_cosine: cosines / found.nrows() as f64 }
    }
}

impl Distance {
    /// The worse of both.
    fn include(&mut self, other: Distance) {
        self.largest = self.largest.max(other.largest);
        // As above: a NaN stays.
        let nan = self.mean_cosine.is_nan() || other.mean_cosine.is_nan();
        self.mean_cosine = if nan { f64::NAN } else { self.mean_cosine.min(other.mean_cosine) };
    }

    /// Whether a graph of this precision may be this far from its model.
    pub fn check(&self, precision: Precision) -> Result<(), VerifyError> {
        let tolerance = match precision {
            Precision::F32 => TOLERANCE_F32,
            Precision::F16 => TOLERANCE_F16,
            Precision::Int8 if self.mean_cosine >= LEAST_COSINE => return Ok(()),
            Precision::Int8 => return Err(VerifyError::Int8 { cosine: self.mean_cosine }),
        };
        if self.largest <= tolerance {
            return Ok(());
        }
        let difference = format!("embeddings differ by {:.1e}, and {tolerance:.0e} is allowed", self.largest);
        Err(VerifyError::TooFar { precision, difference })
    }
}

fn join(batches: &[Array2<f32>]) -> Array2<f32> {
    let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
    // Batches of one graph have the same width.
    concatenate(Axis(0), &views).unwrap_or_default()
}

fn normalized(mut rows: Array2<f32>) -> Array2<f32> {
    let norm = |row: ArrayView1<'_, f32>| {
        row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt().max(1e-12)
    };
    for mut row in rows.rows_mut() {
        let norm = norm(row.view()) as f32;
        row.mapv_inplace(|value| value / norm);
    }
    rows
}

/// The folder's graph of a precision, as it will be used, but without a prompt.
pub fn load(
    runtime: &crate::onnx::Runtime,
    folder: &Path,
    precision: Precision,
    threads: usize,
) -> Result<OnnxEncoder, OnnxError> {
    let asked = crate::onnx::encoder::Asked { precision: Some(precision), max_length: None };
    let mut graph = OnnxEncoder::load(runtime, folder, asked, threads)?;
    graph.prompt.text.clear();
    Ok(graph)
}
