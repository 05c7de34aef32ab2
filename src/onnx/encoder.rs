//! An exported folder: tokenizer, graph and the length at which sentences are cut.

use std::path::Path;

use ndarray::{Array2, Axis, s};

use super::outside::Outside;
use super::session::Padded;
use super::{Graph, OnnxError, Runtime, belongs};
use crate::encoder::Pooling;
use crate::model_folder::{ModelFolder, Settings};
use crate::onnx_file::Precision;
use crate::prompt::{Prompt, Prompted};
use crate::sentence_encoder::{TooManyDimensions, norm};
use crate::tokenize::Tokenizer;

/// Padded tokens that go through the graph at once. Sentences of a batch are of similar length, so that
/// few of them are padding; with more, hidden states leave the cache.
const TOKENS_AT_ONCE: usize = 2048;

/// A folder that `mirror export` wrote, loaded.
pub struct OnnxEncoder {
    graph: Graph,
    tokenizer: Tokenizer,
    max_length: usize,
    /// Tokens to which the graph itself pads, where its pooling is mean-padded.
    padded: Option<usize>,
    pad_token_id: u32,
    /// Of embeddings.
    width: usize,
    /// How many of their values are kept, where not all are.
    dimensions: Option<usize>,
    /// What is put before each sentence.
    pub prompt: Prompt,
    /// Pooling outside of the graph, where it leaves a prompt's tokens out; None where the graph's pooling is one
    /// that cannot be had outside.
    outside: Option<Outside>,
    settings: Settings,
    /// Whether the graph gives embeddings of length 1.
    normalized: bool,
    /// Whether they are scaled to length 1 here.
    pub normalize: bool,
    /// What a user should know of the graph.
    pub warning: Option<String>,
}

/// Flags that override a folder's own settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// f32 where the folder has it, else the only one it has.
    pub precision: Option<Precision>,
    /// Tokens at which sentences are cut; `None` as the folder says.
    pub max_length: Option<usize>,
}

impl OnnxEncoder {
    /// Loads a folder, to be computed on `threads` threads.
    ///
    /// # Errors
    /// A file is missing or malformed, or the tokenizer, the graph and the configuration do not belong
    /// together.
    pub fn load(runtime: &Runtime, folder: &Path, asked: Asked, threads: usize) -> Result<Self, OnnxError> {
        if !folder.is_dir() {
            return Err(OnnxError::NotAFolder { folder: folder.to_owned() });
        }
        let graph = folder.join(precision(folder, asked.precision)?.file());
        let read = ModelFolder::read(folder)?;
        let most = read.max_length();
        if let Some(asked) = asked.max_length.filter(|&asked| asked > most) {
            return Err(OnnxError::TooLong { asked, most });
        }
        let padded = (read.noted_pooling == Some(Pooling::MeanPadded)).then_some(most);
        if let (Some(asked), Some(padded)) = (asked.max_length.filter(|&asked| asked < most), padded) {
            return Err(OnnxError::Padded { asked, padded });
        }
        let ModelFolder { sentence, noted_pooling, config, tokenizer, .. } = read;
        let warning = belongs::check(folder, &graph, &config)?;
        let hidden = config.dimensions.hidden_size;
        let outside = match sentence.leaves_prompt_out && noted_pooling.is_none() {
            true => Some(Outside::read(&sentence, hidden)?),
            false => None,
        };
        Ok(OnnxEncoder {
            warning,
            padded,
            graph: Graph::load(runtime, &graph, threads)?,
            tokenizer,
            max_length: asked.max_length.unwrap_or(most),
            pad_token_id: config.pad_token_id,
            width: sentence.width(hidden),
            dimensions: None,
            prompt: Prompt {
                text: sentence.settings.default_prompt().to_owned(),
                left_out: sentence.leaves_prompt_out,
            },
            outside,
            normalized: sentence.normalize,
            // A truncation comes last of all.
            normalize: sentence.normalize && sentence.settings.truncate_dim.is_none(),
            settings: sentence.settings,
        })
    }

    /// The width of embeddings.
    pub fn width(&self) -> usize {
        self.dimensions.unwrap_or(self.width)
    }

    /// Keeps the first `dimensions` values of an embedding, scaled to length 1 where the folder normalises.
    ///
    /// # Errors
    /// More than the graph gives, which has cut them where the folder asks for a truncation.
    pub fn set_dimensions(&mut self, dimensions: usize) -> Result<(), TooManyDimensions> {
        if dimensions > self.width {
            return Err(TooManyDimensions { asked: dimensions, most: self.width });
        }
        if dimensions < self.width || self.settings.truncate_dim.is_some() {
            self.dimensions = Some(dimensions);
            self.normalize |= self.normalized;
        }
        Ok(())
    }

