//! Short training runs with each perturbation, scored.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use mirror::objective::Contrastive;
use mirror::perturb::delta_sam::DeltaSam;
use mirror::perturb::plain::Plain;
use mirror::perturb::sam::Sam;
use mirror::perturb::{Restriction, WeightPerturbation};
use mirror::sentence_encoder::SentenceEncoder;
use sts_eval::{SentEval, Task};

use crate::setting::{Setting, TEMPERATURE, mean};

#[derive(Args, Clone, Debug)]
pub struct Runs {
    /// Runs of each kind, with seeds of their own
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// STS data in SentEval's layout: score on STS-B dev [default: the built-in pairs]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Leave out all but none, sam and delta-sam with their defaults
    #[arg(long)]
    few: bool,
}

/// Perturbation, ρ, β.
const KINDS: [(&str, f64, f64); 9] = [
    ("none", 0.0, 0.0),
    ("sam", 0.05, 0.0),
    ("delta-sam", 0.05, 3.0),
    ("sam", 0.01, 0.0),
    ("sam", 0.2, 0.0),
    ("delta-sam", 0.01, 3.0),
    ("delta-sam", 0.2, 3.0),
    ("delta-sam", 0.05, 30.0),
    ("delta-sam", 0.2, 30.0),
];

pub fn run(setting: &Setting, runs: &Runs) -> Result<()> {
    let model = setting.load()?;
    let task = match &runs.data {
        Some(folder) => SentEval::open(folder)?.sts_b_dev()?,
        None => mirror::builtin::pairs()?,
    };
    let before = score(&model, &task)?;
    println!("{} before training: {before:.2}\n", task.name);
    println!("| --reg | ρ | β | score, each seed | mean | − none, mean | loss of the last step |");
    println!("|---|---|---|---|---|---|---|");
    let kinds = if runs.few { &KINDS[..3] } else { &KINDS[..] };
    let mut plain = Vec::new();
    for &(name, rho, beta) in kinds {
        let (mut scores, mut losses) = (Vec::new(), Vec::new());
        for seed in 0..runs.seeds {
            let setting = Setting { seed: setting.seed + seed, ..setting.clone() };
            let (score, loss) = train(&setting, &model, &task, perturbation(name, rho, beta))?;
            scores.push(score);
            losses.push(loss);
        }
        if name == "none" {
            plain = scores.clone();
        }
        let gain: Vec<f64> = scores.iter().zip(&plain).map(|(score, plain)| score - plain).collect();
        let each = scores.iter().map(|s| format!("{s:.2}")).collect::<Vec<_>>().join(" ");
        let value = |applies, value: f64| if applies { value.to_string() } else { String::new() };
        println!(
            "| {name} | {} | {} | {each} | {:.2} | {:+.2} | {:.4} |",
            value(name != "none", rho),
            value(name == "delta-sam", beta),
            mean(&scores),
            mean(&gain),
            mean(&losses)
        );
    }
    Ok(())
}

fn perturbation(name: &str, rho: f64, beta: f64) -> Box<dyn WeightPerturbation> {
    let restriction = Restriction::All;
    match name {
        "sam" => Box::new(Sam { rho, restriction }),
        "delta-sam" => Box::new(DeltaSam { rho, beta, restriction }),
        _ => Box::new(Plain),
    }
}

/// Score and last loss after the setting's steps.
fn train(
    setting: &Setting,
    model: &SentenceEncoder,
    task: &Task,
    perturbation: Box<dyn WeightPerturbation>,
) -> Result<(f64, f64)> {
    let mut weights = model.parameters.copy()?;
    let mut trainer = setting.trainer(&model.encoder, &model.parameters, perturbation)?;
    let mut loss = f64::NAN;
    for batch in setting.batches(model, setting.steps)? {
        loss = trainer.step(&mut weights, &batch, &Contrastive::new(TEMPERATURE))?.loss;
    }
    let trained = SentenceEncoder { parameters: weights, ..model.clone() };
    Ok((score(&trained, task)?, loss))
}

fn score(model: &SentenceEncoder, task: &Task) -> Result<f64> {
    Ok(sts_eval::evaluate_task(task, model)?.score().spearman.unwrap_or(f64::NAN))
}
