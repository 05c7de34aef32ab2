//! What share of a_j is dropout noise, when its two passes share their masks and when
//! they draw new ones?

use anyhow::Result;
use candle_core::DType;
use mirror::encoder::{PackedBatch, Parameters, Pass};
use mirror::objective::{Distributions, Draws, HashedDraws};
use mirror::sentence_encoder::SentenceEncoder;
use sts_eval::correlation::spearman;

use crate::setting::{Setting, TEMPERATURE, absolute, mean};

const RHO: f64 = 0.05;
/// Draws of masks for each batch.
const DRAWS: u64 = 4;

pub fn run(setting: &Setting) -> Result<()> {
    let model = setting.load()?;
    let (mut shared, mut redrawn) = (Rows::default(), Rows::default());
    for (i, batch) in setting.batches(&model, setting.steps)?.iter().enumerate() {
        let draws = HashedDraws::new(setting.seed, i as u64 + 1);
        let direction = draws.direction(&model.parameters)?;
        let moved = model.parameters.plus(&direction, RHO / direction.norm()?)?;
        let a = |clean: &Pass, perturbed: &Pass| difference(&model, &moved, batch, clean, perturbed);
        let (mut with_shared, mut with_redrawn) = (Vec::new(), Vec::new());
        for k in 0..DRAWS {
            let pass = setting.pass(&draws);
            let clean = Pass { key: pass.key.at(2 * k), ..pass };
            let other = Pass { key: pass.key.at(2 * k + 1), ..pass };
            with_shared.push(a(&clean, &clean)?);
            with_redrawn.push(a(&clean, &other)?);
        }
        let without = a(&Pass::inference(), &Pass::inference())?;
        shared.add(&with_shared, &without);
        redrawn.add(&with_redrawn, &without);
    }
    println!(
        "| masks of the two passes | mean \\|a\\| | share of a's variance that is the masks' | Spearman of \\|a\\| between two draws of masks | with \\|a\\| without dropout |"
    );
    println!("|---|---|---|---|---|");
    shared.print("shared (ours)");
    redrawn.print("redrawn");
    Ok(())
}

/// a_j between two passes.
fn difference(
    model: &SentenceEncoder,
    moved: &Parameters,
    batch: &PackedBatch,
    clean: &Pass,
    perturbed: &Pass,
) -> Result<Vec<f64>> {
    let losses = |weights: &Parameters, pass: &Pass| -> Result<Vec<f64>> {
        let embeddings = model.encoder.embed(weights, batch, None, pass)?.to_dtype(DType::F64)?;
        Ok(Distributions::of(&embeddings, TEMPERATURE, &[])?.losses()?.to_vec1()?)
    };
    let (moved, clean) = (losses(moved, perturbed)?, losses(&model.parameters, clean)?);
    Ok(moved.iter().zip(&clean).map(|(moved, clean)| moved - clean).collect())
}

/// A value a batch.
#[derive(Default)]
struct Rows {
    size: Vec<f64>,
    share: Vec<f64>,
    between: Vec<f64>,
    without: Vec<f64>,
}

impl Rows {
    /// `draws` holds a_j for each draw of masks.
    fn add(&mut self, draws: &[Vec<f64>], without: &[f64]) {
        let all: Vec<f64> = draws.concat();
        let n = without.len();
        let of_instance = |j: usize| draws.iter().map(|a| a[j]).collect::<Vec<_>>();
        // The unbiased variance within an instance, over that of all values.
        let within: f64 = (0..n).map(|j| variance(&of_instance(j))).sum::<f64>() / n as f64;
        self.share.push((within / variance(&all)).min(1.0));
        self.size.push(mean(&absolute(&all)));
        let rank = |a: &[f64], b: &[f64]| spearman(&absolute(a), &absolute(b)).unwrap_or(f64::NAN);
        self.between.push(rank(&draws[0], &draws[1]));
        self.without.push(mean(&draws.iter().map(|a| rank(a, without)).collect::<Vec<_>>()));
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {:.2e} | {:.1} % | {:.2} | {:.2} |",
            mean(&self.size),
            100.0 * mean(&self.share),
            mean(&self.between),
            mean(&self.without)
        );
    }
}

/// Unbiased.
fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>() / (values.len() as f64 - 1.0)
}
