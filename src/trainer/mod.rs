//! One training step: batch → losses → perturbation → gradient → AdamW.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use crate::batch::{PackedBatch, Pass};
use crate::encoder::Encoder;
use crate::objective::{HashedDraws, Objective, Step, mean};
use crate::optim::AdamW;
use crate::perturb::plain::Plain;
use crate::perturb::{Problem, WeightPerturbation};
use crate::regularization::Regularization;
use crate::weights::Parameters;

pub mod curves;
mod equal_views;
mod error;
pub mod event_log;
pub mod labels;
pub mod memory;
pub mod metrics;
mod model_card;
pub mod options;
pub mod plan;
pub mod precision;
pub mod prefixes;
pub mod pretrain;
pub mod projection;
pub mod run;
pub(crate) mod task_card;

pub use error::TrainError;
pub use options::TrainOptions;

/// What is the same for every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// Of masks, noise and directions.
    pub seed: u64,
    /// Of hidden states and of attention probabilities.
    pub dropout: f64,
    /// The probability with which a head of attention is dropped, in [0, 1).
    pub drophead: f64,
    /// The gradient's norm is scaled down to this; `None` leaves it.
    pub clip_norm: Option<f64>,
}

/// All that changes as training goes on, besides the weights: moments, what loss terms remember, steps made.
pub struct Trainer {
    /// What computes embeddings.
    pub encoder: Encoder,
    /// Adam's moments, and the steps made.
    pub optimizer: AdamW,
    /// Loss terms, and where gradients are taken.
    pub regularization: Regularization,
    /// The same for every step.
    pub hyperparameters: Hyperparameters,
}

/// What one step found; a line of metrics.jsonl.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: u64,
    /// Mean loss at the weights before the update, loss terms included.
    pub loss: f64,
    /// Mean loss where the gradient was taken.
    pub descent_loss: f64,
    /// ‖∇l‖ at the weights before the update.
    pub gradient_norm: f64,
    /// Mean of what each loss term added.
    #[serde(flatten)]
    pub terms: BTreeMap<String, f64>,
    /// The perturbation's own readings.
    #[serde(flatten)]
    pub readings: BTreeMap<&'static str, f64>,
    /// The learning rate of the update, where it is not the same in every step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Rows that were computed: tokens, and padding where mean-padded pooling averages it.
    pub tokens: usize,
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum StepError {
    /// Nothing was updated: the weights are those of the step before.
    #[error("step {step}: {what} is {value}; training stopped with the weights of step {before} intact. Lower --learning-rate{hint}", before = step - 1)]
    NotFinite { step: u64, what: String, value: f64, hint: &'static str },
    #[error("{}", crate::device::sentence(.0))]
    Candle(#[from] candle_core::Error),
}

impl Trainer {
    /// What loss terms remember from step to step, by their names.
    pub fn memories(&self) -> Vec<(&'static str, &Parameters)> {
        let terms = self.regularization.loss.terms.iter();
        terms.filter_map(|term| Some((term.name(), term.memory()?))).collect()
    }

    /// Takes over a checkpoint's moments and memories, and the steps made by then.
    pub fn restore(
        &mut self,
        step: u64,
        [m, v]: [Parameters; 2],
        mut memories: BTreeMap<String, Parameters>,
    ) {
        (self.optimizer.m, self.optimizer.v, self.optimizer.step) = (m, v, step);
        for term in &mut self.regularization.loss.terms {
            if let Some(memory) = memories.remove(term.name()) {
                term.restore(memory);
            }
        }
    }

    /// Updates the weights by one step on a batch, of which `objective` asks.
    ///
    /// # Errors
    /// [`StepError::NotFinite`], with the weights as they were; an operation that fails.
    pub fn step(
        &mut self,
        weights: &mut Parameters,
        batch: &PackedBatch,
        objective: &dyn Objective,
    ) -> Result<StepReport, StepError> {
        let number = self.optimizer.step + 1;
        let h = &self.hyperparameters;
        let draws = HashedDraws::new(h.seed, number);
        let pass = Pass {
            key: draws.pass_key(),
            hidden_dropout: h.dropout,
            attention_dropout: h.dropout,
            drophead: h.drophead,
        };
        let step = Step { encoder: &self.encoder, batch, pass, draws: &draws, objective };

        let Regularization { loss, perturbation, perturb_every } = &mut self.regularization;
        loss.prepare(&step, weights)?;
        let problem = Problem { loss, step: &step };
        let perturbation: &dyn WeightPerturbation =
            if number.is_multiple_of(*perturb_every) { perturbation.as_ref() } else { &Plain };
        let mut descent = perturbation.descend(&problem, weights)?;

        let report = StepReport {
            step: number,
            loss: mean(&descent.instance_losses),
            descent_loss: descent.descent_loss,
            gradient_norm: descent.gradient_norm,
            terms: descent.terms.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            readings: descent.readings,
            learning_rate: (!self.optimizer.schedule.is_constant()).then(|| self.optimizer.learning_rate()),
            tokens: batch.total_tokens(),
        };
        let norm = descent.gradient.norm()?;
        check_finite(&report, norm)?;
        if let Some(largest) = h.clip_norm.filter(|&largest| norm > largest) {
            descent.gradient = descent.gradient.scaled(largest / norm)?;
        }
        self.optimizer.update(weights, &descent.gradient)?;
        loss.after_update(weights)?;
        Ok(report)
    }
}

/// Refuses a step whose losses, readings or gradient are not numbers, before anything is updated.
fn check_finite(report: &StepReport, descent_gradient_norm: f64) -> Result<(), StepError> {
    let terms = report.terms.iter().map(|(name, &value)| (format!("the loss term {name}"), value));
    let at_weights = [("the loss", report.loss), ("the gradient's norm", report.gradient_norm)];
    // A δ-SAM whose changes of loss are not numbers weighs instances alike: it would be SAM, without a word.
    let readings = report.readings.iter().map(|(name, &value)| (format!("the reading {name}"), value));
    let perturbed = [
        ("the loss at the perturbed weights", report.descent_loss),
        ("the norm of the gradient to descend along", descent_gradient_norm),
    ];
    let named = |(what, value): (&str, f64)| (what.to_owned(), value);
    let values = terms.chain(at_weights.map(named)).chain(readings).chain(perturbed.map(named));
    let of_weights = report.terms.len() + at_weights.len();
    for (place, (what, value)) in values.enumerate() {
        if !value.is_finite() {
            let hint = if place < of_weights { "" } else { " or --rho" };
            return Err(StepError::NotFinite { step: report.step, what, value, hint });
        }
    }
    Ok(())
}
