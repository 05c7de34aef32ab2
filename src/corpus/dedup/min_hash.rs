//! MinHash: texts as sets of shingles, and hashes that near sets have in common (Broder 1997).
//!
//! Written here rather than taken from a crate: the crates that have it keep an index of all signatures in memory, and
//! hash in a way that may change with a version; which sentences are trained on must not.

use crate::random::Key;

/// Characters of a shingle.
const SHINGLE: usize = 4;

/// Hashes are compared in bands; sets of likeness s share a band of r rows with probability sʳ, and one of b bands with
/// 1 − (1 − sʳ)ᵇ: 0.985 at 0.8, 0.9998 at 0.9.
const BANDS: usize = 8;
const ROWS: usize = 4;

/// The shingles of a text: its letters and digits in lower case, words a space apart, each [`SHINGLE`] characters
/// in a row.
#[derive(Clone, Debug)]
pub struct Shingles(Vec<u64>);

impl Shingles {
    pub fn of(text: &str) -> Self {
        let mut plain: Vec<char> = Vec::with_capacity(text.len());
        for c in text.chars().flat_map(char::to_lowercase) {
            // Vowel signs and accents that stand alone are part of their letter.
            if c.is_alphanumeric() || (!c.is_ascii() && !c.is_whitespace() && !is_punctuation(c)) {
                plain.push(c);
            } else if plain.last().is_some_and(|last| *last != ' ') {
                plain.push(' ');
            }
        }
        if plain.last() == Some(&' ') {
            plain.pop();
        }
        // Of signs alone, the signs are the text.
        if plain.is_empty() {
            plain.extend(text.trim().chars());
        }
        let window = SHINGLE.min(plain.len()).max(1);
        let mut hashes: Vec<u64> = plain
            .windows(window)
            .map(|shingle| {
                shingle.iter().fold(Key::new(window as u64), |key, &c| key.at(u64::from(u32::from(c))))
            })
            .map(Key::bits64)
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        Shingles(hashes)
    }

    /// Jaccard's index: what share of the shingles of either both have.
    pub fn likeness(&self, other: &Shingles) -> f64 {
        let (mut left, mut right, mut common) = (self.0.iter().peekable(), other.0.iter().peekable(), 0usize);
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => drop(left.next()),
                std::cmp::Ordering::Greater => drop(right.next()),
                std::cmp::Ordering::Equal => {
                    common += 1;
                    left.next();
                    right.next();
                }
            }
        }
        let all = self.0.len() + other.0.len() - common;
        if all == 0 { 1.0 } else { common as f64 / all as f64 }
    }
}

/// General punctuation, and that of Chinese and Japanese.
fn is_punctuation(c: char) -> bool {
    matches!(c, '\u{A1}'..='\u{BF}' | '\u{2000}'..='\u{206F}' | '\u{3000}'..='\u{303F}' | '\u{FF00}'..='\u{FF0F}'
        | '\u{FF1A}'..='\u{FF20}' | '\u{FEFF}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

/// The functions of which the least value over a set is taken.
pub struct MinHash {
    multipliers: [u64; BANDS * ROWS],
}

impl MinHash {
    pub fn new() -> Self {
        let key = Key::new(0).at(u64::from_le_bytes(*b"min-hash"));
        MinHash { multipliers: std::array::from_fn(|i| key.at(i as u64).bits64() | 1) }
    }

    /// A hash for each band; sets that have one in common are worth comparing.
    pub fn keys(&self, shingles: &Shingles) -> [u64; BANDS] {
        std::array::from_fn(|band| {
            let rows = &self.multipliers[band * ROWS..][..ROWS];
            let least = rows.iter().map(|multiplier| {
                shingles.0.iter().map(|hash| hash.wrapping_mul(*multiplier) >> 32).min().unwrap_or(u64::MAX)
            });
            least.fold(Key::new(band as u64), Key::at).bits64()
        })
    }
}
