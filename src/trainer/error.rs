use thiserror::Error;

use super::StepError;
use super::metrics::MetricsError;
use super::pretrain::model::MaskedModelError;
use crate::checkpoint::CheckpointError;
use crate::classifier::ClassifierError;
use crate::corpus::CorpusError;
use crate::model_folder::SaveError;
use crate::sentence_encoder::ModelError;
use crate::tokenize::TokenizeError;

/// Why a run ended early.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum TrainError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    #[error(transparent)]
    Masked(#[from] MaskedModelError),
    #[error(
        "no token of lines {} can be masked: they hold special tokens alone; leave these lines out of the corpus",
        lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    )]
    NothingToMask { lines: Vec<u64> },
    #[error(transparent)]
    Tokenizer(#[from] TokenizeError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error("{source}; the batch was lines {lines} of {corpus}{kept}")]
    NotFinite { source: Box<StepError>, lines: String, corpus: String, kept: String },
    /// Of the device, in a step.
    #[error("step {step} needs more memory than the GPU has left; {advice}")]
    OutOfMemory { step: u64, advice: String },
    /// Weights and moments are lost with it; `saved` is the step of the newest checkpoint.
    #[error("the GPU failed in step {step}: {reason}; {}", standing(.saved))]
    DeviceLost { step: u64, reason: String, saved: Option<u64> },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("scoring failed: {0}")]
    Score(#[from] sts_eval::Error),
    #[error("--max-length is {asked}, but this model has positions for {most} tokens only")]
    TooLong { asked: usize, most: usize },
    #[error(
        "--max-length is {asked}, but the model's prompt alone has {prompt} tokens, so that nothing of a sentence would be \
         left"
    )]
    NoRoom { asked: usize, prompt: usize },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

/// What stands of a run.
fn standing(saved: &Option<u64>) -> String {
    match saved {
        Some(step) => format!("the checkpoint of step {step} stands"),
        None => "no checkpoint was written yet".to_owned(),
    }
}
