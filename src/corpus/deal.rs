//! Dealing the lines of an epoch into batches that hold no sentence twice.
//!
//! The same sentence twice in a batch would be its own false negative, and real corpora repeat lines. So
//! lines pass through a pool, in the epoch's order: a batch takes the first ones that share no sentence
//! with those it has, and what it passes over waits for a later batch. Left alone, the last batches of an
//! epoch would be short, because what waits is mostly repeats. Hence one rule more: once the rest of the
//! epoch is in the pool, a sentence that occurs as often as there are batches left is taken by each.
//!
//! That rule is exact. If no sentence occurs more often than there are batches b of s lines left, and
//! there are b·s lines, then the sentences that occur b times number at most s, a batch of s different
//! ones with all of these exists, and after it the same holds for b − 1. So an epoch has n / s batches
//! unless some sentence is too frequent for that: occurs more than n / s times, or (where the epoch is
//! longer than the pool) piles up in the pool [`LOOKAHEAD`] times.
//!
//! For pairs a batch holds no text of either column twice, which makes the best deal a hard problem; the
//! same rules are a good guess at it.

use super::{Corpus, CorpusError, Permutation};
use crate::random::Key;
use std::collections::{HashMap, HashSet, VecDeque};

/// How many batches' worth of lines the pool holds, and how often a sentence may be among them.
pub(super) const LOOKAHEAD: usize = 64;

/// A line in the pool: its place in the corpus, and a hash of each of its texts.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    sentence: u64,
    texts: [u64; 2],
}

impl Candidate {
    fn distinct_texts(&self) -> &[u64] {
        if self.texts[0] == self.texts[1] { &self.texts[..1] } else { &self.texts }
    }
}

pub(super) struct Dealer {
    corpus: Corpus,
    order: Permutation,
    batch_size: usize,
    /// Place in `order` of the next line that enters the pool.
    next: u64,
    pool: VecDeque<Candidate>,
    /// How many lines of the pool have a text.
    counts: HashMap<u64, usize>,
    /// Batches that can still be dealt; known once the rest of the epoch is in the pool.
    batches_left: Option<usize>,
    /// Lines that did not enter the pool, because their sentence was in it too often.
    turned_away: u64,
    buffer: Vec<u8>,
}

impl Dealer {
    pub fn new(corpus: Corpus, key: Key, batch_size: usize) -> Result<Self, CorpusError> {
        let mut dealer = Dealer {
            order: Permutation::new(corpus.len(), key),
            corpus,
            batch_size,
            next: 0,
            pool: VecDeque::new(),
            counts: HashMap::new(),
            batches_left: None,
            turned_away: 0,
            buffer: Vec::new(),
        };
        dealer.refill()?;
        Ok(dealer)
    }

    /// The sentences of the next batch, by their places in the corpus, or `None` when fewer than a batch
    /// of different ones is left.
    pub fn next_batch(&mut self) -> Result<Option<Vec<u64>>, CorpusError> {
        let picked = self.pick();
        if picked.len() < self.batch_size {
            return Ok(None);
        }
        let batch = self.take(&picked);
        self.batches_left = self.batches_left.map(|left| left.saturating_sub(1));
        self.refill()?;
        Ok(Some(batch))
    }

    /// How many different sentences are left for a batch, up to its size.
    pub fn distinct(&self) -> usize {
        self.pick().len()
    }

    /// Lines that no batch has taken so far.
    pub fn left(&self) -> u64 {
        self.turned_away + self.pool.len() as u64 + (self.order.len() - self.next)
    }

    /// How many lines the pool holds. Each pick rules out at most 2 (LOOKAHEAD − 1) other lines where two
    /// texts count (pairs), half of it where one does; so this many always hold a batch.
    fn capacity(&self) -> usize {
        let texts = if self.corpus.format() == super::Format::Pairs { 2 } else { 1 };
        texts * LOOKAHEAD * self.batch_size
    }

    fn refill(&mut self) -> Result<(), CorpusError> {
        let capacity = self.capacity();
        while self.pool.len() < capacity && self.next < self.order.len() {
            let sentence = self.order.at(self.next);
            self.next += 1;
            let texts = self.corpus.texts(sentence, &mut self.buffer)?.map(hash_text);
            let candidate = Candidate { sentence, texts };
            if candidate.distinct_texts().iter().any(|text| self.count(text) >= LOOKAHEAD) {
                self.turned_away += 1;
                continue;
            }
            for &text in candidate.distinct_texts() {
                *self.counts.entry(text).or_insert(0) += 1;
            }
            self.pool.push_back(candidate);
        }
        if self.next == self.order.len() && self.batches_left.is_none() {
            self.batches_left = Some(self.possible_batches());
        }
        Ok(())
    }

    fn count(&self, text: &u64) -> usize {
        self.counts.get(text).copied().unwrap_or(0)
    }

    /// The greatest b such that b batches could be dealt from the pool if only first columns counted: that
    /// have Σ min(occurrences, b) ≥ b · batch_size.
    fn possible_batches(&self) -> usize {
        let mut occurrences: HashMap<u64, usize> = HashMap::new();
        for candidate in &self.pool {
            *occurrences.entry(candidate.texts[0]).or_insert(0) += 1;
        }
        let usable = |b: usize| occurrences.values().map(|&count| count.min(b)).sum::<usize>();
        let most = self.pool.len() / self.batch_size;
        (1..=most).rev().find(|&b| usable(b) >= b * self.batch_size).unwrap_or(0)
    }

    /// Positions in the pool, ascending, of the lines that the next batch takes.
    fn pick(&self) -> Vec<usize> {
        let mut picked = Vec::new();
        let mut texts = HashSet::new();
        if let Some(left) = self.batches_left {
            let must = |c: &Candidate| c.texts.iter().any(|text| self.count(text) >= left);
            self.pick_where(must, &mut picked, &mut texts);
        }
        self.pick_where(|_| true, &mut picked, &mut texts);
        picked.sort_unstable();
        picked
    }

    fn pick_where(
        &self,
        wanted: impl Fn(&Candidate) -> bool,
        picked: &mut Vec<usize>,
        texts: &mut HashSet<u64>,
    ) {
        for (position, candidate) in self.pool.iter().enumerate() {
            if picked.len() == self.batch_size {
                return;
            }
            let is_new = candidate.texts.iter().all(|text| !texts.contains(text));
            if is_new && wanted(candidate) {
                picked.push(position);
                texts.extend(candidate.texts);
            }
        }
    }

    /// Takes the lines at these ascending positions out of the pool, whose order stays.
    fn take(&mut self, positions: &[usize]) -> Vec<u64> {
        let end = positions.last().map_or(0, |last| last + 1);
        let mut batch = Vec::with_capacity(positions.len());
        let mut waiting = Vec::new();
        for (position, candidate) in self.pool.drain(..end).enumerate() {
            if positions.get(batch.len()) != Some(&position) {
                waiting.push(candidate);
                continue;
            }
            batch.push(candidate.sentence);
            for text in candidate.distinct_texts() {
                match self.counts.get_mut(text) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(self.counts.remove(text)),
                }
            }
        }
        waiting.into_iter().rev().for_each(|candidate| self.pool.push_front(candidate));
        batch
    }
}

/// A hash of a text that is the same in every build, white space around it aside: sentences that differ
/// only there are the same to every tokenizer.
pub(super) fn hash_text(text: &str) -> u64 {
    let text = text.trim();
    let start = Key::new(text.len() as u64);
    let hash = text.as_bytes().chunks(8).fold(start, |key, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        key.at(u64::from_le_bytes(word))
    });
    hash.bits64()
}
