//! A random order that needs no memory.

use crate::random::Key;

const ROUNDS: usize = 6;

/// A pseudo-random permutation of `0..n`, computed one index at a time: a Feistel network over the next
/// power of four, walked along its cycle until it is back in range. It stands in for a shuffled array
/// of indices, which for ten million lines would double the memory that a corpus takes.
#[derive(Clone, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    rounds: [Key; ROUNDS],
}

impl Permutation {
    /// The permutation of 0..n that a key stands for.
    pub fn new(n: u64, key: Key) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        // Round functions of few bits mix badly, so a short order is cut out of one of 256.
        let half_bits = bits.div_ceil(2).max(4);
        Permutation { n, half_bits, rounds: std::array::from_fn(|round| key.at(round as u64)) }
    }

    /// n.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether n is 0.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// What stands at place `i`, which must be below [`Permutation::len`].
    pub fn at(&self, i: u64) -> u64 {
        assert!(i < self.n, "place {i} of a permutation of {}", self.n);
        let mut x = i;
        loop {
            x = self.scramble(x);
            if x < self.n {
                return x;
            }
        }
    }

    /// A bijection of `0..4^half_bits`, whatever the round function.
    fn scramble(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for round in &self.rounds {
            (left, right) = (right, left ^ (round.at(right).bits64() & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn every_index_comes_once(n in 1u64..5000, seed in any::<u64>()) {
            let order = Permutation::new(n, Key::new(seed));
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                prop_assert!(!std::mem::replace(&mut seen[order.at(i) as usize], true));
            }
        }
    }

    /// χ² against equal frequencies, as standard deviations from its mean.
    fn excess(counts: impl Iterator<Item = u64>, cells: usize, trials: u64) -> f64 {
        let expected = trials as f64 / cells as f64;
        let (mut chi_squared, mut seen) = (0.0, 0);
        for count in counts {
            chi_squared += (count as f64 - expected).powi(2) / expected;
            seen += 1;
        }
        chi_squared += (cells - seen) as f64 * expected;
        let degrees = (cells - 1) as f64;
        (chi_squared - degrees) / (2.0 * degrees).sqrt()
    }

    #[test]
    fn short_orders_are_equally_likely() {
        let trials = 48_000;
        let mut counts = HashMap::new();
        for seed in 0..trials {
            let order = Permutation::new(4, Key::new(seed));
            *counts.entry([0, 1, 2, 3].map(|i| order.at(i))).or_insert(0u64) += 1;
        }
        let excess = excess(counts.into_values(), 24, trials);
        assert!(excess < 5.0, "{excess} standard deviations");
    }

    #[test]
    fn a_long_order_is_well_mixed() {
        let n = 100_000;
        let order = Permutation::new(n, Key::new(42).at(0));
        let next = Permutation::new(n, Key::new(42).at(1));
        let coarse = |x: u64| x * 20 / n;
        // Where an index goes says nothing of where it came from, of its neighbour, of the next epoch.
        let mut tables: [HashMap<(u64, u64), u64>; 3] = Default::default();
        for i in 0..n - 1 {
            *tables[0].entry((coarse(i), coarse(order.at(i)))).or_default() += 1;
            *tables[1].entry((coarse(order.at(i)), coarse(order.at(i + 1)))).or_default() += 1;
            *tables[2].entry((coarse(order.at(i)), coarse(next.at(i)))).or_default() += 1;
        }
        for (which, table) in tables.into_iter().enumerate() {
            let excess = excess(table.into_values(), 400, n - 1);
            assert!(excess < 5.0, "table {which}: {excess} standard deviations");
        }
    }

    #[test]
    fn large_domains_stay_in_range() {
        let n = (1 << 40) - 12_345;
        let order = Permutation::new(n, Key::new(1));
        for i in [0, 1, n / 2, n - 1] {
            assert!(order.at(i) < n);
        }
    }
}
