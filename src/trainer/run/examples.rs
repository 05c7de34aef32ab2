//! From labelled examples to batches: their order, their tokens, and what is asked of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job::{Batches, Prepared};
use crate::batch::{PackedBatch, SequenceId};
use crate::classifier::Texts;
use crate::corpus::{CorpusError, Permutation, Prefetch};
use crate::encoder::Encoder;
use crate::labelled::{Dataset, Example, Kind, Label};
use crate::model::Head;
use crate::objective::{Classification, Objective, Regression};
use crate::quote::counted;
use crate::random::{Key, Site};
use crate::tokenize::Tokenizer;
use crate::trainer::TrainError;

/// An example's text, and the second one of a pair.
pub(super) fn texts(example: &Example) -> Texts<'_> {
    (&example.text, example.text2.as_deref())
}

/// An example's class, where its label is one.
pub(super) fn class(example: &Example) -> Option<usize> {
    match example.label {
        Label::Class(class) => Some(class),
        Label::Value(_) => None,
    }
}

/// An example's value, where its label is one.
pub(super) fn value(example: &Example) -> Option<f64> {
    match example.label {
        Label::Value(value) => Some(value),
        Label::Class(_) => None,
    }
}

/// The order of an epoch's examples, another one in each, and how many make a batch. The last batch has what is left.
pub(super) struct Order {
    pub seed: u64,
    /// Counted from 0.
    pub epoch: u64,
    pub batch_size: usize,
}

impl Order {
    /// The places of the examples of some batches.
    fn places(&self, examples: u64, batches: Range<u64>) -> impl Iterator<Item = Vec<usize>> + use<> {
        let order = Permutation::new(examples, Key::new(self.seed).site(Site::Shuffle).at(self.epoch));
        let batch_size = self.batch_size as u64;
        batches.map(move |batch| {
            let places = batch * batch_size..((batch + 1) * batch_size).min(examples);
            places.map(|place| order.at(place) as usize).collect()
        })
    }
}

/// Turns examples into packed tokens and what is asked of them, in the thread that prepares batches.
pub(super) struct Preparation {
    pub train: Arc<Dataset>,
    /// Decides positions and token types.
    pub encoder: Encoder,
    pub head: Head,
    pub tokenizer: Arc<Tokenizer>,
    /// Tokens of a text or a pair beyond which it is cut.
    pub max_length: usize,
    /// Examples that were cut so far.
    pub cut: Arc<AtomicU64>,
}

impl Preparation {
    /// Some batches of an epoch, prepared ahead of who takes them.
    pub fn batches(self, order: Order, batches: Range<u64>) -> Result<impl Batches, TrainError> {
        let (epoch, cut, max_length) = (order.epoch, self.cut.clone(), self.max_length);
        let places = order.places(self.train.examples.len() as u64, batches).map(Ok::<_, CorpusError>);
        let batches = Prefetch::new(places, move |places| self.prepare(&places))?;
        Ok(LabelledBatches { batches, epoch, cut, max_length })
    }

    fn prepare(&self, places: &[usize]) -> Result<Prepared, TrainError> {
        let examples: Vec<&Example> = places.iter().map(|&place| &self.train.examples[place]).collect();
        let pairs: Vec<Texts> = examples.iter().map(|example| texts(example)).collect();
        let tokens = self.tokenizer.encode_pairs(&pairs, self.max_length)?;
        let mut packed = PackedBatch::new();
        for (tokens, sentence) in tokens.iter().zip(0..) {
            self.cut.fetch_add(u64::from(tokens.is_cut), Ordering::Relaxed);
            self.encoder.push_typed(&mut packed, tokens, SequenceId { view: 0, sentence }, self.max_length);
        }
        let objective = self.objective(&examples);
        Ok(Prepared { packed, objective, lines: places.iter().map(|&place| place as u64 + 1).collect() })
    }

    fn objective(&self, examples: &[&Example]) -> Box<dyn Objective + Send> {
        let head = self.head.clone();
        match &self.train.kind {
            Kind::Classification { .. } => {
                let classes = examples.iter().filter_map(|example| class(example)).collect();
                Box::new(Classification { head, classes })
            }
            Kind::Regression => {
                let values = examples.iter().filter_map(|example| value(example)).collect();
                Box::new(Regression { head, values })
            }
        }
    }
}

/// An epoch's batches, which know how many examples were cut at its end.
struct LabelledBatches<I> {
    batches: Prefetch<I, Prepared, TrainError>,
    epoch: u64,
    cut: Arc<AtomicU64>,
    max_length: usize,
}

impl<I> Iterator for LabelledBatches<I> {
    type Item = Result<Prepared, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

impl<I> Batches for LabelledBatches<I> {
    fn finish(self: Box<Self>) -> Result<Option<String>, TrainError> {
        let cut = self.cut.load(Ordering::Relaxed);
        // Every epoch has the same examples.
        Ok((cut > 0 && self.epoch == 0).then(|| {
            let (examples, most) = (counted(cut, "example"), self.max_length);
            format!("{examples} cut to --max-length {most} tokens, of a pair the longer text first")
        }))
    }
}