    /// The folder's settings of embeddings as a whole.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tokens of a sentence beyond which it is cut.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Whether the graph itself gives embeddings of length 1, which cannot be undone.
    pub fn is_normalized(&self) -> bool {
        self.normalized
    }

    /// Embeddings `[sentences, width]` of the sentences behind the prompt, in the order given. Sentences of similar
    /// length go through together.
    pub fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, OnnxError> {
        let prompted = self.prompt.tokenize(&self.tokenizer, sentences, self.max_length)?;
        let tokens = &prompted.tokens;
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let mut embeddings = Array2::zeros((sentences.len(), self.width()));
        let mut rest = order.as_slice();
        while let Some(&longest) = rest.first() {
            let width = self.padded.unwrap_or(tokens[longest].len()).max(1);
            let rows = (TOKENS_AT_ONCE / width).clamp(1, rest.len());
            let (batch, after) = rest.split_at(rows);
            rest = after;
            self.encode_batch(&prompted, batch, &mut embeddings)?;
        }
        Ok(embeddings)
    }

    /// Embeddings of all sentences as one batch, padded to the longest.
    pub fn encode_together(&self, sentences: &[&str]) -> Result<Array2<f32>, OnnxError> {
        let prompted = self.prompt.tokenize(&self.tokenizer, sentences, self.max_length)?;
        let mut embeddings = Array2::zeros((sentences.len(), self.width()));
        let all: Vec<usize> = (0..sentences.len()).collect();
        self.encode_batch(&prompted, &all, &mut embeddings)?;
        Ok(embeddings)
    }

    fn encode_batch(
        &self,
        prompted: &Prompted,
        batch: &[usize],
        into: &mut Array2<f32>,
    ) -> Result<(), OnnxError> {
        let tokens = self.pad(&prompted.tokens, batch);
        let found = match (prompted.left_out, &self.outside) {
            (0, _) => self.graph.embed(&tokens)?,
            (_, None) => return Err(OnnxError::PromptPooled { prompt: self.prompt.text.clone() }),
            (left_out, Some(outside)) => {
                let rows =
                    batch.iter().map(|&i| left_out.min(prompted.tokens[i].len())..prompted.tokens[i].len());
                outside.embed(self.graph.hidden_states(&tokens)?, rows)?
            }
        };
        if found.dim() != (batch.len(), self.width) {
            return Err(self.graph.shape_error(found.dim(), (batch.len(), self.width)));
        }
        for (&row, values) in batch.iter().zip(found.slice(s![.., ..self.width()]).rows()) {
            let norm = if self.normalize { norm(values).max(1e-12) } else { 1.0 };
            into.index_axis_mut(Axis(0), row).assign(&values.mapv(|value| value / norm));
        }
        Ok(())
    }

    /// `[batch, sequence]`, as long as the longest.
    fn pad(&self, tokens: &[Vec<u32>], batch: &[usize]) -> Padded {
        let width = batch.iter().map(|&i| tokens[i].len()).max().unwrap_or(0);
        let mut input_ids = Array2::from_elem((batch.len(), width), i64::from(self.pad_token_id));
        let mut attention_mask = Array2::zeros((batch.len(), width));
        for (row, &i) in batch.iter().enumerate() {
            for (column, &token) in tokens[i].iter().enumerate() {
                input_ids[[row, column]] = i64::from(token);
            }
            attention_mask.slice_mut(s![row, ..tokens[i].len()]).fill(1);
        }
        let token_type_ids = Array2::zeros(input_ids.dim());
        Padded { input_ids, attention_mask, token_type_ids }
    }
}

/// Which of a folder's graphs is taken.
fn precision(folder: &Path, asked: Option<Precision>) -> Result<Precision, OnnxError> {
    let found: Vec<Precision> =
        Precision::ALL.into_iter().filter(|precision| folder.join(precision.file()).is_file()).collect();
    let taken = asked.or(found.first().copied()).unwrap_or(Precision::F32);
    if found.contains(&taken) {
        return Ok(taken);
    }
    let found = found.into_iter().map(Precision::file).collect();
    Err(OnnxError::NoGraph { folder: folder.to_owned(), file: taken.file(), found })
}

impl sts_eval::Encode for OnnxEncoder {
    type Error = OnnxError;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, OnnxError> {
        OnnxEncoder::encode(self, sentences)
    }
}
