//! How sharp the loss is around given weights, measured four ways on the batches that training would see:
//! along SAM's ascent, along δ-SAM's, along random directions, and, exactly and instance by instance, along
//! each instance's own gradient (Eq. 2 of the paper, the thing that the others stand for).
//!
//! Every quantity is a rise of the loss, l(w + ε) − l(w) with ‖ε‖ = ρ, under the same dropout masks on both
//! sides. [`curve`] follows the loss along these directions on either side of w, [`plot`] draws it.

use candle_core::Result;
use serde::Serialize;
use sts_eval::Interval;
use sts_eval::correlation::spearman;

use crate::batch::{PackedBatch, Pass};
use crate::encoder::Encoder;
use crate::objective::{Contrastive, HashedDraws, Loss, Step};
use crate::perturb::delta_sam::{DeltaSam, InstanceWeights};
use crate::perturb::sam::ascended;
use crate::perturb::{Problem, Restriction};
use crate::random::{Key, Site};
use crate::weights::Parameters;

pub mod curve;
mod interval;
pub mod plot;

pub use curve::{Curve, Series};

/// What is measured, and how finely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// ρ, the length of every perturbation.
    pub rho: f64,
    /// δ-SAM's β.
    pub beta: f64,
    /// Random directions for each batch, at least 1; δ-SAM's weights come from the first.
    pub directions: usize,
    /// Instances, over all batches, whose own sharpness is measured exactly.
    pub instances: usize,
    /// Of directions, dropout, the sample and the intervals.
    pub seed: u64,
    /// τ of NT-Xent.
    pub temperature: f64,
    /// Shared by all passes over a batch; 0 for none.
    pub dropout: f64,
}

/// The measured rises of the loss. Intervals are over the instances.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sharpness {
    /// Mean loss at w.
    pub loss: Interval,
    /// R_batch: the mean loss's rise along its own gradient, as SAM perturbs.
    pub batch: Interval,
    /// R_s: the mean loss's rise along the gradient of the loss weighted by g', as δ-SAM perturbs.
    pub weighted: Interval,
    /// The mean of a_j, the rise along a random direction, over instances and directions.
    pub random: Interval,
    /// The mean of |a_j| over instances and directions.
    pub random_absolute: Interval,
    /// R_inst: the mean over the sampled instances of l_j's rise along its own gradient.
    pub instance: Interval,
    /// Spearman's ρ of |a_j| along one direction, as δ-SAM draws it, with the instances' own sharpness.
    pub ranking: Option<Interval>,
    /// The same with the mean of |a_j| over all directions.
    pub ranking_by_mean: Option<Interval>,
    /// The same with the loss l_j itself, which costs nothing.
    pub ranking_by_loss: Option<Interval>,
    /// Batches that were measured on.
    pub batches: usize,
    /// Instances in all batches.
    pub instances: usize,
    /// Instances whose own sharpness was measured.
    pub sampled: usize,
}

/// What a measurement is about: an encoder at given weights.
pub struct Measured<'a> {
    /// Configuration and pooling.
    pub encoder: &'a Encoder,
    /// w, where the loss is measured.
    pub weights: &'a Parameters,
    /// What is measured, and how finely.
    pub settings: Settings,
}

/// One value for each instance of all batches, in order.
#[derive(Default)]
struct Rises {
    loss: Vec<f64>,
    batch: Vec<f64>,
    weighted: Vec<f64>,
    /// Along the first direction.
    first: Vec<f64>,
    random: Vec<f64>,
    random_absolute: Vec<f64>,
    /// Places of the sampled instances among all, and their own sharpness.
    sampled: Vec<usize>,
    instance: Vec<f64>,
}

