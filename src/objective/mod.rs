//! What is minimised: an objective's loss for each instance, plus any number of loss terms.
//!
//! An [`Objective`] makes a [`Prediction`] of what a pass of the encoder ends in, with weights of its own where it has
//! any: [`Contrastive`] has each sentence find its other view among the rest of the batch, [`Classification`] and
//! [`Regression`] read labels off a head. A prediction knows its losses and how far it diverges from another one, and
//! that is all that a loss term sees of it.
//!
//! Each pass of the encoder ends in a leaf. Losses are composed from leaves by candle's autograd in f64 (a few
//! thousandths of a step's work, and it keeps differences of losses, which δ-SAM lives on, clear of rounding), on the
//! device that embeddings are on, and the gradient of a leaf goes back through that pass's tape. Weights of an objective are leaves of their own beside
//! these ([`OwnWeights`]).

use candle_core::{Result, Tensor};

use crate::batch::{PackedBatch, Pass};
use crate::encoder::Encoder;

mod contrastive;
mod distributions;
pub mod draws;
pub mod free_lb;
pub mod head;
mod log_probabilities;
mod loss;
pub mod masked;
pub mod nt_xent;
mod own_weights;
mod passes;
mod prediction;
pub mod r3f;
pub mod r_drop;
pub mod registry;
mod sequences;
pub mod smart;
mod supervised;
mod word_distributions;

pub use contrastive::Contrastive;
pub use distributions::Distributions;
pub(crate) use distributions::MOST_WHOLE;
pub use draws::{Draws, HashedDraws};
pub use loss::{Evaluation, Loss, LossTerm, mean};
pub use masked::MaskedWords;
pub use own_weights::{OwnWeights, Shared};
pub use passes::Passes;
pub use prediction::Prediction;
pub use supervised::{Classification, Regression};

/// What is asked of the encoder's embeddings for one batch: what they predict, and of how many instances. Labels are
/// its own, so that it is an objective of that batch.
pub trait Objective {
    /// How many instances the batch holds: how many losses there are.
    fn instances(&self, batch: &PackedBatch) -> usize;

    /// Tensors of the encoder that it reads and adds a gradient to, beside weights of its own.
    fn shared(&self) -> &'static [Shared] {
        &[]
    }

    /// What a pass predicts. Its values are f64 where the leaf is, and tracked as it is.
    ///
    /// # Errors
    /// Labels that do not go with the batch, own weights that are not there.
    fn predict(&self, leaf: &Leaf) -> Result<Prediction>;
}

/// What a pass of the encoder ended in, and what may be used with it.
pub struct Leaf<'a> {
    /// `[outputs, width]`, after the modules that come behind pooling: of each sequence, or of each chosen row of the
    /// batch. f64.
    pub embeddings: &'a Tensor,
    /// The objective's weights.
    pub own: &'a OwnWeights,
    /// What went through the encoder.
    pub batch: &'a PackedBatch,
    /// Under which masks. A head's dropout is that of hidden states, under keys of its own.
    pub pass: &'a Pass,
}

/// One training step's fixed ingredients: whatever is evaluated within it sees the same batch,
/// masks and draws.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// What computes embeddings.
    pub encoder: &'a Encoder,
    /// What goes through it.
    pub batch: &'a PackedBatch,
    /// Dropout of the clean pass.
    pub pass: Pass,
    /// Where noise and further masks come from.
    pub draws: &'a dyn Draws,
    /// What is asked of embeddings.
    pub objective: &'a dyn Objective,
}

impl Step<'_> {
    /// Number of instances N.
    pub fn instances(&self) -> usize {
        self.objective.instances(self.batch)
    }
}
