//! A plan with the results that there are: what is chosen, and what is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Candidate, CellResult, Plan, PlannedRow, SweepError};

/// What there is of a sweep.
pub struct State {
    /// What is to be done.
    pub plan: Plan,
    /// Of cells that have one.
    pub results: BTreeMap<String, CellResult>,
    /// Cells that failed, with what they said.
    pub failed: BTreeMap<String, String>,
}

/// What is known of a row's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// The place of the candidate that the dev set prefers, or of the only one.
    Chosen(usize),
    /// Some candidate has no score yet.
    Open,
    /// All candidates failed.
    Impossible,
}

/// What a cell's folder is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The score on the dev set.
    pub dev: bool,
    /// The scores on the test sets.
    pub test: bool,
    /// Whether test sets may be wanted later: the row's values are not chosen yet.
    pub later: bool,
}

impl State {
    /// Reads the results that a sweep's folder has.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(folder: &Path, plan: Plan) -> Result<Self, SweepError> {
        let mut state = State { plan, results: BTreeMap::new(), failed: BTreeMap::new() };
        let names: Vec<String> = state.plan.cells.keys().cloned().collect();
        names.iter().try_for_each(|name| state.look_at(folder, name))?;
        Ok(state)
    }

    /// Reads what a cell has by now.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub fn look_at(&mut self, folder: &Path, name: &str) -> Result<(), SweepError> {
        let Some(cell) = self.plan.cells.get(name) else { return Ok(()) };
        match CellResult::read(folder, name, cell)? {
            Some(result) => self.results.insert(name.to_owned(), result),
            None => self.results.remove(name),
        };
        Ok(())
    }

    /// The dev score of a cell: `None` where it has none yet, and the lowest where it is undefined.
    fn dev_score(&self, name: &str) -> Option<f64> {
        let score = self.results.get(name)?.dev.get(&self.plan.dev.name())?;
        Some(score.unwrap_or(f64::NEG_INFINITY))
    }

    /// The mean dev score of a candidate over the seeds of tuning; `None` where one is missing.
    pub fn tuned(&self, candidate: &Candidate) -> Option<f64> {
        let scores: Option<Vec<f64>> =
            self.plan.tuning_seeds.iter().map(|seed| self.dev_score(candidate.cells.get(seed)?)).collect();
        scores.map(|scores| scores.iter().sum::<f64>() / scores.len() as f64)
    }

    fn has_failed(&self, candidate: &Candidate) -> bool {
        let tuning = self.plan.tuning_seeds.iter().filter_map(|seed| candidate.cells.get(seed));
        tuning.into_iter().any(|name| self.failed.contains_key(name) && self.dev_score(name).is_none())
    }

    /// What is chosen for a row: of equally good candidates the first one.
    pub fn choice(&self, row: &PlannedRow) -> Choice {
        if row.candidates.len() == 1 {
            return Choice::Chosen(0);
        }
        let mut best: Option<(usize, f64)> = None;
        for (place, candidate) in row.candidates.iter().enumerate() {
            match self.tuned(candidate) {
                Some(score) if best.is_none_or(|(_, most)| score > most) => best = Some((place, score)),
                Some(_) => {}
                None if self.has_failed(candidate) => {}
                None => return Choice::Open,
            }
        }
        best.map_or(Choice::Impossible, |(place, _)| Choice::Chosen(place))
    }

    /// What a cell's folder is to have, by all rows that it is in.
    pub fn wanted(&self, name: &str) -> Wanted {
        let mut wanted = Wanted::default();
        for row in &self.plan.rows {
            let choice = self.choice(row);
            for (place, candidate) in row.candidates.iter().enumerate() {
                let seeds = || candidate.cells.iter().filter(|(_, own)| *own == name).map(|(seed, _)| seed);
                wanted.dev |=
                    row.candidates.len() > 1 && seeds().any(|seed| self.plan.tuning_seeds.contains(seed));
                let of_table = seeds().any(|seed| self.plan.seeds.contains(seed));
                match choice {
                    Choice::Chosen(chosen) => wanted.test |= of_table && chosen == place,
                    Choice::Open => wanted.later |= of_table,
                    Choice::Impossible => {}
                }
            }
        }
        wanted
    }

    /// Whether a cell has all that is wanted of it.
    pub fn is_done(&self, name: &str) -> bool {
        let wanted = self.wanted(name);
        let Some(result) = self.results.get(name) else { return !(wanted.dev || wanted.test) };
        let has_dev = result.dev.contains_key(&self.plan.dev.name());
        let has_test = self.plan.test.iter().all(|set| result.test.contains_key(&set.name()));
        (has_dev || !wanted.dev) && (has_test || !wanted.test)
    }

    /// Cells that can be run now, in the order of the rows: those that choose values, and those whose values are chosen.
    pub fn ready(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let names = self.plan.rows.iter().flat_map(|row| self.of_row(row));
        names
            .filter(|name| {
                !self.failed.contains_key(name) && !self.is_done(name) && seen.insert(name.clone())
            })
            .collect()
    }

    /// Cells of a row that are known to be needed: those of the choice first.
    fn of_row(&self, row: &PlannedRow) -> Vec<String> {
        let of = |candidate: &Candidate, seeds: &[u64]| -> Vec<String> {
            seeds.iter().filter_map(|seed| candidate.cells.get(seed).cloned()).collect()
        };
        let mut names = Vec::new();
        if row.candidates.len() > 1 {
            names.extend(row.candidates.iter().flat_map(|candidate| of(candidate, &self.plan.tuning_seeds)));
        }
        if let Choice::Chosen(place) = self.choice(row) {
            names.extend(of(&row.candidates[place], &self.plan.seeds));
        }
        names
    }

    /// Cells that are left, those included whose values are not chosen yet; these by a candidate that may be chosen.
    pub fn left(&self) -> BTreeSet<String> {
        let mut left: BTreeSet<String> = self.ready().into_iter().collect();
        for row in self.plan.rows.iter().filter(|row| self.choice(row) == Choice::Open) {
            let seeds = self.plan.seeds.iter().filter(|seed| !self.plan.tuning_seeds.contains(seed));
            left.extend(seeds.filter_map(|seed| row.candidates[0].cells.get(seed).cloned()));
        }
        left
    }

    /// How a cell is called in messages: its row, its values, its seed.
    pub fn shown(&self, name: &str) -> String {
        for row in &self.plan.rows {
            for candidate in &row.candidates {
                if let Some((seed, _)) = candidate.cells.iter().find(|(_, own)| *own == name) {
                    let values = candidate.shown();
                    let values = if values.is_empty() { values } else { format!(" ({values})") };
                    return format!("{}{values}, seed {seed}", row.name);
                }
            }
        }
        name.to_owned()
    }
}
