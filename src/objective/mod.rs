//! What is minimised: NT-Xent for each instance, plus any number of loss terms.
//!
//! A loss sees embeddings only: each pass of the encoder ends in a leaf, losses are composed from
//! leaves by candle's autograd in f64 on the CPU (a few thousandths of a step's work, and it keeps
//! differences of losses, which δ-SAM lives on, clear of rounding), and the gradient of a leaf
//! goes back through that pass's tape.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::batch::{PackedBatch, Pass};
use crate::encoder::{Encoder, Tape};
use crate::weights::Parameters;

mod distributions;
pub mod draws;
pub mod free_lb;
pub mod nt_xent;
pub mod r3f;
pub mod r_drop;
pub mod registry;
mod sequences;
pub mod smart;

pub use distributions::Distributions;
pub(crate) use distributions::MOST_WHOLE;
pub use draws::{Draws, HashedDraws};

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

/// One training step's fixed ingredients: whatever is evaluated within it sees the same batch,
/// masks and draws.
pub struct Step<'a> {
    /// What computes embeddings.
    pub encoder: &'a Encoder,
    /// 2N sequences: the N sentences' first views, then their second views.
    pub batch: &'a PackedBatch,
    /// Dropout of the clean pass.
    pub pass: Pass,
    /// Where noise and further masks come from.
    pub draws: &'a dyn Draws,
    /// τ of NT-Xent.
    pub temperature: f64,
    /// Prefixes of embeddings that NT-Xent and all that compares its distributions see beside the whole: Matryoshka's
    /// widths, ascending. None for the whole alone.
    pub prefixes: &'a [usize],
}

impl Step<'_> {
    /// The anchors' distributions over the other embeddings, `[2N, hidden]`, at the step's temperature and by its
    /// prefixes.
    pub fn distributions(&self, embeddings: &Tensor) -> Result<Distributions> {
        Distributions::of(embeddings, self.temperature, self.prefixes)
    }

    /// Number of instances N.
    pub fn instances(&self) -> usize {
        self.batch.len() / 2
    }
}

/// The passes that one evaluation of the losses at given weights makes.
pub struct Passes<'a> {
    /// The batch, and what its passes may use of randomness.
    pub step: &'a Step<'a>,
    /// The weights that passes are made at.
    pub weights: &'a Parameters,
    /// Made when it is first asked for.
    clean: Option<Tensor>,
    /// Leaves and tapes; `None` when nothing is tracked.
    tapes: Option<Vec<(Var, Box<dyn Tape>)>>,
}

impl<'a> Passes<'a> {
    /// Passes with a way back.
    fn tracked(step: &'a Step<'a>, weights: &'a Parameters) -> Self {
        Passes { step, weights, clean: None, tapes: Some(Vec::new()) }
    }

    /// Passes whose embeddings are constants.
    fn untracked(step: &'a Step<'a>, weights: &'a Parameters) -> Self {
        Passes { step, weights, clean: None, tapes: None }
    }

    /// Embeddings `[2N, hidden]` of the clean pass: both views, the step's shared dropout masks.
    pub fn clean(&mut self) -> Result<Tensor> {
        if let Some(clean) = &self.clean {
            return Ok(clean.clone());
        }
        let clean = self.run(None, &self.step.pass)?;
        Ok(self.clean.insert(clean).clone())
    }

    /// Embeddings with noise `[total_tokens, hidden]` on the word embeddings, same masks.
    pub fn noisy(&mut self, noise: &Tensor) -> Result<Tensor> {
        self.run(Some(noise), &self.step.pass)
    }

    /// Embeddings under other dropout masks than the clean pass's. `draw` names them.
    pub fn redrawn(&mut self, draw: u64) -> Result<Tensor> {
        self.run(None, &self.step.pass.redrawn(draw))
    }

    /// `[2N, hidden]`, f64 on the CPU.
    fn run(&mut self, noise: Option<&Tensor>, pass: &Pass) -> Result<Tensor> {
        let (encoder, batch) = (self.step.encoder, self.step.batch);
        let Some(tapes) = &mut self.tapes else {
            return encoder.modules.forward(&to_f64(&encoder.embed(self.weights, batch, noise, pass)?)?);
        };
        let encoded = encoder.embed_tracked(self.weights, batch, noise, pass)?;
        let leaf = Var::from_tensor(&to_f64(&encoded.embeddings)?)?;
        let embeddings = encoder.modules.forward(leaf.as_tensor())?;
        tapes.push((leaf, encoded.tape));
        Ok(embeddings)
    }

    /// The gradient of `loss` with respect to the noise of the latest pass, `[total_tokens, hidden]`.
    pub fn noise_gradient(&self, loss: &Tensor) -> Result<Tensor> {
        let gradients = loss.backward()?;
        let latest = self.tapes.as_ref().and_then(|tapes| tapes.last());
        match latest.and_then(|(leaf, tape)| Some((gradients.get(leaf)?, tape))) {
            Some((gradient, tape)) => tape.noise_gradient(self.weights, gradient),
            None => candle_core::bail!("the loss does not depend on the latest pass"),
        }
    }

    /// The gradient of `loss` with respect to the weights: the sum of those of all passes.
    fn gradient(&self, loss: &Tensor) -> Result<Parameters> {
        let leaf_gradients = loss.backward()?;
        let mut sum = self.weights.zeros_like()?;
        let mut own: Option<Parameters> = None;
        for (n, (leaf, tape)) in self.tapes.iter().flatten().enumerate() {
            let Some(grad) = leaf_gradients.get(leaf) else {
                candle_core::bail!("a pass of the encoder got no gradient")
            };
            if n == 0 {
                tape.backward(self.weights, grad, &mut sum)?;
                continue;
            }
            // Each pass's gradient is summed up by itself, then added: so sums round as they always have.
            let own = match &mut own {
                Some(own) => {
                    own.clear()?;
                    own
                }
                none => none.insert(self.weights.zeros_like()?),
            };
            tape.backward(self.weights, grad, own)?;
            sum.add(own, 1.0)?;
        }
        Ok(sum)
    }
}

fn to_f64(embeddings: &Tensor) -> Result<Tensor> {
    embeddings.to_device(&Device::Cpu)?.to_dtype(DType::F64)
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
        let weights = Tensor::from_slice(weights, weights.len(), &Device::Cpu)?;
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

/// The loss that is minimised: NT-Xent and the terms added to it.
#[derive(Default)]
pub struct Objective {
    /// In the order in which `--reg` names them.
    pub terms: Vec<Box<dyn LossTerm>>,
}

impl Objective {
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
        let mut passes = Passes::tracked(step, weights);
        let (losses, terms) = self.losses(&mut passes)?;
        Ok(Evaluation { instance_losses: losses.to_vec1()?, passes, losses, terms })
    }

    /// Losses at `weights` alone.
    pub fn instance_losses(&self, step: &Step, weights: &Parameters) -> Result<Vec<f64>> {
        self.losses(&mut Passes::untracked(step, weights))?.0.to_vec1()
    }

    fn losses(&self, passes: &mut Passes) -> Result<(Tensor, Vec<(&'static str, f64)>)> {
        let mut losses = passes.step.distributions(&passes.clean()?)?.losses()?;
        let mut means = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            let added = term.instance_losses(passes)?;
            means.push((term.name(), added.mean_all()?.to_scalar()?));
            losses = (losses + added)?;
        }
        Ok((losses, means))
    }
}
