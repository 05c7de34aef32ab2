//! Which tokens of a sentence are masked, and by what: Devlin et al., *BERT*, 2019.

use std::collections::HashSet;

use crate::random::{Key, Site};
use crate::tokenize::{TokenizeError, Tokenizer};

/// Of the tokens that are chosen, the share that becomes the mask token.
const MASKED: f64 = 0.8;
/// Up to here another token stands in the place; beyond, the token stays.
const REPLACED: f64 = 0.9;
/// In place of an epoch, for lines that are measured on: their masks never change.
const HELD_OUT: u64 = u64::MAX;

/// How sentences are masked.
pub struct Masking {
    mask: u32,
    special: HashSet<u32>,
    /// What may stand in a token's place, ascending.
    others: Vec<u32>,
    share: f64,
    whole_words: bool,
    key: Key,
}

/// A sentence as the encoder is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// With masks.
    pub ids: Vec<u32>,
    /// Places of the tokens to be predicted, ascending.
    pub chosen: Vec<usize>,
    /// The tokens that stood there.
    pub targets: Vec<u32>,
}

impl Masking {
    /// Masks a share of tokens, or of words. Places are a function of `seed`, the epoch and the line.
    ///
    /// # Errors
    /// A tokenizer without a mask token.
    pub fn new(
        tokenizer: &Tokenizer,
        share: f64,
        whole_words: bool,
        seed: u64,
    ) -> Result<Self, TokenizeError> {
        let special = tokenizer.special_ids();
        let mut others = tokenizer.ids();
        others.retain(|id| !special.contains(id));
        let key = Key::new(seed).site(Site::TokenMask);
        Ok(Masking { mask: tokenizer.mask_id()?, special, others, share, whole_words, key })
    }

    /// The masked tokens of a line of an epoch, both counted as the corpus counts them.
    ///
    /// # Errors
    /// Text that cannot be tokenized.
    pub fn line(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        (epoch, line): (u64, u64),
        max_length: usize,
    ) -> Result<Masked, TokenizeError> {
        let key = self.key.at(epoch).at(line);
        if self.whole_words {
            let (ids, words) = tokenizer.encode_words(text, max_length)?;
            return Ok(self.masked(ids, Some(&words), key));
        }
        Ok(self.masked(tokenizer.encode(text, max_length)?, None, key))
    }

    /// The same of a line that is measured on.
    ///
    /// # Errors
    /// Text that cannot be tokenized.
    pub fn held_out(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        line: u64,
        max_length: usize,
    ) -> Result<Masked, TokenizeError> {
        self.line(tokenizer, text, (HELD_OUT, line), max_length)
    }

    fn masked(&self, mut ids: Vec<u32>, words: Option<&[Option<u32>]>, key: Key) -> Masked {
        let chosen = self.chosen(&ids, words, key);
        let targets = chosen.iter().map(|&place| ids[place]).collect();
        for &place in &chosen {
            let row = key.at(place as u64);
            let drawn = row.unit(1);
            if drawn < MASKED {
                ids[place] = self.mask;
            } else if drawn < REPLACED && !self.others.is_empty() {
                ids[place] = self.others[row.at(0).below(self.others.len() as u64) as usize];
            }
        }
        Masked { ids, chosen, targets }
    }

    /// Places of the chosen tokens: at least one word where there is any that may be chosen.
    fn chosen(&self, ids: &[u32], words: Option<&[Option<u32>]>, key: Key) -> Vec<usize> {
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for place in (0..ids.len()).filter(|&place| !self.special.contains(&ids[place])) {
            let word = |place: usize| words.and_then(|words| words[place]);
            match parts.last_mut() {
                Some(part)
                    if word(place).is_some()
                        && part
                            .last()
                            .is_some_and(|&before| before + 1 == place && word(before) == word(place)) =>
                {
                    part.push(place);
                }
                _ => parts.push(vec![place]),
            }
        }
        let drawn = |part: &Vec<usize>| key.at(part[0] as u64).unit(0);
        let mut chosen: Vec<usize> =
            parts.iter().filter(|part| drawn(part) < self.share).flatten().copied().collect();
        if chosen.is_empty()
            && let Some(least) = parts.iter().min_by(|a, b| drawn(a).total_cmp(&drawn(b)))
        {
            chosen.clone_from(least);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids below 5 are special, 3 is the mask.
    fn masking(share: f64) -> Masking {
        let key = Key::new(7).site(Site::TokenMask);
        let others = (5..1000).collect();
        Masking { mask: 3, special: (0..5).collect(), others, share, whole_words: false, key }
    }

    fn sentence(line: u64) -> Vec<u32> {
        let word = |place: u64| 5 + Key::new(line).at(place).below(995) as u32;
        [vec![1], (0..40).map(word).collect(), vec![2]].concat()
    }

    #[test]
    fn shares_are_those_of_bert_and_special_tokens_stay() {
        let masking = masking(0.15);
        let (mut tokens, mut chosen, mut masked, mut replaced) = (0.0, 0.0, 0.0, 0.0);
        for line in 0..4000 {
            let ids = sentence(line);
            let found = masking.masked(ids.clone(), None, masking.key.at(0).at(line));
            assert!(!found.chosen.contains(&0) && !found.chosen.contains(&41));
            tokens += 40.0;
            chosen += found.chosen.len() as f64;
            for (&place, &target) in found.chosen.iter().zip(&found.targets) {
                assert_eq!(target, ids[place]);
                masked += f64::from(u8::from(found.ids[place] == 3));
                replaced += f64::from(u8::from(found.ids[place] != 3 && found.ids[place] != target));
            }
            let others = (0..ids.len()).filter(|place| !found.chosen.contains(place));
            others.for_each(|place| assert_eq!(found.ids[place], ids[place]));
        }
        // Five standard deviations.
        let near = |found: f64, expected: f64, of: f64| {
            assert!((found - expected).abs() < 5.0 * (expected * (1.0 - expected) / of).sqrt(), "{found}");
        };
        near(chosen / tokens, 0.15, tokens);
        near(masked / chosen, 0.8, chosen);
        near(replaced / chosen, 0.1 * 994.0 / 995.0, chosen);
    }

    #[test]
    fn a_sentence_has_a_masked_token_where_it_has_any_other_than_special_ones() {
        let masking = masking(1e-9);
        for line in 0..100 {
            assert_eq!(masking.masked(vec![1, 9, 10, 11, 2], None, masking.key.at(line)).chosen.len(), 1);
        }
        let none = masking.masked(vec![1, 4, 2], None, masking.key);
        assert_eq!((none.ids, none.chosen.len()), (vec![1, 4, 2], 0));
    }

    #[test]
    fn the_tokens_of_a_word_are_masked_together() {
        let masking = masking(0.3);
        // Two words of two tokens with the same number, a special token between them, and one of three tokens.
        let ids = vec![1, 20, 21, 4, 22, 23, 24, 25, 26, 2];
        let words = [None, Some(0), Some(0), None, Some(0), Some(0), Some(1), Some(1), Some(1), None];
        let mut seen = HashSet::new();
        for line in 0..300 {
            let chosen = masking.masked(ids.clone(), Some(&words), masking.key.at(line)).chosen;
            for part in [vec![1, 2], vec![4, 5], vec![6, 7, 8]] {
                let there = part.iter().filter(|place| chosen.contains(place)).count();
                assert!(there == 0 || there == part.len(), "{chosen:?}");
            }
            seen.insert(chosen);
        }
        // Words are drawn by themselves: every combination but the empty one.
        assert_eq!(seen.len(), 7);
    }
}
