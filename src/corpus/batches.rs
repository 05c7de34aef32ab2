//! The batches of an epoch, as a function of (seed, epoch, step).

use super::deal::Dealer;
use super::{Corpus, CorpusError, Format, mask_span};
use crate::random::{Key, Site};

/// How batches are made; the same for every epoch of a run.
#[derive(Clone, Debug)]
pub struct Batching {
    /// Sentences in a batch, each with two views; at least 2.
    pub batch_size: usize,
    /// Of the order of lines and the places of masks.
    pub seed: u64,
    /// Code points that [`mask_span`] masks in the second view; 0 for none. Pairs are never masked.
    pub mask_span: usize,
    /// What a span is replaced by.
    pub mask_token: String,
}

/// `n` = batch size sentences, all different, in two views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Counted from 0.
    pub epoch: u64,
    /// Within the epoch, counted from 0.
    pub step: u64,
    /// `[n]`: the lines of the corpus that the sentences come from, counted from 1.
    pub lines: Vec<u64>,
    /// `[n]`: the sentences, or the first columns of pairs.
    pub view1: Vec<String>,
    /// `[n]`: the sentences with a span masked, or the second columns of pairs.
    pub view2: Vec<String>,
}

/// What became of the lines of an epoch: together they are the corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochSummary {
    /// Batches of the epoch.
    pub steps: u64,
    /// Lines of full batches.
    pub used: u64,
    /// Lines of the last, partial batch, which is dropped.
    pub partial: u64,
    /// Repeats of a sentence that occurs too often to stand in different batches.
    pub surplus: u64,
}

/// The full batches of one epoch, made one after another; see [`Corpus::epoch`].
pub struct EpochBatches {
    corpus: Corpus,
    batching: Batching,
    epoch: u64,
    /// Of the next batch.
    step: u64,
    dealer: Dealer,
    summary: Option<EpochSummary>,
    failed: bool,
    buffer: Vec<u8>,
}

impl Corpus {
    /// How many steps an epoch has: ⌊sentences / batch size⌋. It has fewer only where a sentence is so
    /// frequent that it cannot stand in different batches; then [`EpochBatches::summary`] tells how many.
    pub fn steps_per_epoch(&self, batch_size: usize) -> u64 {
        self.len() / (batch_size.max(1) as u64)
    }

    /// The batches of epoch `epoch`, which counts from 0. Which sentences a batch holds, in which order,
    /// and where they are masked is a function of the seed, the epoch and the step.
    pub fn epoch(&self, batching: &Batching, epoch: u64) -> Result<EpochBatches, CorpusError> {
        let batch_size = batching.batch_size;
        if batch_size < 2 {
            return Err(CorpusError::BatchTooSmall { batch_size });
        }
        self.verify_unchanged()?;
        let dealer = self.dealer(batching, epoch)?;
        let (name, distinct, sentences) = (self.name(), dealer.distinct(), self.len());
        match distinct {
            0 | 1 => Err(CorpusError::OneSentence { name, sentences }),
            _ if distinct < batch_size => {
                Err(CorpusError::BatchTooLarge { name, batch_size, distinct, sentences })
            }
            _ => Ok(EpochBatches {
                corpus: self.clone(),
                batching: batching.clone(),
                epoch,
                step: 0,
                dealer,
                summary: None,
                failed: false,
                buffer: Vec::new(),
            }),
        }
    }

    fn dealer(&self, batching: &Batching, epoch: u64) -> Result<Dealer, CorpusError> {
        let key = Key::new(batching.seed).at(epoch).site(Site::Shuffle);
        Dealer::new(self.clone(), key, batching.batch_size)
    }
}

impl EpochBatches {
    /// The same batches with this mask on their second views, from the next one on.
    pub fn masked(mut self, mask_span: usize, mask_token: &str) -> Self {
        self.batching = Batching { mask_span, mask_token: mask_token.to_owned(), ..self.batching };
        self
    }

    /// Goes on with the batch of `step`, by dealing the epoch's batches up to it without making their
    /// views. `step` may be the number of steps, where a run stopped at the end of an epoch.
    pub fn skip_to(&mut self, step: u64) -> Result<(), CorpusError> {
        if step < self.step || self.failed {
            self.dealer = self.corpus.dealer(&self.batching, self.epoch)?;
            (self.step, self.summary, self.failed) = (0, None, false);
        }
        while self.step < step {
            if self.deal()?.is_none() {
                let (name, steps) = (self.corpus.name(), self.step);
                return Err(CorpusError::StepBeyondEpoch { name, epoch: self.epoch, step, steps });
            }
        }
        Ok(())
    }

    /// What became of the epoch's lines; known when its last batch has been taken and `None` followed.
    pub fn summary(&self) -> Option<EpochSummary> {
        self.summary
    }

    /// The sentences of the next batch, by their places in the corpus.
    fn deal(&mut self) -> Result<Option<Vec<u64>>, CorpusError> {
        let dealt = self.dealer.next_batch().inspect_err(|_| self.failed = true)?;
        match dealt {
            Some(_) => self.step += 1,
            None => {
                let partial = self.dealer.distinct() as u64;
                let left = self.dealer.left();
                let used = self.corpus.len() - left;
                let summary = EpochSummary { steps: self.step, used, partial, surplus: left - partial };
                self.summary = Some(summary);
            }
        }
        Ok(dealt)
    }

    fn make(&mut self) -> Result<Option<Batch>, CorpusError> {
        let step = self.step;
        let Some(sentences) = self.deal()? else { return Ok(None) };
        let n = sentences.len();
        let mut batch = Batch {
            epoch: self.epoch,
            step,
            lines: Vec::with_capacity(n),
            view1: Vec::with_capacity(n),
            view2: Vec::with_capacity(n),
        };
        let key = Key::new(self.batching.seed).at(self.epoch).at(step).site(Site::SpanMask);
        let Batching { mask_span: span, mask_token, .. } = &self.batching;
        for (i, sentence) in sentences.into_iter().enumerate() {
            let [first, second] = self.corpus.texts(sentence, &mut self.buffer)?;
            batch.view1.push(first.to_owned());
            batch.view2.push(match self.corpus.format() {
                Format::Sentences => mask_span(second, *span, mask_token, key.at(i as u64)),
                Format::Pairs => second.to_owned(),
            });
            batch.lines.push(self.corpus.line_number(sentence));
        }
        // After reading, so that nothing is trained on that was written in between.
        self.corpus.verify_unchanged()?;
        Ok(Some(batch))
    }
}

/// Ends after an error.
impl Iterator for EpochBatches {
    type Item = Result<Batch, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.summary.is_some() {
            return None;
        }
        let batch = self.make();
        self.failed = batch.is_err();
        batch.transpose()
    }
}
