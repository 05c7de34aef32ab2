//! Sentences that are drawn from a corpus to measure on, and what is left to train on.

use std::collections::{HashMap, HashSet};

use super::deal::hash_text;
use super::{Corpus, CorpusError, Entry, Permutation};
use crate::random::{Key, Site};

/// How many candidates are looked at for each line that is held out, so that those can be chosen that the
/// file does not repeat.
const CANDIDATES: usize = 4;

/// What makes two lines the same: the hashes of both texts.
type Texts = [u64; 2];

struct Candidate {
    place: u64,
    texts: Texts,
}

impl Corpus {
    /// Up to `count` random lines (a function of `seed`) that have no text in common; fewer only where the
    /// corpus has fewer.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Vec<Entry>, CorpusError> {
        self.candidates(count, seed)?.iter().map(|candidate| self.entry(candidate.place)).collect()
    }

    /// Keeps `count` random lines (a function of `seed`) that have no text in common out of training, and
    /// returns what is left and the lines held out. Lines that the file does not repeat are preferred; the
    /// repeats of one that is held out are left out too, so that no line held out is trained on. What is
    /// left takes eight bytes a line held out.
    pub fn split_holdout(&self, count: u64, seed: u64) -> Result<(Corpus, Vec<Entry>), CorpusError> {
        let sentences = self.len();
        let refused = || CorpusError::Holdout { name: self.name(), count, sentences };
        let wanted = usize::try_from(count).map_err(|_| refused())?;
        let mut candidates = self.candidates(wanted.saturating_mul(CANDIDATES), seed)?;
        let places = self.places_of(&candidates)?;
        // Stable: among those that occur equally often, the random order stays.
        candidates.sort_by_key(|candidate| places[&candidate.texts].len());
        candidates.truncate(wanted);
        let mut hidden: Vec<u64> = candidates
            .iter()
            .flat_map(|candidate| &places[&candidate.texts])
            .map(|&i| self.place(i))
            .collect();
        if candidates.len() < wanted || sentences < hidden.len() as u64 + 2 {
            return Err(refused());
        }
        let held_out = candidates.iter().map(|c| self.entry(c.place)).collect::<Result<_, _>>()?;
        hidden.extend_from_slice(&self.hidden);
        hidden.sort_unstable();
        Ok((Corpus { hidden: hidden.into(), ..self.clone() }, held_out))
    }

    /// Up to `count` lines in a random order, none of which has a text in common with another.
    fn candidates(&self, count: usize, seed: u64) -> Result<Vec<Candidate>, CorpusError> {
        let order = Permutation::new(self.len(), Key::new(seed).site(Site::Holdout));
        let (mut seen, mut buffer) = (HashSet::new(), Vec::new());
        let mut candidates = Vec::new();
        for place in (0..self.len()).map(|i| order.at(i)) {
            if candidates.len() == count {
                break;
            }
            let texts = self.texts(place, &mut buffer)?.map(hash_text);
            if texts.iter().all(|text| !seen.contains(text)) {
                seen.extend(texts);
                candidates.push(Candidate { place, texts });
            }
        }
        Ok(candidates)
    }

    /// Where in the corpus each candidate's line stands, repeats included.
    fn places_of(&self, candidates: &[Candidate]) -> Result<HashMap<Texts, Vec<u64>>, CorpusError> {
        let mut places: HashMap<Texts, Vec<u64>> =
            candidates.iter().map(|candidate| (candidate.texts, Vec::new())).collect();
        let mut buffer = Vec::new();
        for i in 0..self.len() {
            let texts = self.texts(i, &mut buffer)?.map(hash_text);
            if let Some(places) = places.get_mut(&texts) {
                places.push(i);
            }
        }
        Ok(places)
    }
}
