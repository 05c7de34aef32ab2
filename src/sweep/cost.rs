//! How long cells take: what those before them took, and before any is finished what their steps cost beside one another.

use std::collections::BTreeMap;

use super::{Cell, State};
use crate::regularization::Composition;

/// Times of finished cells, by what they were regularized with.
pub struct Clock {
    measured: BTreeMap<String, f64>,
    /// Seconds of a cell whose steps cost 1, over all finished ones.
    unit: Option<f64>,
}

impl Clock {
    /// From what a sweep's finished cells took.
    pub fn of(state: &State) -> Self {
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let mut all = (0.0, 0.0);
        for (name, result) in &state.results {
            let Some(cell) = state.plan.cells.get(name) else { continue };
            let seconds = result.seconds.training + result.seconds.scoring;
            let own = sums.entry(cell.options.regularization.reg.clone()).or_default();
            *own = (own.0 + seconds, own.1 + 1.0);
            all = (all.0 + seconds, all.1 + passes(cell));
        }
        Clock {
            measured: sums.into_iter().map(|(reg, (seconds, cells))| (reg, seconds / cells)).collect(),
            unit: (all.1 > 0.0).then(|| all.0 / all.1),
        }
    }

    /// The seconds that a cell will take; `None` before any was measured.
    pub fn seconds(&self, cell: &Cell) -> Option<f64> {
        let measured = self.measured.get(&cell.options.regularization.reg).copied();
        measured.or_else(|| Some(self.unit? * passes(cell)))
    }

    /// What a cell costs, in runs of plain training.
    pub fn relative(cell: &Cell) -> f64 {
        passes(cell) / 3.0
    }
}

/// Forward passes of a step; a way back counts as two (docs/regularizers.md). What is not known costs a pass and its way
/// back.
fn passes(cell: &Cell) -> f64 {
    let options = &cell.options.regularization;
    let Ok(Composition { perturbation, terms }) = Composition::parse(&options.reg) else { return 3.0 };
    let steps = options.terms.free_lb.freelb_steps as f64;
    let term = |name: &&str| if *name == "freelb" { steps } else { 1.0 };
    let extra: f64 = terms.iter().map(term).sum();
    let once: f64 = terms
        .iter()
        .map(|name| match *name {
            "freelb" => 3.0 * (steps - 1.0),
            "smart" => 4.0,
            _ => 0.0,
        })
        .sum();
    let evaluation = 3.0 * (1.0 + extra);
    let perturbed = match perturbation {
        None => 0.0,
        Some("delta-sam") => evaluation + 1.0 + extra,
        Some("sam-instance") => evaluation * cell.options.batch_size as f64,
        Some(_) => evaluation,
    };
    once + evaluation + perturbed / options.perturbation.perturb_every.max(1) as f64
}
