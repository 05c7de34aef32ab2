//! The passes of one evaluation of the losses, and their ways back.

use candle_core::{Result, Tensor, Var};

use super::{Leaf, OwnWeights, Prediction, Step};
use crate::batch::Pass;
use crate::encoder::Tape;
use crate::weights::Parameters;

/// The passes that one evaluation of the losses at given weights makes.
pub struct Passes<'a> {
    /// The batch, what is asked of it, and what its passes may use of randomness.
    pub step: &'a Step<'a>,
    /// The weights that passes are made at.
    pub weights: &'a Parameters,
    /// The objective's among them, the same for all passes.
    own: OwnWeights,
    /// Made when it is first asked for.
    clean: Option<Tensor>,
    /// Leaves and tapes; `None` when nothing is tracked.
    tapes: Option<Vec<(Var, Box<dyn Tape>)>>,
}

impl<'a> Passes<'a> {
    /// Passes with a way back.
    pub(super) fn tracked(step: &'a Step<'a>, weights: &'a Parameters) -> Result<Self> {
        let own = OwnWeights::leaves(step.encoder, weights, step.objective.shared())?;
        Ok(Passes { step, weights, own, clean: None, tapes: Some(Vec::new()) })
    }

    /// Passes whose predictions are constants.
    pub(super) fn untracked(step: &'a Step<'a>, weights: &'a Parameters) -> Result<Self> {
        let own = OwnWeights::constants_sharing(step.encoder, weights, step.objective.shared())?;
        Ok(Passes { step, weights, own, clean: None, tapes: None })
    }

    /// What the clean pass predicts, under the step's shared dropout masks.
    pub fn clean(&mut self) -> Result<Prediction> {
        let pass = &self.step.pass;
        // The leaf is kept and not the prediction: each use has a graph of its own, so that gradients round as they
        // always have.
        let embeddings = match &self.clean {
            Some(clean) => clean.clone(),
            None => self.run(None, pass)?,
        };
        let prediction = self.predict(&embeddings, pass)?;
        self.clean = Some(embeddings);
        Ok(prediction)
    }

    /// The same with noise `[total_tokens, hidden]` on the word embeddings, under the same masks.
    pub fn noisy(&mut self, noise: &Tensor) -> Result<Prediction> {
        let pass = &self.step.pass;
        let embeddings = self.run(Some(noise), pass)?;
        self.predict(&embeddings, pass)
    }

    /// The same under other dropout masks than the clean pass's. `draw` names them.
    pub fn redrawn(&mut self, draw: u64) -> Result<Prediction> {
        let pass = self.step.pass.redrawn(draw);
        let embeddings = self.run(None, &pass)?;
        self.predict(&embeddings, &pass)
    }

    fn predict(&self, embeddings: &Tensor, pass: &Pass) -> Result<Prediction> {
        let Step { objective, batch, .. } = *self.step;
        objective.predict(&Leaf { embeddings, own: &self.own, batch, pass })
    }

    /// Embeddings `[outputs, width]`, f64.
    fn run(&mut self, noise: Option<&Tensor>, pass: &Pass) -> Result<Tensor> {
        let (encoder, batch) = (self.step.encoder, self.step.batch);
        let Some(tapes) = &mut self.tapes else {
            let embeddings = encoder.embed(self.weights, batch, noise, pass)?;
            return encoder.modules.forward(&self.own.in_place(&embeddings)?);
        };
        let encoded = encoder.embed_tracked(self.weights, batch, noise, pass)?;
        let leaf = Var::from_tensor(&self.own.in_place(&encoded.embeddings)?)?;
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

    /// The gradient of `loss` with respect to the weights: the sum of those of all passes, and that of the objective's
    /// own weights.
    pub(super) fn gradient(&self, loss: &Tensor) -> Result<Parameters> {
        let leaf_gradients = loss.backward()?;
        let mut sum = self.weights.zeros_like()?;
        let mut of_pass: Option<Parameters> = None;
        for (n, (leaf, tape)) in self.tapes.iter().flatten().enumerate() {
            let Some(grad) = leaf_gradients.get(leaf) else {
                candle_core::bail!("a pass of the encoder got no gradient")
            };
            if n == 0 {
                tape.backward(self.weights, grad, &mut sum)?;
                continue;
            }
            // Each pass's gradient is summed up by itself, then added: so sums round as they always have.
            let of_pass = match &mut of_pass {
                Some(of_pass) => {
                    of_pass.clear()?;
                    of_pass
                }
                none => none.insert(self.weights.zeros_like()?),
            };
            tape.backward(self.weights, grad, of_pass)?;
            sum.add(of_pass, 1.0)?;
        }
        self.own.add_gradients(&leaf_gradients, &mut sum)?;
        Ok(sum)
    }
}
