//! Randomness as a function, not a stream.
//!
//! Every dropout mask, noise value and direction is a hash of *where it is used*: (seed, step,
//! draw, view, sentence, layer, site, token, channel). Nothing is consumed, so any number of
//! threads, any packing of the batch and a run resumed at any step see the same values, masks
//! need not be stored for the backward pass, and all passes of one step can share them.
//!
//! A [`Key`] names a row (64 bits, mixed with the SplitMix64 finaliser); [`Key::bits`] hashes a
//! channel index within it to 32 bits with a two-round multiply–xorshift that compiles to SIMD.

/// Where in the encoder a random value is used. Part of the hash, so sites never share masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Site {
    /// Dropout after the embeddings' LayerNorm.
    Embeddings = 1,
    /// Dropout of attention probabilities; the row is (query token, head), the channel the key token.
    AttentionProbs = 2,
    /// Dropout of the attention block's output, before the residual.
    AttentionOutput = 3,
    /// Dropout of the feed-forward block's output, before the residual.
    FeedForwardOutput = 4,
    /// Drophead; the row is the sequence, the channel the head.
    Drophead = 5,
    /// Noise added to word embeddings (R3F, FreeLB, SMART).
    EmbeddingNoise = 6,
    /// The direction in weight space that losses change along (δ-SAM).
    Direction = 7,
    /// Choice of the masked span of characters.
    SpanMask = 8,
    /// Order of the corpus in an epoch.
    Shuffle = 9,
    /// Instances to measure, and resamples of what was measured.
    Measurement = 10,
    /// Sentences that are drawn from a corpus to measure on, and where they are masked.
    Holdout = 11,
    /// Masks of a step's further passes (R-Drop); the clean pass's are those of the step itself.
    Redraw = 12,
    /// Dropout of what goes into a layer of a head; the row is the sequence.
    Head = 13,
    /// Weights that are new.
    InitialWeights = 14,
    /// Which tokens of a line are masked, and by what.
    TokenMask = 15,
}

/// A 64-bit name of a place, from which values are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The SplitMix64 finaliser: a bijection on 64 bits in which every input bit reaches every output bit.
#[inline(always)]
fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Key {
    /// The root of all keys of a seed.
    pub fn new(seed: u64) -> Self {
        Key(mix64(seed.wrapping_add(GOLDEN)))
    }

    /// The key of a place inside this one.
    #[inline(always)]
    pub fn at(self, part: u64) -> Self {
        Key(mix64(self.0 ^ part.wrapping_mul(GOLDEN).wrapping_add(GOLDEN)))
    }

    /// The key of a site inside this one.
    #[inline(always)]
    pub fn site(self, site: Site) -> Self {
        self.at(site as u64)
    }

    /// The name itself, for kernels that hash from it.
    #[cfg(feature = "cuda")]
    pub fn value(self) -> u64 {
        self.0
    }

    /// 32 uniformly distributed bits for `channel`.
    #[inline(always)]
    pub fn bits(self, channel: u32) -> u32 {
        let (low, high) = (self.0 as u32, (self.0 >> 32) as u32);
        let mut x = channel.wrapping_mul(0x9E37_79B9) ^ low;
        x ^= x >> 16;
        x = x.wrapping_mul(0x7FEB_352D) ^ high;
        x ^= x >> 15;
        x = x.wrapping_mul(0x846C_A68B);
        x ^ (x >> 16)
    }

    /// 64 uniformly distributed bits.
    pub fn bits64(self) -> u64 {
        mix64(self.0 ^ GOLDEN)
    }

    /// Uniform on the open interval (0, 1).
    #[inline(always)]
    pub fn unit(self, channel: u32) -> f64 {
        (f64::from(self.bits(channel)) + 0.5) / 4_294_967_296.0
    }

    /// Uniform on (−range, range).
    #[inline(always)]
    pub fn uniform(self, channel: u32, range: f64) -> f64 {
        (2.0 * self.unit(channel) - 1.0) * range
    }

    /// Standard normal, by Box–Muller over the hashes of the pair of channels that `channel` is in.
    #[inline(always)]
    pub fn normal(self, channel: u32) -> f64 {
        let pair = channel & !1;
        let radius = (-2.0 * self.unit(pair).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit(pair | 1);
        if channel & 1 == 0 { radius * angle.cos() } else { radius * angle.sin() }
    }

    /// A uniformly distributed integer below `n` (`n` ≥ 1), by Lemire's multiplication.
    pub fn below(self, n: u64) -> u64 {
        ((u128::from(self.bits64()) * u128::from(n)) >> 64) as u64
    }
}

/// Dropout with probability `p`: a value is kept where its bits are at least the threshold, and
/// kept values are scaled by 1 / (1 − p).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The least bits of a value that is kept.
    pub threshold: u32,
    /// The factor of a value that is kept.
    pub scale: f32,
}

impl Dropout {
    /// `None` for p = 0, where dropout is the identity. `p` must lie in [0, 1).
    pub fn new(p: f64) -> Option<Self> {
        assert!((0.0..1.0).contains(&p), "a dropout probability lies in [0, 1)");
        (p > 0.0).then(|| Dropout {
            threshold: (p * 4_294_967_296.0).round() as u32,
            scale: (1.0 / (1.0 - p)) as f32,
        })
    }

    /// The factor for one value: 0 or `scale`.
    #[inline(always)]
    pub fn factor(self, row: Key, channel: u32) -> f32 {
        if row.bits(channel) >= self.threshold { self.scale } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_balanced_and_rows_independent() {
        let (a, b) = (Key::new(42).at(1), Key::new(42).at(2));
        let n = 1 << 16;
        let mut ones = [0u32; 32];
        let mut agree = 0u32;
        let mut neighbour = 0u32;
        for c in 0..n {
            let x = a.bits(c);
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += (x >> bit) & 1;
            }
            agree += (x ^ b.bits(c)).count_zeros();
            neighbour += (x ^ a.bits(c + 1)).count_zeros();
        }
        // Five standard deviations of a fair coin.
        let five_sigma = |trials: f64| 5.0 * (trials * 0.25).sqrt();
        for count in ones {
            assert!((f64::from(count) - f64::from(n) / 2.0).abs() < five_sigma(f64::from(n)));
        }
        let trials = f64::from(n) * 32.0;
        assert!((f64::from(agree) - trials / 2.0).abs() < five_sigma(trials));
        assert!((f64::from(neighbour) - trials / 2.0).abs() < five_sigma(trials));
    }

    #[test]
    fn normal_has_unit_variance_and_dropout_its_probability() {
        let key = Key::new(7).site(Site::Direction);
        let n = 200_000u32;
        let (mut sum, mut squares, mut kept) = (0.0, 0.0, 0.0);
        let dropout = Dropout::new(0.1).unwrap();
        for c in 0..n {
            let z = key.normal(c);
            sum += z;
            squares += z * z;
            kept += f64::from(u8::from(dropout.factor(key, c) > 0.0));
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.012, "mean {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02, "variance {}", squares / n);
        assert!((kept / n - 0.9).abs() < 0.004, "kept {}", kept / n);
    }
}
