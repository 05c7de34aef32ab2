//! The loss of a step: the objective's, plus any number of loss terms.

use candle_core::{Result, Tensor};

use super::{Passes, Step};
use crate::weights::Parameters;

/// A loss term: one regularizer's addition to each instance's loss. See ARCHITECTURE.md, "A new
/// regularizer", for a worked example.
pub trait LossTerm: Send {
    /// As `--reg` and the metrics' columns call it.
    fn name(&self) -> &'static str;

    /// Called once a step at the weights w, before any evaluation. What a term draws or searches
    /// for (noise, adversarial embeddings) is found here and held fixed in all passes of the step.
    fn prepare(&mut self, step: &Step, weights: &Parameters) -> Result<()>;

    /// What the term adds to each instance's loss, `[N]`, at the weights of `passes`.
    fn instance_losses(&self, passes: &mut Passes) -> Result<Tensor>;

    /// Called after the update, with the new weights.
    fn after_update(&mut self, _weights: &Parameters) -> Result<()> {
        Ok(())
    }

    /// What the term remembers from step to step; part of a checkpoint.
    fn memory(&self) -> Option<&Parameters> {
        None
    }

    /// Restores what [`LossTerm::memory`] gave.
    fn restore(&mut self, _memory: Parameters) {}
}

/// Losses of all instances at some weights, with the way back.
pub struct Evaluation<'a> {
    passes: Passes<'a>,
    /// `[N]`, tracked.
    losses: Tensor,
    /// Loss of each instance, terms included.
    pub instance_losses: Vec<f64>,
    /// Mean of what each term added, by the term's name.
    pub terms: Vec<(&'static str, f64)>,
}

impl Evaluation<'_> {
    /// The gradient of `Σ_j weights[j] · l_j` at the evaluation's parameters.
    pub fn gradient(&self, weights: &[f64]) -> Result<Parameters> {
        let weights = Tensor::from_slice(weights, weights.len(), self.losses.device())?;
        self.passes.gradient(&(&self.losses * weights)?.sum_all()?)
    }

    /// The gradient of the mean loss.
    pub fn mean_gradient(&self) -> Result<Parameters> {
        let n = self.instance_losses.len();
        self.gradient(&vec![1.0 / n as f64; n])
    }

    /// The mean of the instances' losses.
    pub fn mean_loss(&self) -> f64 {
        mean(&self.instance_losses)
    }
}

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The loss that is minimised: what the step's objective gives, and the terms added to it.
#[derive(Default)]
pub struct Loss {
    /// In the order in which `--reg` names them.
    pub terms: Vec<Box<dyn LossTerm>>,
}

impl Loss {
    /// Lets every term draw its noise or find its adversaries, once a step, at `weights`.
    pub fn prepare(&mut self, step: &Step, weights: &Parameters) -> Result<()> {
        self.terms.iter_mut().try_for_each(|term| term.prepare(step, weights))
    }

    /// Lets every term remember what it needs of the updated weights.
    pub fn after_update(&mut self, weights: &Parameters) -> Result<()> {
        self.terms.iter_mut().try_for_each(|term| term.after_update(weights))
    }

    /// Losses at `weights` with the way back.
    pub fn evaluate<'a>(&self, step: &'a Step<'a>, weights: &'a Parameters) -> Result<Evaluation<'a>> {
        let mut passes = Passes::tracked(step, weights)?;
        let (losses, terms) = self.losses(&mut passes)?;
        Ok(Evaluation { instance_losses: losses.to_vec1()?, passes, losses, terms })
    }

    /// Losses at `weights` alone.
    pub fn instance_losses(&self, step: &Step, weights: &Parameters) -> Result<Vec<f64>> {
        self.losses(&mut Passes::untracked(step, weights)?)?.0.to_vec1()
    }

    fn losses(&self, passes: &mut Passes) -> Result<(Tensor, Vec<(&'static str, f64)>)> {
        let mut losses = passes.clean()?.losses()?;
        let mut means = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            let added = term.instance_losses(passes)?;
            means.push((term.name(), added.mean_all()?.to_scalar()?));
            losses = (losses + added)?;
        }
        Ok((losses, means))
    }
}
