//! Encoding: each distinct sentence of all tasks once, sorted by length.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView1, s};

use crate::error::excerpt;
use crate::{Error, Task};

/// Anything that turns sentences into vectors. Closures are encoders too.
pub trait Encode {
    /// `candle_core::Error`, `anyhow::Error`, `std::io::Error`, …
    type Error: Into<Box<dyn std::error::Error + Send + Sync>>;

    /// Returns an array of shape [sentences, width], row i for `sentences[i]`; the width is the same in every
    /// call. The sentences of a call are of similar length, and none is given twice in one evaluation.
    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, Self::Error>;

    /// What all embeddings of an evaluation, of shape [sentences, width], are compared as once they are there: rounded
    /// by ranges that are taken from all of them, say. As they are, where an encoder does not say otherwise.
    fn finish(&self, embeddings: Array2<f32>) -> Result<Array2<f32>, Self::Error> {
        Ok(embeddings)
    }
}

impl<Function, Failure> Encode for Function
where
    Function: Fn(&[&str]) -> Result<Array2<f32>, Failure>,
    Failure: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Error = Failure;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, Failure> {
        self(sentences)
    }
}

/// How far encoding has come, in sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Distinct sentences that have an embedding.
    pub encoded: usize,
    /// Distinct sentences of all tasks.
    pub total: usize,
}

/// The embeddings of all sentences of some tasks.
#[derive(Debug, Clone)]
pub struct Embeddings<'t> {
    row_of: HashMap<&'t str, usize>,
    /// [distinct sentences, width]
    rows: Array2<f32>,
}

impl<'t> Embeddings<'t> {
    /// Encodes each distinct sentence of the tasks once, in blocks of `block_size`, the longest first (so that
    /// memory peaks, and an estimate of the time left is pessimistic, at the start). `progress` is called after
    /// each block.
    pub fn encode<E: Encode + ?Sized>(
        tasks: &'t [Task],
        encoder: &E,
        block_size: usize,
        progress: impl FnMut(Progress),
    ) -> Result<Self, Error> {
        if block_size == 0 {
            let (given, needed) = (block_size.to_string(), "at least 1");
            return Err(Error::Setting { what: "the number of sentences encoded at a time", given, needed });
        }
        let sentences = distinct_by_length(tasks);
        let rows = encode_blocks(&sentences, encoder, block_size, progress)?;
        let row_of = sentences.into_iter().enumerate().map(|(row, sentence)| (sentence, row)).collect();
        Ok(Self { row_of, rows })
    }

    /// The embedding of a sentence, of shape `[width]`, if it was in the tasks.
    pub fn get(&self, sentence: &str) -> Option<ArrayView1<'_, f32>> {
        self.row_of.get(sentence).map(|&row| self.rows.row(row))
    }

    /// All embeddings, of shape [distinct sentences, width], in no meaningful order.
    pub fn rows(&self) -> &Array2<f32> {
        &self.rows
    }

    /// The cosine of two sentences' embeddings.
    pub(crate) fn cosine(&self, first: &str, second: &str) -> Result<f64, Error> {
        Ok(cosine(self.row(first)?, self.row(second)?))
    }

    /// The embedding of a sentence that must be there.
    pub(crate) fn row(&self, sentence: &str) -> Result<ArrayView1<'_, f32>, Error> {
        Ok(self.rows.row(self.place(sentence)?))
    }

    /// The row of a sentence that must be there.
    pub(crate) fn place(&self, sentence: &str) -> Result<usize, Error> {
        let row = self.row_of.get(sentence);
        row.copied().ok_or_else(|| Error::NotEncoded { sentence: excerpt(sentence) })
    }
}

/// The distinct sentences of the tasks, the longest (in bytes) first, equally long ones in order of appearance.
fn distinct_by_length(tasks: &[Task]) -> Vec<&str> {
    let mut seen = std::collections::HashSet::new();
    let mut sentences: Vec<&str> = tasks
        .iter()
        .flat_map(Task::pairs)
        .flat_map(|pair| [pair.first.as_str(), pair.second.as_str()])
        .filter(|&sentence| seen.insert(sentence))
        .collect();
    sentences.sort_by_key(|sentence| std::cmp::Reverse(sentence.len()));
    sentences
}

/// Embeddings of sentences, of shape [sentences, width], encoded and checked `block_size` at a time, which is at least
/// 1. `progress` is called after each block.
pub(crate) fn encode_blocks<E: Encode + ?Sized>(
    sentences: &[&str],
    encoder: &E,
    block_size: usize,
    mut progress: impl FnMut(Progress),
) -> Result<Array2<f32>, Error> {
    let mut rows = Array2::<f32>::zeros((0, 0));
    let mut encoded = 0;
    for block in sentences.chunks(block_size) {
        let embeddings = encoder
            .encode(block)
            .map_err(|source| Error::Encode { sentences: block.len(), source: source.into() })?;
        if encoded == 0 && embeddings.nrows() == block.len() {
            rows = Array2::zeros((sentences.len(), embeddings.ncols()));
        }
        check(block, &embeddings, (encoded > 0).then_some(rows.ncols()))?;
        rows.slice_mut(s![encoded..encoded + block.len(), ..]).assign(&embeddings);
        encoded += block.len();
        progress(Progress { encoded, total: sentences.len() });
    }
    if sentences.is_empty() {
        return Ok(rows);
    }
    let failed = |source: E::Error| Error::Encode { sentences: sentences.len(), source: source.into() };
    let rows = encoder.finish(rows).map_err(failed)?;
    check(sentences, &rows, None)?;
    Ok(rows)
}

fn check(block: &[&str], embeddings: &Array2<f32>, width: Option<usize>) -> Result<(), Error> {
    let (rows, columns) = embeddings.dim();
    if rows != block.len() || columns == 0 || width.is_some_and(|width| width != columns) {
        let width = width.map_or_else(|| "width above 0".to_owned(), |width| width.to_string());
        return Err(Error::EmbeddingShape { rows, columns, sentences: block.len(), width });
    }
    for (sentence, row) in block.iter().zip(embeddings.rows()) {
        if !row.iter().all(|value| value.is_finite()) {
            return Err(Error::NotFinite { sentence: excerpt(sentence) });
        }
    }
    Ok(())
}

/// The cosine of two vectors of shape `[width]`, summed in f64; 0 if one of them is zero.
///
/// # Panics
/// If the widths differ.
pub fn cosine(first: ArrayView1<'_, f32>, second: ArrayView1<'_, f32>) -> f64 {
    assert_eq!(first.len(), second.len(), "cosine of vectors of different widths");
    let (mut dot, mut first_square, mut second_square) = (0.0, 0.0, 0.0);
    for (&a, &b) in first.iter().zip(second) {
        let (a, b) = (f64::from(a), f64::from(b));
        dot += a * b;
        first_square += a * a;
        second_square += b * b;
    }
    if first_square == 0.0 || second_square == 0.0 {
        return 0.0;
    }
    // The root of the product: of a vector with itself it is exactly 1, so that all pairs of identical sentences
    // are tied. f32 squares cannot overflow or vanish in f64.
    (dot / (first_square * second_square).sqrt()).clamp(-1.0, 1.0)
}
