//! Exact search: the sentences of a text that are nearest to queries, by cosine.
//!
//! Sentences pass by once, a block at a time, and each query keeps its best so far: memory does not grow with the
//! text. Every model sees the same blocks, so that several are compared in one pass over it.

pub mod table;

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use sts_eval::cosine;
use thiserror::Error;

use crate::sentence_encoder::{ModelError, SentenceEncoder};

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum SearchError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the embedding of {what} holds a NaN or an infinity; the model's weights may be broken")]
    NotFinite { what: String },
}

/// A sentence of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// Counted from 1.
    pub number: u64,
    /// The sentence, verbatim.
    pub text: Arc<str>,
}

/// A sentence that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The line that it is on, counted from 1.
    pub line: u64,
    /// Of the query's and the sentence's embeddings.
    pub cosine: f64,
    /// The sentence, verbatim.
    #[serde(serialize_with = "as_text")]
    pub text: Arc<str>,
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// What the models found for a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The query, verbatim.
    pub query: String,
    /// In the order in which they were asked for.
    pub models: Vec<ModelHits>,
}

/// What one model found, the nearest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelHits {
    /// The model, as the command line names it.
    pub model: String,
    /// The best first.
    pub hits: Vec<Hit>,
}

/// The search of some queries with one model.
pub struct Search {
    /// [queries, hidden]
    queries: Array2<f32>,
    best: Vec<Best>,
}

impl Search {
    /// Begins a search for the `top` nearest sentences to each query.
    pub fn new(model: &SentenceEncoder, queries: &[&str], top: usize) -> Result<Self, SearchError> {
        let embeddings = model.encode(queries)?;
        let name = |i: usize| format!("the query {:?}", queries[i].chars().take(60).collect::<String>());
        check_finite(&embeddings, name)?;
        let best = queries.iter().map(|_| Best { top, worst_first: BinaryHeap::new() }).collect();
        Ok(Search { queries: embeddings, best })
    }

    /// Looks at a block of sentences.
    pub fn look_at(&mut self, model: &SentenceEncoder, block: &[Sentence]) -> Result<(), SearchError> {
        let texts: Vec<&str> = block.iter().map(|line| &*line.text).collect();
        let embeddings = model.encode(&texts)?;
        check_finite(&embeddings, |i| format!("line {}", block[i].number))?;
        let queries = &self.queries;
        self.best.par_iter_mut().enumerate().for_each(|(query, best)| {
            let query: ArrayView1<'_, f32> = queries.row(query);
            for (line, row) in block.iter().zip(embeddings.rows()) {
                // No −0, which would rank below 0.
                best.offer(cosine(query, row) + 0.0, line);
            }
        });
        Ok(())
    }

    /// What was found for each query, the nearest first; of equally near ones the earlier line.
    pub fn finish(self) -> Vec<Vec<Hit>> {
        self.best.into_iter().map(Best::into_sorted).collect()
    }
}

fn check_finite(embeddings: &Array2<f32>, name: impl Fn(usize) -> String) -> Result<(), SearchError> {
    let finite = |row: ArrayView1<'_, f32>| row.iter().all(|value| value.is_finite());
    match embeddings.rows().into_iter().position(|row| !finite(row)) {
        Some(row) => Err(SearchError::NotFinite { what: name(row) }),
        None => Ok(()),
    }
}

/// The `top` best hits so far.
struct Best {
    top: usize,
    worst_first: BinaryHeap<Ranked>,
}

impl Best {
    fn offer(&mut self, cosine: f64, line: &Sentence) {
        let full = self.worst_first.len() == self.top;
        // A later line must be nearer to take the place of an earlier one.
        if full && self.worst_first.peek().is_none_or(|worst| rank(cosine, line.number, &worst.0).is_ge()) {
            return;
        }
        if full {
            self.worst_first.pop();
        }
        self.worst_first.push(Ranked(Hit { line: line.number, cosine, text: line.text.clone() }));
    }

    fn into_sorted(self) -> Vec<Hit> {
        self.worst_first.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}

/// How a cosine at a line ranks against a hit: less is better. All cosines are finite.
fn rank(cosine: f64, line: u64, other: &Hit) -> Ordering {
    other.cosine.total_cmp(&cosine).then(line.cmp(&other.line))
}

/// A hit in the order of its rank.
struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(self.0.cosine, self.0.line, &other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As sorting everything would find them: the nearest first, equally near ones by their lines.
        #[test]
        fn keeps_what_sorting_would(
            cosines in proptest::collection::vec((-4i32..=4).prop_map(|c| f64::from(c) / 4.0), 0..60),
            top in 1usize..12,
        ) {
            let text: Arc<str> = "a".into();
            let mut best = Best { top, worst_first: BinaryHeap::new() };
            for (i, &cosine) in cosines.iter().enumerate() {
                best.offer(cosine, &Sentence { number: i as u64 + 1, text: text.clone() });
            }
            let mut expected: Vec<(f64, u64)> = cosines.iter().zip(1..).map(|(&c, line)| (c, line)).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            expected.truncate(top);
            let found: Vec<(f64, u64)> =
                best.into_sorted().iter().map(|hit| (hit.cosine, hit.line)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
