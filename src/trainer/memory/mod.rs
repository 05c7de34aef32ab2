//! How much memory a run will need, before it starts, and what to change where that is more than there is: the host's
//! where the encoder is computed by fused operations on the CPU, else that of the device.

use candle_core::Device;

use super::TrainError;
use super::options::TrainOptions;
use super::precision::TrainingPrecision;
use crate::corpus::Corpus;
use crate::model::EncoderConfig;
use crate::objective::MOST_WHOLE;
use crate::regularization::Composition;
use crate::sentence_encoder::SentenceEncoder;

mod composed;
mod free;
mod fused;
mod kernels;

pub use free::free_memory;

/// Sentences whose lengths stand for the corpus.
const SAMPLE: u64 = 256;

/// The program, tokenizer, and buffers that depend on neither the model nor the batch.
const BASE: u64 = 128 << 20;

/// Matrices of the batch's rows, or a block's, by its rows that a loss and its way back need at a time.
const LOSS_MATRICES: u64 = 12;

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Host,
    Gpu,
}

/// An estimate of a run's peak memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    place: Place,
    /// Weights, moments, gradient and what else has their form.
    weights: u64,
    /// What a step keeps of its tokens for the way back.
    step: u64,
    /// The corpus's index, and all that is always there.
    rest: u64,
    /// Sentences of a step, or of a part of it.
    sentences: u64,
    /// Bytes that were free for it when it was made.
    free: Option<u64>,
}

/// What goes through the encoder at a time.
#[derive(Clone, Copy)]
struct Part {
    sequences: u64,
    tokens: u64,
    /// Tokens of the longest sequence.
    longest: u64,
}

impl Estimate {
    /// From the sizes of the model, the lengths of a sample of the corpus, and what is composed. The model is loaded, on
    /// the device that the run computes on.
    pub fn of(
        options: &TrainOptions,
        composition: &Composition,
        model: &SentenceEncoder,
        corpus: &Corpus,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let lengths = Lengths::of(options, model, corpus)?;
        let sentences = (options.batch_size as u64).div_ceil(options.accumulate as u64);
        let rows = 2 * options.batch_size as u64;
        let tokens = (rows * lengths.mean).div_ceil(options.accumulate as u64);
        let part = Part { sequences: 2 * sentences, tokens, longest: lengths.longest };
        // Each loss term makes one more pass whose way back is kept until the gradient is there; in parts only one
        // part of one pass is.
        let passes = if options.accumulate > 1 { 1 } else { 1 + composition.terms.len() as u64 };
        let set = 4 * model.encoder.layout().len() as u64;
        let sets = sets(options, composition);
        if !device.is_cpu() {
            let (step, more_sets) = on_gpu(&model.encoder.config, options, part, passes);
            return Ok(Estimate {
                place: Place::Gpu,
                weights: set * (sets + more_sets),
                step,
                rest: kernels::BASE,
                sentences,
                free: crate::device::memory(device).map(|memory| memory.free + set),
            });
        }
        let widths = 1 + options.matryoshka.as_ref().map_or(0, |prefixes| prefixes.widths().len() as u64);
        let matrices = LOSS_MATRICES * (1 + composition.terms.len() as u64) * widths;
        let loss = matrices * 8 * rows * rows.min(MOST_WHOLE as u64);
        Ok(Estimate {
            place: Place::Host,
            weights: set * sets,
            step: passes * fused::kept(&model.encoder.config.dimensions, part, options.precision.precision()),
            rest: BASE + corpus.memory() as u64 + loss,
            sentences,
            free: free_memory(),
        })
    }

    /// Bytes of all together.
    pub fn total(&self) -> u64 {
        self.weights + self.step + self.rest
    }

    /// The most sentences of which a step, or a part of it, would have fitted; `None` where not even one would.
    pub fn most_sentences(&self) -> Option<u64> {
        let left = self.free?.checked_sub(self.weights + self.rest)?;
        Some(left * self.sentences / self.step.max(1)).filter(|&most| most > 0)
    }

