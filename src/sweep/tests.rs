use indexmap::IndexMap;
use proptest::prelude::*;
use serde::Deserialize;
use toml::Table;

use super::cost::Clock;
use super::result::{CellResult, Machine};
use super::*;
use crate::trainer::TrainOptions;

fn options_of(settings: &[Setting]) -> Result<TrainOptions, SweepError> {
    let mut table = Table::try_from(crate::cli_defaults::<TrainOptions>()).unwrap();
    table.extend(settings.iter().map(|own| (own.key.clone(), own.value.clone())));
    Ok(TrainOptions::deserialize(table).unwrap())
}

fn plan(text: &str) -> Plan {
    Plan::new(&Config::parse(text, "test".to_owned()).unwrap(), options_of).unwrap()
}

/// The name of the only cell.
fn name(settings: &str) -> String {
    let plan = plan(&format!("[settings]\n{settings}\n[[row]]\nname = \"a\""));
    assert_eq!(plan.cells.len(), 1);
    plan.cells.into_keys().next().unwrap()
}

const ROWS: &str = "seeds = [1, 2, 3]\ntuning-seeds = [1, 2]
[[row]]\nname = \"plain\"
[[row]]\nname = \"SAM\"\nsettings.reg = \"sam\"\ngrid.rho = [0.01, 0.05, 0.1]";

fn state() -> State {
    State { plan: plan(ROWS), results: Default::default(), failed: Default::default() }
}

fn result(state: &State, name: &str, dev: Option<f64>) -> CellResult {
    let machine = Machine {
        version: String::new(),
        instruction_set: String::new(),
        threads: 1,
        device: "cpu".to_owned(),
    };
    let mut result = CellResult::new(&state.plan.cells[name], 50, machine);
    result.dev = IndexMap::from([(state.plan.dev.name(), dev)]);
    result.seconds.training = 10.0;
    result
}

#[test]
fn what_decides_a_result_decides_a_name() {
    let plain = name("");
    assert!(plain.starts_with("none-seed42-"), "{plain}");
    for same in ["threads = 1", "save-every = \"3\"", "keep-last = 9", "temperature = 0.04"] {
        assert_eq!(name(same), plain, "{same}");
    }
    let others = ["temperature = 0.05", "reg = \"sam\"", "rho = 0.05", "max-steps = 3"];
    let names: std::collections::BTreeSet<String> = others.map(name).into_iter().collect();
    assert!(names.len() == others.len() && !names.contains(&plain), "{names:?}");
}

#[test]
fn values_are_chosen_by_the_mean_dev_score_of_the_tuning_seeds() {
    let mut state = state();
    let row = state.plan.rows[1].clone();
    assert_eq!(state.plan.cells.len(), 3 + 9);
    assert_eq!(state.ready().len(), 3 + 6, "the rest follows from the choice");
    assert_eq!(state.left().len(), 3 + 6 + 1);
    // The first and the last are equally good, and the second has no score with one of the seeds.
    for (place, scores) in
        [[Some(70.0), Some(72.0)], [Some(90.0), None], [Some(71.0), Some(71.0)]].iter().enumerate()
    {
        assert_eq!(state.choice(&row), Choice::Open);
        for (seed, score) in [1, 2].iter().zip(scores) {
            let name = row.candidates[place].cells[seed].clone();
            let own = result(&state, &name, *score);
            state.results.insert(name, own);
        }
    }
    assert_eq!(state.choice(&row), Choice::Chosen(0));
    let chosen = &row.candidates[0].cells;
    assert!(state.wanted(&chosen[&3]).test && !state.is_done(&chosen[&3]));
    assert!(
        state.wanted(&chosen[&1]).test && !state.is_done(&chosen[&1]),
        "its test sets are not scored yet"
    );
    let other = &row.candidates[1].cells[&1];
    assert!(!state.wanted(other).test && state.is_done(other));
    assert_eq!(state.ready().len(), 3 + 3);
}

