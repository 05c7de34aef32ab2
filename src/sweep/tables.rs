//! The table's rows, from whatever is finished.

use std::path::Path;

use sts_eval::seeds::{SeedRow, SeedRun};

use super::{Choice, State, SweepError};

/// The rows that have runs, and what to say of those that lack some.
///
/// # Errors
/// Ranks that cannot be read.
pub fn rows(folder: &Path, state: &State) -> Result<(Vec<SeedRow>, Vec<String>), SweepError> {
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for row in &state.plan.rows {
        let place = match state.choice(row) {
            Choice::Chosen(place) => place,
            Choice::Open => {
                notes.push(format!("{}: its values are not chosen yet.", row.name));
                continue;
            }
            Choice::Impossible => {
                notes.push(format!("{}: no values could be chosen, since their cells failed.", row.name));
                continue;
            }
        };
        let candidate = &row.candidates[place];
        let mut runs = Vec::new();
        for seed in &state.plan.seeds {
            let Some(name) = candidate.cells.get(seed) else { continue };
            if let Some(result) = state.results.get(name).filter(|_| is_scored(state, name)) {
                let ranks = result.ranks(folder, name)?;
                let wanted = state.plan.test.iter().map(super::SetName::name);
                let scored = wanted.filter_map(|set| ranks.iter().find(|task| task.name == set).cloned());
                runs.push(SeedRun { seed: *seed, scored: scored.collect() });
            }
        }
        if runs.len() < state.plan.seeds.len() {
            let (made, all) = (runs.len(), state.plan.seeds.len());
            notes.push(format!("{}: {made} of {all} runs are finished.", row.name));
        }
        if !runs.is_empty() {
            let (name, against) = (row.name.clone(), row.against.clone());
            rows.push(SeedRow { name, settings: settings(state, row, place), against, runs });
        }
    }
    Ok((rows, notes))
}

fn is_scored(state: &State, name: &str) -> bool {
    let result = state.results.get(name);
    result.is_some_and(|result| state.plan.test.iter().all(|set| result.test.contains_key(&set.name())))
}

/// The chosen values, and what each candidate had on the dev set.
fn settings(state: &State, row: &super::PlannedRow, place: usize) -> String {
    if row.candidates.len() == 1 {
        return row.candidates[0].shown();
    }
    let scores = row.candidates.iter().map(|candidate| match state.tuned(candidate) {
        Some(score) => format!("{}: {score:.2}", candidate.shown()),
        None => format!("{}: failed", candidate.shown()),
    });
    let scores: Vec<String> = scores.collect();
    format!(
        "{} (chosen by {}, of {})",
        row.candidates[place].shown(),
        state.plan.dev.name(),
        scores.join("; ")
    )
}
