//! Do cheaper estimates of a_j rank the instances as the exact one does? Each is compared with the
//! exact a_j of the same step, along real δ-SAM training.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use mirror::encoder::{PackedBatch, Parameters, Pass};
use mirror::objective::{Draws, HashedDraws, nt_xent};
use mirror::perturb::Restriction;
use mirror::perturb::delta_sam::DeltaSam;
use mirror::random::Key;
use sts_eval::correlation::spearman;

use crate::setting::{Setting, TEMPERATURE};

const RHO: f64 = 0.05;

pub fn run(setting: &Setting) -> Result<()> {
    let model = setting.load()?;
    let batches = setting.batches(&model, setting.steps)?;
    let perturbation = DeltaSam { rho: RHO, beta: 3.0, restriction: Restriction::All };
    let mut trainer = setting.trainer(&model.encoder, &model.parameters, Box::new(perturbation))?;
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (i, batch) in batches.iter().enumerate() {
        let draws = HashedDraws::new(setting.seed, i as u64 + 1);
        let at = At { model: &model, weights: &trainer.weights, batch, pass: setting.pass(&draws), draws };
        for (name, value) in at.compare()? {
            found.entry(name).or_default().push(value);
        }
        let report = trainer.step(batch)?;
        println!("step {} loss {:.4} readings {:?}", report.step, report.loss, report.readings);
        for (name, values) in &found {
            let last = values.last().copied().unwrap_or(f64::NAN);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            println!("  {name:40} {last:8.3}  mean {mean:8.3}");
        }
    }
    Ok(())
}

struct At<'a> {
    model: &'a mirror::sentence_encoder::SentenceEncoder,
    weights: &'a Parameters,
    batch: &'a PackedBatch,
    pass: Pass,
    draws: HashedDraws,
}

impl At<'_> {
    fn embed(&self, weights: &Parameters) -> Result<Tensor> {
        Ok(self.model.encoder.embed(weights, self.batch, None, &self.pass)?.to_dtype(DType::F64)?)
    }

    fn losses(&self, embeddings: &Tensor) -> Result<Vec<f64>> {
        Ok(nt_xent::instance_losses(embeddings, TEMPERATURE)?.to_vec1()?)
    }

    /// The direction with groups outside `groups` set to 0.
    fn only(&self, direction: &Parameters, groups: std::ops::Range<usize>) -> Result<Parameters> {
        let flats = direction
            .flats()
            .iter()
            .enumerate()
            .map(|(g, flat)| if groups.contains(&g) { Ok(flat.clone()) } else { flat.zeros_like() })
            .collect::<candle_core::Result<_>>()?;
        Ok(Parameters::from_flats(direction.layout().clone(), flats)?)
    }

    fn compare(&self) -> Result<Vec<(String, f64)>> {
        let layers = self.weights.flats().len() - 1;
        let direction = self.draws.direction(self.weights)?;
        let scale = RHO / direction.norm()?;
        let clean = self.embed(self.weights)?;
        let losses = self.losses(&clean)?;
        let n = losses.len();
        let difference = |embeddings: &Tensor| -> Result<Vec<f64>> {
            Ok(self.losses(embeddings)?.iter().zip(&losses).map(|(a, b)| a - b).collect())
        };
        let moved = self.embed(&self.weights.plus(&direction, scale)?)?;
        let exact = difference(&moved)?;
        let mut out = Vec::new();
        let mut add = |name: &str, a: &[f64]| {
            out.push((name.to_owned(), spearman_abs(&exact, a)));
        };
        add("1 exact, -rho", &difference(&self.embed(&self.weights.plus(&direction, -scale)?)?)?);
        add("1 exact, 10 rho", &difference(&self.embed(&self.weights.plus(&direction, 10.0 * scale)?)?)?);
        let tangent = (&moved - &clean)?;
        let view1 = tangent.narrow(0, 0, n)?;
        add(
            "2 view 1 only, view 2 moves alike",
            &difference(&(&clean + Tensor::cat(&[&view1, &view1], 0)?)?)?,
        );
        let mean = tangent.mean_keepdim(0)?;
        add("2 common tangent only", &difference(&clean.broadcast_add(&mean)?)?);
        add("2 own tangent only", &difference(&(&clean + tangent.broadcast_sub(&mean)?)?)?);
        for k in 1..layers {
            let part = self.only(&direction, layers + 1 - k..layers + 1)?;
            let moved = self.embed(&self.weights.plus(&part, scale)?)?;
            add(&format!("3 last {k} layers"), &difference(&moved)?);
            let t = (&moved - &clean)?.narrow(0, 0, n)?;
            add(&format!("4 last {k} layers, view 1"), &difference(&(&clean + Tensor::cat(&[&t, &t], 0)?)?)?);
        }
        let part = self.only(&direction, 0..1)?;
        add("3 embeddings only", &difference(&self.embed(&self.weights.plus(&part, scale)?)?)?);
        add("5 loss", &losses);
        let gradients = gradient_norms(&clean)?;
        add("5 gradient norm in embedding space", &gradients);
        let mut random = vec![0.0; n];
        for k in 0..16 {
            let r = random_tangent(&clean, Key::new(99).at(k))?;
            let a = difference(&(&clean + (r * 1e-4)?)?)?;
            if k == 0 {
                add("6 one random tangent", &a);
            }
            random.iter_mut().zip(&a).for_each(|(r, a)| *r += a * a);
        }
        add("6 16 random tangents, rms", &random);
        let mut rms = vec![0.0; n];
        for k in 0..4 {
            let other = HashedDraws::new(1000 + k, 1).direction(self.weights)?;
            let a = difference(&self.embed(&self.weights.plus(&other, scale)?)?)?;
            if k == 0 {
                add("7 exact, another direction", &a);
            }
            rms.iter_mut().zip(&a).for_each(|(r, a)| *r += a * a);
        }
        add("7 exact, rms of 4 other directions", &rms);
        let abs: f64 = exact.iter().map(|a| a.abs()).sum::<f64>() / n as f64;
        out.push(("0 mean |a| x 1e6".into(), abs * 1e6));
        Ok(out)
    }
}

fn spearman_abs(a: &[f64], b: &[f64]) -> f64 {
    let abs = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
    spearman(&abs(a), &abs(b)).unwrap_or(f64::NAN)
}

/// ‖∂l_j/∂E‖ for each instance, one backward each.
fn gradient_norms(embeddings: &Tensor) -> Result<Vec<f64>> {
    let leaf = candle_core::Var::from_tensor(embeddings)?;
    let losses = nt_xent::instance_losses(leaf.as_tensor(), TEMPERATURE)?;
    (0..losses.dim(0)?)
        .map(|j| {
            let gradients = losses.get(j)?.backward()?;
            let gradient = gradients.get(leaf.as_tensor()).ok_or(anyhow::anyhow!("no gradient"))?;
            // Relative to each embedding's length, as cosines are.
            let norms = embeddings.sqr()?.sum_keepdim(1)?;
            Ok(gradient.sqr()?.broadcast_mul(&norms)?.sum_all()?.to_scalar::<f64>()?.sqrt())
        })
        .collect()
}

fn random_tangent(like: &Tensor, key: Key) -> Result<Tensor> {
    let (n, hidden) = like.dims2()?;
    let values: Vec<f64> =
        (0..n).flat_map(|i| (0..hidden as u32).map(move |c| key.at(i as u64).normal(c))).collect();
    Ok(Tensor::from_vec(values, (n, hidden), &Device::Cpu)?)
}
