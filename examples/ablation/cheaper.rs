//! Do cheaper estimates of a_j rank the instances as the exact one does? Each is compared with the
//! exact a_j of the same step and the same direction, along real δ-SAM training.

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use mirror::encoder::{PackedBatch, Parameters, Pass};
use mirror::objective::{Contrastive, Distributions, Draws, HashedDraws};
use mirror::perturb::Restriction;
use mirror::perturb::delta_sam::DeltaSam;
use mirror::random::Key;
use mirror::sentence_encoder::SentenceEncoder;
use sts_eval::correlation::spearman;

use crate::setting::{Setting, TEMPERATURE, absolute, mean};

const RHO: f64 = 0.05;

/// An estimate, what it costs, and its Spearman correlation with the exact |a_j| in each step.
struct Estimate {
    name: String,
    /// In forward passes, where the exact one is 1.
    cost: f64,
    agreement: Vec<f64>,
}

pub fn run(setting: &Setting) -> Result<()> {
    let model = setting.load()?;
    let perturbation = DeltaSam { rho: RHO, beta: 3.0, restriction: Restriction::All };
    let mut weights = model.parameters.copy()?;
    let mut trainer = setting.trainer(&model.encoder, &model.parameters, Box::new(perturbation))?;
    let mut estimates: Vec<Estimate> = Vec::new();
    for (i, batch) in setting.batches(&model, setting.steps)?.iter().enumerate() {
        let draws = HashedDraws::new(setting.seed, i as u64 + 1);
        let at = At { model: &model, weights: &weights, batch, pass: setting.pass(&draws), draws };
        for (k, (name, cost, agreement)) in at.estimates()?.into_iter().enumerate() {
            if i == 0 {
                estimates.push(Estimate { name, cost, agreement: Vec::new() });
            }
            estimates[k].agreement.push(agreement);
        }
        let report = trainer.step(&mut weights, batch, &Contrastive::new(TEMPERATURE))?;
        eprintln!("step {}: loss {:.4}", report.step, report.loss);
    }
    println!("| estimate of a_j | forward passes | Spearman with the exact \\|a_j\\|, mean | least |");
    println!("|---|---|---|---|");
    for Estimate { name, cost, agreement } in &estimates {
        let least = agreement.iter().copied().fold(f64::INFINITY, f64::min);
        println!("| {name} | {cost:.2} | {:.2} | {least:.2} |", mean(agreement));
    }
    Ok(())
}

struct At<'a> {
    model: &'a SentenceEncoder,
    weights: &'a Parameters,
    batch: &'a PackedBatch,
    pass: Pass,
    draws: HashedDraws,
}

impl At<'_> {
    /// Name, cost and agreement of each.
    fn estimates(&self) -> Result<Vec<(String, f64, f64)>> {
        let layers = self.weights.flats().len() - 1;
        let direction = self.draws.direction(self.weights)?;
        let scale = RHO / direction.norm()?;
        let clean = self.embed(self.weights)?;
        let losses = losses(&clean)?;
        let n = losses.len();
        let rise = |embeddings: &Tensor| -> Result<Vec<f64>> {
            Ok(self::losses(embeddings)?.iter().zip(&losses).map(|(there, clean)| there - clean).collect())
        };
        let moved = |direction: &Parameters, scale| self.embed(&self.weights.plus(direction, scale)?);
        let exact_embeddings = moved(&direction, scale)?;
        let exact = rise(&exact_embeddings)?;
        let mut found = Vec::new();
        let mut add = |name: &str, cost: f64, a: &[f64]| {
            let agreement = spearman(&absolute(&exact), &absolute(a)).unwrap_or(f64::NAN);
            found.push((name.to_owned(), cost, agreement));
        };
        // How far rounding and curvature disturb the exact one.
        add("exact, along −ε̂", 1.0, &rise(&moved(&direction, -scale)?)?);
        add("exact, ten times as far", 1.0, &rise(&moved(&direction, 10.0 * scale)?)?);
        for last in 1..layers {
            let part = only(&direction, layers + 1 - last..layers + 1)?;
            let cost = last as f64 / layers as f64;
            add(&format!("direction in the last {last} layers"), cost, &rise(&moved(&part, scale)?)?);
        }
        add("direction in the embeddings", 1.0, &rise(&moved(&only(&direction, 0..1)?, scale)?)?);
        let tangent = (&exact_embeddings - &clean)?.narrow(0, 0, n)?;
        let both = Tensor::cat(&[&tangent, &tangent], 0)?;
        add("first views alone, second views moved alike", 0.5, &rise(&(&clean + both)?)?);
        add("random displacements of the embeddings", 0.0, &rise(&displaced(&clean)?)?);
        add("length of l_j's gradient in the embeddings", 0.0, &gradient_norms(&clean)?);
        add("the loss l_j", 0.0, &losses);
        let other = HashedDraws::new(self.draws.pass_key().bits64(), 0).direction(self.weights)?;
        add("exact, along another ε̂", 1.0, &rise(&moved(&other, scale)?)?);
        Ok(found)
    }

    /// `[2N, hidden]`, f64.
    fn embed(&self, weights: &Parameters) -> Result<Tensor> {
        Ok(self.model.encoder.embed(weights, self.batch, None, &self.pass)?.to_dtype(DType::F64)?)
    }
}

fn losses(embeddings: &Tensor) -> Result<Vec<f64>> {
    Ok(Distributions::of(embeddings, TEMPERATURE, &[])?.losses()?.to_vec1()?)
}

/// The direction with the other groups (0: embeddings, 1 + l: layer l) set to 0.
fn only(direction: &Parameters, groups: std::ops::Range<usize>) -> Result<Parameters> {
    let mut flats = Vec::new();
    for (g, flat) in direction.flats().iter().enumerate() {
        flats.push(if groups.contains(&g) { flat.clone() } else { flat.zeros_like()? });
    }
    Ok(Parameters::from_flats(direction.layout().clone(), flats)?)
}

/// Embeddings moved by independent normal noise, as short as what a direction in weight space does.
fn displaced(embeddings: &Tensor) -> Result<Tensor> {
    let (n, hidden) = embeddings.dims2()?;
    let key = Key::new(0);
    let values: Vec<f64> =
        (0..n).flat_map(|i| (0..hidden as u32).map(move |c| 1e-4 * key.at(i as u64).normal(c))).collect();
    Ok((embeddings + Tensor::from_vec(values, (n, hidden), &Device::Cpu)?)?)
}

/// ‖∂l_j/∂E‖ for each instance, each embedding's part times its length, as cosines do not see lengths.
fn gradient_norms(embeddings: &Tensor) -> Result<Vec<f64>> {
    let leaf = Var::from_tensor(embeddings)?;
    let losses = Distributions::of(leaf.as_tensor(), TEMPERATURE, &[])?.losses()?;
    let lengths = embeddings.sqr()?.sum_keepdim(1)?;
    let mut norms = Vec::new();
    for j in 0..losses.dim(0)? {
        let gradients = losses.get(j)?.backward()?;
        let gradient = gradients.get(leaf.as_tensor()).ok_or_else(|| anyhow::anyhow!("no gradient"))?;
        norms.push(gradient.sqr()?.broadcast_mul(&lengths)?.sum_all()?.to_scalar::<f64>()?.sqrt());
    }
    Ok(norms)
}
