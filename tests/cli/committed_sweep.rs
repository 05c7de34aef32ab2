//! The table that is committed for the built-in model: a cell of it, run again, has its scores to the last digit.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::workspace::Workspace;

fn sweep() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("eval/results/table2-builtin")
}

fn result(cell: &Path) -> Value {
    serde_json::from_slice(&fs::read(cell.join("result.json")).unwrap()).unwrap()
}

/// The instruction sets that f32 is computed with here, as a result records them.
fn instruction_set(w: &Workspace) -> String {
    let version = w.run("--version").stdout;
    version.lines().find_map(|line| line.strip_prefix("f32: ")).expect("what f32 is computed with").to_owned()
}

/// Of plain training, which has no values to choose; 47 steps, a minute of one core.
#[test]
fn a_committed_cell_run_again_has_its_scores_to_the_last_digit() {
    let w = Workspace::new();
    let cells = fs::read_dir(sweep().join("cells")).unwrap().map(|cell| cell.unwrap().path());
    let committed = cells
        .filter(|cell| cell.file_name().unwrap().to_str().unwrap().starts_with("none-seed43"))
        .collect::<Vec<_>>();
    let [committed] = &committed[..] else {
        panic!("one cell of plain training with seed 43: {committed:?}")
    };
    let expected = result(committed);
    assert_eq!(expected["steps"], 47);
    if expected["machine"]["instruction_set"] != *instruction_set(&w) {
        eprintln!("not compared: the cell was computed with other instructions than this machine's");
        return;
    }
    fs::create_dir(w.path("again")).unwrap();
    fs::copy(sweep().join("sweep.json"), w.path("again/sweep.json")).unwrap();
    let name = committed.file_name().unwrap().to_str().unwrap();
    w.run(&format!("sweep --cell {name} --output again"));
    let again = w.path("again/cells").join(name);
    let found = result(&again);
    for key in ["settings", "steps", "dev", "test", "pairs"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    let ranks = |cell: &Path| fs::read(cell.join("ranks.npy")).unwrap();
    assert!(ranks(&again) == ranks(committed), "ranks differ");
}