impl Measured<'_> {
    /// Measures on batches of 2N sequences, at least one. `done` is called as each batch and each sampled
    /// instance is through.
    pub fn sharpness(&self, batches: &[PackedBatch], mut done: impl FnMut()) -> Result<Sharpness> {
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.len() / 2).collect();
        let samples = sample(&sizes, self.settings.instances, self.settings.seed);
        let mut rises = Rises::default();
        for (number, (batch, sample)) in batches.iter().zip(&samples).enumerate() {
            self.measure(number as u64 + 1, batch, sample, &mut rises, &mut done)?;
        }
        Ok(self.summarise(&rises, batches.len()))
    }

    fn pass(&self, draws: &HashedDraws) -> Pass {
        let dropout = self.settings.dropout;
        Pass { key: draws.pass_key(), hidden_dropout: dropout, attention_dropout: dropout, drophead: 0.0 }
    }

    /// The draws of batch `number` (from 1) for its `k`-th direction; k = 0 are those of a training step.
    fn draws(&self, number: u64, k: u64) -> HashedDraws {
        let seed = self.settings.seed;
        HashedDraws::new(if k == 0 { seed } else { Key::new(seed).at(k).bits64() }, number)
    }

    fn measure(
        &self,
        number: u64,
        batch: &PackedBatch,
        sample: &[usize],
        rises: &mut Rises,
        done: &mut impl FnMut(),
    ) -> Result<()> {
        let Settings { rho, beta, temperature, .. } = self.settings;
        let (loss, objective) = (Loss::default(), Contrastive::new(temperature));
        let draws = self.draws(number, 0);
        let pass = self.pass(&draws);
        let step = Step { encoder: self.encoder, batch, pass, draws: &draws, objective: &objective };
        let problem = Problem { loss: &loss, step: &step };
        let evaluation = problem.evaluate(self.weights)?;
        let clean = &evaluation.instance_losses;
        let n = clean.len();

        let delta_sam = DeltaSam { rho, beta, restriction: Restriction::All };
        let (mut random, mut random_absolute) = (vec![0.0; n], vec![0.0; n]);
        let mut first = Vec::new();
        for k in 0..self.settings.directions {
            let draws = self.draws(number, k as u64);
            let step = Step { encoder: self.encoder, batch, pass, draws: &draws, objective: &objective };
            let a = delta_sam.loss_changes(&Problem { loss: &loss, step: &step }, self.weights, clean)?;
            for (j, a) in a.iter().enumerate() {
                random[j] += a / self.settings.directions as f64;
                random_absolute[j] += a.abs() / self.settings.directions as f64;
            }
            if k == 0 {
                first = a;
            }
        }

        let rise_along = |gradient: Parameters| -> Result<Vec<f64>> {
            let perturbed = ascended(self.weights, gradient, rho)?;
            let there = problem.instance_losses(&perturbed)?;
            Ok(there.iter().zip(clean).map(|(there, clean)| there - clean).collect())
        };
        rises.batch.extend(rise_along(evaluation.mean_gradient()?)?);
        let g_prime = InstanceWeights::new(&first, beta).g_prime;
        rises.weighted.extend(rise_along(evaluation.gradient(&g_prime)?)?);
        done();
        for &j in sample {
            let mut only = vec![0.0; n];
            only[j] = 1.0;
            rises.instance.push(rise_along(evaluation.gradient(&only)?)?[j]);
            rises.sampled.push(rises.loss.len() + j);
            done();
        }
        rises.loss.extend(clean);
        rises.first.extend(first);
        rises.random.extend(random);
        rises.random_absolute.extend(random_absolute);
        Ok(())
    }

    fn summarise(&self, rises: &Rises, batches: usize) -> Sharpness {
        let key = Key::new(self.settings.seed).site(Site::Measurement);
        let mean = |values: &[f64]| interval::of_mean(values, key);
        let ranking = |by: &[f64]| {
            let by: Vec<f64> = rises.sampled.iter().map(|&j| by[j].abs()).collect();
            interval::of_pairs(&by, &rises.instance, key, spearman)
        };
        Sharpness {
            loss: mean(&rises.loss),
            batch: mean(&rises.batch),
            weighted: mean(&rises.weighted),
            random: mean(&rises.random),
            random_absolute: mean(&rises.random_absolute),
            instance: mean(&rises.instance),
            ranking: ranking(&rises.first),
            ranking_by_mean: ranking(&rises.random_absolute),
            ranking_by_loss: ranking(&rises.loss),
            batches,
            instances: rises.loss.len(),
            sampled: rises.sampled.len(),
        }
    }
}

/// `count` different instances of batches with `sizes` instances (all, where there are fewer): places within
/// each batch, ascending. A function of the seed.
fn sample(sizes: &[usize], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let key = Key::new(seed).site(Site::Measurement);
    let mut places: Vec<(u64, usize, usize)> = sizes
        .iter()
        .enumerate()
        .flat_map(|(b, &n)| (0..n).map(move |j| (key.at(b as u64).at(j as u64).bits64(), b, j)))
        .collect();
    places.sort_unstable();
    places.truncate(count);
    let mut chosen = vec![Vec::new(); sizes.len()];
    places.into_iter().for_each(|(_, batch, instance)| chosen[batch].push(instance));
    chosen.iter_mut().for_each(|instances| instances.sort_unstable());
    chosen
}

#[cfg(test)]
mod tests;