    /// What to tell of it.
    pub fn sentence(&self) -> String {
        let memory = match self.place {
            Place::Host => "memory",
            Place::Gpu => "GPU memory",
        };
        let needed = format!("about {} of {memory} will be needed", shown(self.total()));
        match self.free {
            Some(free) if self.total() > free => {
                let what = if self.step > self.weights {
                    format!(
                        "raise --accumulate, or lower --batch-size or --max-length (a step's tokens take {})",
                        shown(self.step)
                    )
                } else {
                    format!("choose a smaller --model (its weights and moments take {})", shown(self.weights))
                };
                format!("warning: {needed} and {} is free; {what}", shown(free))
            }
            _ => needed,
        }
    }
}

/// Bytes of a step of so many passes on a GPU, and sets of weights beside those of the CPU's.
fn on_gpu(config: &EncoderConfig, options: &TrainOptions, part: Part, passes: u64) -> (u64, u64) {
    if config.relative_bias().is_some() {
        let step = composed::Pass { model: config, options, part };
        return (passes * step.kept() + step.on_the_way_back(), composed::SETS + passes);
    }
    let precision = options.precision.precision();
    let step = passes * kernels::kept(config, part, precision);
    (step + kernels::on_the_way_back(config, part, precision), 0)
}

/// Weights, two moments, a gradient; ε or the perturbed weights and the gradient there; the moving average and its
/// successor; the best weights.
fn sets(options: &TrainOptions, composition: &Composition) -> u64 {
    let remembers = composition.terms.contains(&"smart");
    4 + 2 * u64::from(composition.perturbation.is_some())
        + 2 * u64::from(remembers)
        + u64::from(options.keep_best)
        // Two copies in bf16, one for each way.
        + u64::from(options.precision == TrainingPrecision::Bf16)
}

/// Tokens of sentences as they are trained on, by a sample.
struct Lengths {
    /// Rounded up.
    mean: u64,
    longest: u64,
}

impl Lengths {
    fn of(options: &TrainOptions, model: &SentenceEncoder, corpus: &Corpus) -> Result<Self, TrainError> {
        let sample = corpus.len().min(SAMPLE);
        let (mut total, mut longest) = (0, 0);
        for i in 0..sample {
            let entry = corpus.entry(i * (corpus.len() / sample))?;
            let texts = [entry.texts[0].as_str(), entry.texts[1].as_str()];
            for tokens in model.prompt.tokenize(&model.tokenizer, &texts, options.max_length)?.tokens {
                total += tokens.len() as u64;
                longest = longest.max(tokens.len() as u64);
            }
        }
        Ok(Lengths { mean: total.div_ceil(2 * sample.max(1)), longest })
    }
}

fn shown(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1000.0 { format!("{megabytes:.0} MB") } else { format!("{:.1} GB", megabytes / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_to_change_is_that_of_the_largest_part() {
        let estimate = |weights, step, free| Estimate {
            place: Place::Host,
            weights,
            step,
            rest: 0,
            sentences: 10,
            free,
        };
        let large = |free| estimate(3_000_000_000, 1_000_000_000, free);
        assert_eq!(large(Some(8_000_000_000)).sentence(), "about 4.0 GB of memory will be needed");
        assert_eq!(large(None).sentence(), "about 4.0 GB of memory will be needed");
        let weights = large(Some(500_000_000)).sentence();
        assert!(weights.contains("500 MB is free; choose a smaller --model"), "{weights}");
        let step = estimate(1_000_000_000, 3_000_000_000, Some(500_000_000)).sentence();
        assert!(step.contains("500 MB is free; raise --accumulate, or lower --batch-size"), "{step}");
    }

    #[test]
    fn as_many_sentences_fit_as_there_is_memory_beside_the_weights() {
        let estimate =
            |free| Estimate { place: Place::Gpu, weights: 1000, step: 100, rest: 0, sentences: 10, free };
        assert_eq!(estimate(Some(1055)).most_sentences(), Some(5));
        assert_eq!([Some(1005), Some(900), None].map(|free| estimate(free).most_sentences()), [None; 3]);
        assert!(estimate(Some(1055)).sentence().starts_with("warning: about 0 MB of GPU memory"));
    }
}
