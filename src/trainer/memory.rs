//! How much memory a run will need, before it starts, and what to change where that is more than there is.

use super::TrainError;
use super::options::TrainOptions;
use super::precision::TrainingPrecision;
use crate::corpus::Corpus;
use crate::objective::MOST_WHOLE;
use crate::regularization::Composition;
use crate::sentence_encoder::SentenceEncoder;

pub use super::free_memory::free_memory;

/// Sentences whose lengths stand for the corpus.
const SAMPLE: u64 = 256;

/// The program, tokenizer, and buffers that depend on neither the model nor the batch.
const BASE: u64 = 128 << 20;

/// Matrices of the batch's rows, or a block's, by its rows that a loss and its way back need at a time.
const LOSS_MATRICES: u64 = 12;

/// An estimate of a run's peak memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Weights, moments, gradient and what else has their form.
    pub weights: u64,
    /// What a step keeps of its tokens for the way back.
    pub step: u64,
    /// The corpus's index, and all that is always there.
    pub rest: u64,
}

impl Estimate {
    /// From the sizes of the model, the lengths of a sample of the corpus, and what is composed.
    pub fn of(
        options: &TrainOptions,
        composition: &Composition,
        model: &SentenceEncoder,
        corpus: &Corpus,
    ) -> Result<Self, TrainError> {
        let d = model.encoder.config.dimensions;
        let remembers = composition.terms.contains(&"smart");
        // Weights, two moments, a gradient; ε or the perturbed weights and the gradient there; the moving average
        // and its successor; the best weights.
        let sets = 4
            + 2 * u64::from(composition.perturbation.is_some())
            + 2 * u64::from(remembers)
            + u64::from(options.keep_best)
            // Two copies in bf16, one for each way.
            + u64::from(options.precision == TrainingPrecision::Bf16);
        // Each loss term makes one more pass whose way back is kept until the gradient is there; in parts only one
        // part of one pass is.
        let passes = if options.accumulate > 1 { 1 } else { 1 + composition.terms.len() as u64 };
        let layer = 6 * d.hidden_size + d.intermediate_size;
        let token = 4 * (d.num_hidden_layers * layer + 3 * d.hidden_size) as u64;
        let tokens = 2 * options.batch_size as u64 * mean_tokens(options, model, corpus)?;
        let tokens = tokens.div_ceil(options.accumulate as u64);
        let rows = 2 * options.batch_size as u64;
        let widths = 1 + options.matryoshka.as_ref().map_or(0, |prefixes| prefixes.widths().len() as u64);
        let matrices = LOSS_MATRICES * (1 + composition.terms.len() as u64) * widths;
        let loss = matrices * 8 * rows * rows.min(MOST_WHOLE as u64);
        Ok(Estimate {
            weights: sets * 4 * model.encoder.layout().len() as u64,
            // Half as much again for the way back's own buffers and what is kept for reuse. Measured on a
            // built-in, a MiniLM, a BERT-base and a BERT-large shape, batches of 16 to 200 and six compositions,
            // the whole is between 3 percent below the peak and 26 above.
            step: passes * tokens * token * 3 / 2,
            rest: BASE + corpus.memory() as u64 + loss,
        })
    }

    /// Bytes of all together.
    pub fn total(&self) -> u64 {
        self.weights + self.step + self.rest
    }

    /// What to tell of it, where so much memory is free.
    pub fn sentence(&self, free: Option<u64>) -> String {
        let needed = format!("about {} of memory will be needed", shown(self.total()));
        match free {
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

/// Tokens of a sentence as it is trained on, the mean of a sample, rounded up.
fn mean_tokens(options: &TrainOptions, model: &SentenceEncoder, corpus: &Corpus) -> Result<u64, TrainError> {
    let sample = corpus.len().min(SAMPLE);
    let mut total = 0;
    for i in 0..sample {
        let entry = corpus.entry(i * (corpus.len() / sample))?;
        let texts = [entry.texts[0].as_str(), entry.texts[1].as_str()];
        let tokens = model.prompt.tokenize(&model.tokenizer, &texts, options.max_length)?.tokens;
        total += tokens.iter().map(|tokens| tokens.len() as u64).sum::<u64>();
    }
    Ok(total.div_ceil(2 * sample.max(1)))
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
        let weights = Estimate { weights: 3_000_000_000, step: 1_000_000_000, rest: 0 };
        let step = Estimate { weights: 1_000_000_000, step: 3_000_000_000, rest: 0 };
        assert_eq!(weights.sentence(Some(8_000_000_000)), "about 4.0 GB of memory will be needed");
        assert_eq!(weights.sentence(None), "about 4.0 GB of memory will be needed");
        let [weights, step] = [weights, step].map(|estimate| estimate.sentence(Some(500_000_000)));
        assert!(weights.contains("500 MB is free; choose a smaller --model"), "{weights}");
        assert!(step.contains("500 MB is free; raise --accumulate, or lower --batch-size"), "{step}");
    }
}
