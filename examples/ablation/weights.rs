//! What β does to the instances' weights and to the ascent, and what clamping negative weights would.

use anyhow::Result;
use mirror::encoder::Parameters;
use mirror::objective::{Contrastive, Evaluation, HashedDraws, Loss, Step, mean as mean_of};
use mirror::perturb::delta_sam::{DeltaSam, InstanceWeights};
use mirror::perturb::sam::normalised;
use mirror::perturb::{Problem, Restriction};

use crate::setting::{Setting, TEMPERATURE, mean};

const RHO: f64 = 0.05;
/// 0 is SAM; 3 to 70 is the range of the paper's table 3.
const BETAS: [f64; 7] = [0.0, 1.0, 3.0, 5.0, 10.0, 30.0, 70.0];

pub fn run(setting: &Setting) -> Result<()> {
    let model = setting.load()?;
    let mut rows: Vec<Row> = BETAS.iter().map(|_| Row::default()).collect();
    for (i, batch) in setting.batches(&model, setting.steps)?.iter().enumerate() {
        let (loss, objective) = (Loss::default(), Contrastive::new(TEMPERATURE));
        let draws = HashedDraws::new(setting.seed, i as u64 + 1);
        let pass = setting.pass(&draws);
        let step = Step { encoder: &model.encoder, batch, pass, draws: &draws, objective: &objective };
        let problem = Problem { loss: &loss, step: &step };
        let weights = &model.parameters;
        let at = At { problem: &problem, evaluation: problem.evaluate(weights)?, weights };
        let delta_sam = DeltaSam { rho: RHO, beta: 0.0, restriction: Restriction::All };
        let a = delta_sam.loss_changes(&problem, weights, &at.evaluation.instance_losses)?;
        let sam = at.evaluation.mean_gradient()?;
        for (row, &beta) in rows.iter_mut().zip(&BETAS) {
            row.add(&at, &sam, &InstanceWeights::new(&a, beta))?;
        }
    }
    println!(
        "| β | r | effective instances | share negative | R_s | cosine of the ascent to SAM's | effective, clamped | cosine of clamped to raw | R_s, clamped |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    BETAS.iter().zip(&rows).for_each(|(beta, row)| row.print(*beta));
    Ok(())
}

struct At<'a> {
    problem: &'a Problem<'a>,
    evaluation: Evaluation<'a>,
    weights: &'a Parameters,
}

impl At<'_> {
    /// The rise of the mean loss at w + ρ·gradient/‖gradient‖.
    fn rise(&self, gradient: &Parameters) -> Result<f64> {
        let perturbed = self.weights.plus(&normalised(gradient, RHO)?, 1.0)?;
        Ok(mean_of(&self.problem.instance_losses(&perturbed)?) - self.evaluation.mean_loss())
    }
}

/// A value a batch in each.
#[derive(Default)]
struct Row {
    r: Vec<f64>,
    effective: Vec<f64>,
    negative: Vec<f64>,
    rise: Vec<f64>,
    to_sam: Vec<f64>,
    effective_clamped: Vec<f64>,
    clamped_to_raw: Vec<f64>,
    rise_clamped: Vec<f64>,
}

impl Row {
    fn add(&mut self, at: &At, sam: &Parameters, weights: &InstanceWeights) -> Result<()> {
        let raw = &weights.g_prime;
        let negative = raw.iter().filter(|&&g| g < 0.0).count() as f64 / raw.len() as f64;
        let gradient = at.evaluation.gradient(raw)?;
        let rise = at.rise(&gradient)?;
        self.r.push(weights.r);
        self.effective.push(effective(raw));
        self.negative.push(negative);
        self.rise.push(rise);
        self.to_sam.push(cosine(&gradient, sam)?);
        let kept: Vec<f64> = raw.iter().map(|g| g.max(0.0)).collect();
        let sum: f64 = kept.iter().sum();
        let clamped: Vec<f64> = kept.iter().map(|g| g / sum).collect();
        self.effective_clamped.push(effective(&clamped));
        if negative == 0.0 {
            self.clamped_to_raw.push(1.0);
            self.rise_clamped.push(rise);
            return Ok(());
        }
        let other = at.evaluation.gradient(&clamped)?;
        self.clamped_to_raw.push(cosine(&gradient, &other)?);
        self.rise_clamped.push(at.rise(&other)?);
        Ok(())
    }

    fn print(&self, beta: f64) {
        println!(
            "| {beta} | {:.2} | {:.0} | {:.0} % | {:.4} | {:.3} | {:.0} | {:.3} | {:.4} |",
            mean(&self.r),
            mean(&self.effective),
            100.0 * mean(&self.negative),
            mean(&self.rise),
            mean(&self.to_sam),
            mean(&self.effective_clamped),
            mean(&self.clamped_to_raw),
            mean(&self.rise_clamped),
        );
    }
}

fn effective(weights: &[f64]) -> f64 {
    1.0 / weights.iter().map(|g| g * g).sum::<f64>()
}

/// From norms alone, which are summed in f64.
fn cosine(a: &Parameters, b: &Parameters) -> Result<f64> {
    let (a, b) = (normalised(a, 1.0)?, normalised(b, 1.0)?);
    let (sum, difference) = (a.plus(&b, 1.0)?.norm()?, a.plus(&b, -1.0)?.norm()?);
    Ok((sum * sum - difference * difference) / 4.0)
}