#[test]
fn candidates_that_fail_are_not_chosen() {
    let mut state = state();
    let row = state.plan.rows[1].clone();
    for (place, candidate) in row.candidates.iter().enumerate() {
        let name = candidate.cells[&1].clone();
        if place < 2 {
            state.failed.insert(name, "it failed".to_owned());
        } else {
            assert_eq!(state.choice(&row), Choice::Open);
            for seed in [1, 2] {
                let name = candidate.cells[&seed].clone();
                let own = result(&state, &name, Some(1.0));
                state.results.insert(name, own);
            }
        }
    }
    assert_eq!(state.choice(&row), Choice::Chosen(2));
    state.results.clear();
    state.failed.insert(row.candidates[2].cells[&2].clone(), "it failed".to_owned());
    assert_eq!(state.choice(&row), Choice::Impossible);
}

/// What an earlier version saved is of the same cell, unless a setting or a default is another one.
#[test]
fn results_of_other_settings_do_not_count() {
    let state = state();
    let (name, cell) = state.plan.cells.iter().next().unwrap();
    let saved = result(&state, name, None).settings;
    assert!(cell.is_of(&saved));
    let mut older = saved.clone();
    older.shift_remove("clip-norm");
    older.shift_remove("drophead");
    older.insert("a-flag-of-then".to_owned(), 1.into());
    assert!(cell.is_of(&older));
    let mut other = saved;
    other.insert("temperature".to_owned(), 0.05.into());
    assert!(!cell.is_of(&other));
}

#[test]
fn a_plan_and_a_result_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = state();
    state.plan.write(folder.path()).unwrap();
    assert_eq!(Plan::read(folder.path()).unwrap(), state.plan);
    let (name, cell) = state.plan.cells.iter().next().unwrap();
    assert_eq!(CellResult::read(folder.path(), name, cell).unwrap(), None);
    std::fs::create_dir_all(folder.path().join(CELLS).join(name)).unwrap();
    let own = result(&state, name, Some(12.5));
    own.write(folder.path(), name).unwrap();
    let back = CellResult::read(folder.path(), name, cell).unwrap().unwrap();
    assert_eq!((back.dev, back.machine), (own.dev, own.machine));
}

#[test]
fn times_follow_from_passes_and_from_what_was_measured() {
    let cost = |reg: &str| {
        let plan = plan(&format!("[[row]]\nname = \"a\"\nsettings.reg = \"{reg}\""));
        Clock::relative(plan.cells.values().next().unwrap()) * 3.0
    };
    for (reg, passes) in
        [("none", 3.0), ("sam", 6.0), ("delta-sam", 7.0), ("r3f", 6.0), ("delta-sam,r3f", 14.0)]
    {
        assert!((cost(reg) - passes).abs() < 1e-9, "{reg}: {}", cost(reg));
    }
    let mut state = state();
    let [plain, sam] = [0, 1].map(|row| state.plan.rows[row].candidates[0].cells[&1].clone());
    assert_eq!(Clock::of(&state).seconds(&state.plan.cells[&plain]), None);
    let own = result(&state, &plain, None);
    state.results.insert(plain.clone(), own);
    let seconds = |state: &State, name: &str| Clock::of(state).seconds(&state.plan.cells[name]).unwrap();
    assert!((seconds(&state, &plain) - 10.0).abs() < 1e-9 && (seconds(&state, &sam) - 20.0).abs() < 1e-9);
    let own = CellResult { seconds: Seconds { training: 50.0, scoring: 5.0 }, ..result(&state, &sam, None) };
    state.results.insert(sam.clone(), own);
    assert!((seconds(&state, &sam) - 55.0).abs() < 1e-9);
}

proptest! {
    /// Whatever a file holds, it is a sweep or an error of one sentence.
    #[test]
    fn any_text(text in "(\\[\\[row\\]\\]|\\[settings\\]|grid\\.[a-z]{1,3}|name|seeds|test|dev|=|\\[|\\]|\"a\"|[0-9]{1,30}|\\.|\n| ){0,40}") {
        if let Err(error) = Config::parse(&text, "test".to_owned()) {
            let said = error.to_string();
            prop_assert!(!said.is_empty() && said.lines().count() == 1, "{}", said);
        }
    }
}
