//! `mirror sweep`: cells, what is chosen, tables, and what kills, changes and failures leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::workspace::Workspace;

/// Long enough for a slow, busy machine; nothing here takes a tenth of it otherwise.
const PATIENCE: Duration = Duration::from_secs(300);

/// Twelve cells of two steps: 3 of the first row, 4 of the second (two values), 5 of the third (three values).
const ROWS: &str = r#"
[[row]]
name = "plain"

[[row]]
name = "SAM"
settings.reg = "sam"
grid.rho = [0.01, 0.05]

[[row]]
name = "R3F"
settings.reg = "r3f"
grid.r3f-eps = [1e-3, 1e-2, 5e-2]
"#;

/// The settings of all rows; dev pairs of one's own, so that the built-in pairs can be scored.
const SETTINGS: &str = r#"
seeds = [1, 2, 3]
dev = "mine=dev.tsv"
test = ["built-in pairs"]

[settings]
batch-size = 16
max-steps = 2
learning-rate = 1e-3
save-every = 1
threads = 1
"#;

fn workspace() -> Workspace {
    let w = Workspace::new();
    let pairs = include_str!("../../data/builtin/pairs.tsv");
    w.write("dev.tsv", pairs.lines().take(60).collect::<Vec<_>>().join("\n"));
    w.write("sweep.toml", format!("{SETTINGS}{ROWS}"));
    w
}

/// Every cell's result, by the cell's name.
fn results(w: &Workspace, sweep: &str) -> BTreeMap<String, Value> {
    let cells = fs::read_dir(w.path(sweep).join("cells")).into_iter().flatten().flatten();
    cells
        .filter_map(|cell| {
            let bytes = fs::read(cell.path().join("result.json")).ok()?;
            Some((cell.file_name().into_string().unwrap(), serde_json::from_slice(&bytes).unwrap()))
        })
        .collect()
}

/// Scores alone: times differ from run to run.
fn scores(w: &Workspace, sweep: &str) -> BTreeMap<String, [Value; 2]> {
    let of = |result: Value| [result["dev"].clone(), result["test"].clone()];
    results(w, sweep).into_iter().map(|(name, result)| (name, of(result))).collect()
}

/// The cells that a sweep says it ran.
fn ran(said: &str) -> BTreeSet<&str> {
    said.lines().filter_map(|line| line.strip_prefix("running ")).collect()
}

fn start(w: &Workspace, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
    command.args(arguments).current_dir(w.path("")).env("HF_HUB_OFFLINE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the table has of a row.
fn row(w: &Workspace, sweep: &str, name: &str) -> Value {
    let table = w.json(&format!("{sweep}/table.json"));
    table["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
}

#[test]
fn a_sweep_chooses_by_dev_scores_once_and_tells() {
    let w = workspace();
    let said = w.run("sweep sweep.toml --output out --jobs 2");
    assert_eq!(ran(&said.stderr).len(), 12, "{}", said.stderr);
    assert!(said.stderr.contains("12 cells done, 0 running, 0 to come"), "{}", said.stderr);
    let results = results(&w, "out");
    assert_eq!(results.len(), 12);
    let tested = results.values().filter(|result| result.get("test").is_some()).count();
    assert_eq!(tested, 9, "the test set is scored for chosen values alone");

    // The value that has the higher score on the dev set is the one whose seeds were run.
    for (reg, flag, prefix) in [("sam", "rho", "sam-seed1-"), ("r3f", "r3f-eps", "r3f-seed1-")] {
        let tuned: Vec<&Value> =
            results.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, result)| result).collect();
        let best = tuned
            .iter()
            .max_by(|a, b| a["dev"]["mine"].as_f64().unwrap().total_cmp(&b["dev"]["mine"].as_f64().unwrap()))
            .unwrap();
        for (name, result) in results.iter().filter(|(name, _)| name.starts_with(&format!("{reg}-seed"))) {
            let chosen = result["settings"][flag] == best["settings"][flag];
            assert!(chosen || name.starts_with(prefix), "{name}");
            assert_eq!(result.get("test").is_some(), chosen, "{name}");
        }
    }

    // The table's means are those of the cells.
    let plain: Vec<f64> = results
        .iter()
        .filter(|(name, _)| name.starts_with("none-"))
        .map(|(_, result)| result["test"]["built-in pairs"].as_f64().unwrap())
        .collect();
    let mean = plain.iter().sum::<f64>() / 3.0;
    let first = row(&w, "out", "plain");
    assert!((first["scores"]["built-in pairs"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!(said.stdout.contains(&format!("{mean:.2} ± ")), "{}", said.stdout);
    let sam = row(&w, "out", "SAM");
    assert_eq!(sam["difference"]["against"], "plain");
    let tested = &sam["difference"]["scores"]["built-in pairs"];
    assert!(tested["low"].as_f64() <= tested["estimate"].as_f64());
    assert!(tested["p_holm"].as_f64() >= tested["p_value"].as_f64());
    for (file, part) in
        [("table.md", "| SAM minus plain |"), ("table.tex", "\\begin{tabular}"), ("table.html", "Every run")]
    {
        let text = String::from_utf8(w.read(&format!("out/{file}"))).unwrap();
        assert!(text.contains(part), "{file}: {text}");
    }

    // Models are gone, and what says how a run was made is there; it can be repeated.
    for name in results.keys() {
        let run = w.path("out/cells").join(name).join("run");
        let mut files: Vec<_> = fs::read_dir(&run).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["metrics.jsonl", "train.toml"], "{name}");
    }
    let name = results.keys().find(|name| name.starts_with("none-seed2-")).unwrap();
    w.run(&format!("train --config out/cells/{name}/run/train.toml --output again"));
    w.run("eval --model again --json again.json");
    let again = w.json("again.json")["tasks"]["built-in pairs"]["spearman"].as_f64().unwrap();
    assert!((again - results[name]["test"]["built-in pairs"].as_f64().unwrap()).abs() < 1e-9);

    // Finished, nothing is run again, and the table is the same, from results alone.
    let table = w.read("out/table.json");
    let said = w.run("sweep sweep.toml --output out");
    assert_eq!(ran(&said.stderr).len(), 0, "{}", said.stderr);
    assert_eq!(w.read("out/table.json"), table);
    fs::remove_file(w.path("out/table.json")).unwrap();
    w.run("sweep --collect out");
    assert_eq!(w.read("out/table.json"), table);
    let said = w.run("sweep sweep.toml --output out --dry-run");
    assert!(said.stdout.contains("0 cells left, 12 finished"), "{}", said.stdout);
}

#[test]
fn a_sweep_killed_three_times_ends_in_the_same_table() {
    let w = workspace();
    w.run("sweep sweep.toml --output reference");
    for finished in [1, 5, 9] {
        let mut child = start(&w, &["sweep", "sweep.toml", "--output", "killed", "--jobs", "2"]);
        wait_until("the sweep", || results(&w, "killed").len() >= finished);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = results(&w, "killed");
    let said = w.run("sweep sweep.toml --output killed");
    assert!(ran(&said.stderr).len() < 12, "{}", said.stderr);
    let after = results(&w, "killed");
    for (name, result) in before.iter().filter(|(_, result)| result.get("test").is_some()) {
        assert_eq!(after[name], *result, "a finished cell is not run again");
    }
    assert_eq!(scores(&w, "killed"), scores(&w, "reference"));
    assert_eq!(w.read("killed/table.json"), w.read("reference/table.json"));
}

#[test]
fn a_changed_configuration_runs_what_changed() {
    let w = workspace();
    w.run("sweep sweep.toml --output out");
    let before = results(&w, "out");
    // Another value of one row; another name, and another order of keys, change nothing.
    let rows = ROWS.replace("[0.01, 0.05]", "[0.01, 1.0]").replace("\"R3F\"", "\"noise\"");
    w.write("sweep.toml", format!("{SETTINGS}keep-last = 1\n{rows}"));
    let said = w.run("sweep sweep.toml --output out");
    let ran = ran(&said.stderr);
    assert!(ran.contains("SAM (rho 1.0), seed 1"), "{}", said.stderr);
    assert!(ran.iter().all(|cell| cell.starts_with("SAM (rho ")), "{}", said.stderr);
    let after = results(&w, "out");
    assert!(before.iter().all(|(name, result)| name.starts_with("sam") || after[name] == *result));
    // Other text in the corpus is another cell, wherever it lies; the same text elsewhere is the same.
    let lines = include_str!("../../data/builtin/corpus.txt");
    w.write("a.txt", lines.lines().take(100).collect::<Vec<_>>().join("\n"));
    let one = |corpus: &str| {
        let rows = "[[row]]\nname = \"plain\"\n";
        w.write("one.toml", format!("{SETTINGS}corpus = \"{corpus}\"\n{rows}"));
        let said = w.run("sweep one.toml --output one");
        said.stderr.lines().filter(|line| line.starts_with("running ")).count()
    };
    assert_eq!(one("a.txt"), 3);
    fs::rename(w.path("a.txt"), w.path("b.txt")).unwrap();
    assert_eq!(one("b.txt"), 0);
    w.write("b.txt", lines.lines().skip(1).take(100).collect::<Vec<_>>().join("\n"));
    assert_eq!(one("b.txt"), 3);
}

#[test]
fn a_cell_that_fails_stops_no_other() {
    let w = workspace();
    let bad = "[[row]]\nname = \"too long\"\nsettings.max-length = 100000\n";
    w.write("sweep.toml", format!("{SETTINGS}\n{bad}{ROWS}"));
    let output = w.mirror("sweep sweep.toml --output out").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("too long, seed 1: failed: "), "{stderr}");
    assert!(stderr.contains("100000") && stderr.contains("log.txt"), "{stderr}");
    assert!(
        stderr.ends_with("error: 3 cells failed, as said above; run the sweep again to try them again\n"),
        "{stderr}"
    );
    assert_eq!(results(&w, "out").len(), 12);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("too long: 0 of 3 runs are finished."), "{stdout}");
}

#[test]
fn two_sweeps_in_one_folder_and_folders_of_others_are_refused() {
    let w = workspace();
    let mut child = start(&w, &["sweep", "sweep.toml", "--output", "out"]);
    wait_until("the sweep", || w.path("out/cells").is_dir());
    let output = w.mirror("sweep sweep.toml --output out").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("out is in use by another run of mirror"), "{stderr}");
    child.kill().unwrap();
    child.wait().unwrap();
    // In a folder that the cell of the killed sweep does not write to as it ends.
    let w = workspace();
    w.write("mine/notes.txt", "mine");
    w.fails("sweep sweep.toml --output mine", &["mine is not empty and has no sweep.json"]);
    w.fails("sweep sweep.toml --output dev.tsv", &["dev.tsv is a file"]);
    w.refuses_usage("sweep --collect mine", &["mine has no sweep.json"]);
    w.write("mine/sweep.json", "{\"format\": 99}");
    w.fails("sweep --collect mine", &["written by another version"]);
    w.write("mine/sweep.json", "{");
    w.fails("sweep --collect mine", &["is damaged"]);
}

#[test]
fn a_sweep_that_is_stopped_stops_its_cells_and_goes_on() {
    let w = workspace();
    w.write("sweep.toml", format!("{SETTINGS}{ROWS}").replace("max-steps = 2", "max-steps = 600"));
    let mut child = start(&w, &["sweep", "sweep.toml", "--output", "out"]);
    let has_begun = || {
        let cells = fs::read_dir(w.path("out/cells")).into_iter().flatten().flatten();
        cells.map(|cell| cell.path().join("run/metrics.jsonl")).find(|metrics| {
            fs::read_to_string(metrics).is_ok_and(|text| text.matches("\"loss\"").count() > 2)
        })
    };
    let mut metrics: Option<PathBuf> = None;
    wait_until("a step", || {
        metrics = has_begun();
        metrics.is_some()
    });
    let run = metrics.unwrap().parent().unwrap().to_owned();
    let signal = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // The cell that ran has ended, too, with a checkpoint.
    assert!(fs::read_dir(run.join("checkpoints")).unwrap().count() > 1);
    let lines = || fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count();
    let stopped = lines();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(lines(), stopped);
}

/// As a cluster runs them: cell by cell, by the printed commands, and again for those that follow from the choice.
#[test]
fn cells_run_by_their_commands_make_the_same_table() {
    let w = workspace();
    w.run("sweep sweep.toml --output reference");
    let mut rounds = Vec::new();
    loop {
        let said = w.run("sweep sweep.toml --output out --cells");
        let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if lines.is_empty() {
            break;
        }
        for line in &lines {
            let words: Vec<&str> =
                line["command"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            let output = Command::new(words[0]).args(&words[1..]).current_dir("/").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        rounds.push(lines.len());
    }
    // Those that choose and those that need no choice; then the other seeds of what was chosen, and the cells that are
    // scored only now, since the choice was open when they ran.
    let rest = rounds[1..].iter().sum::<usize>();
    assert!(rounds[0] == 8 && (4..=6).contains(&rest), "{rounds:?}");
    w.run("sweep --collect out");
    assert_eq!(w.read("out/table.json"), w.read("reference/table.json"));
    assert_eq!(scores(&w, "out"), scores(&w, "reference"));
    w.refuses_usage("sweep --output out --cell nothing", &["has no cell nothing"]);
}

#[test]
fn what_describes_no_sweep_is_refused_by_line() {
    let w = workspace();
    let rows = "[[row]]\nname = \"a\"\n";
    let cases: [(&str, &[&str]); 17] = [
        ("sed = [1]\n", &["line 1", "\"sed\" is not a key of a sweep (did you mean seeds?)", "tuning-seeds"]),
        ("[settings]\nbatchsize = 3\n[[row]]\nname = \"a\"", &["line 2", "did you mean batch-size?"]),
        ("[[row]]\nname = \"a\"\ngrids.rho = [1]", &["line 3", "is not a key of a row (did you mean grid?)"]),
        ("[[row]]\nname = \"a\"\ngrid.rho = []", &["line 3", "rho: the grid is empty"]),
        ("[[row]]\nname = \"a\"\ngrid.rho = 1", &["line 3", "rho = [0.01, 0.05]"]),
        ("[[row]]\nname = \"a\"\ngrid.rho = [1, 1]", &["line 3", "the grid has 1 twice"]),
        ("[[row]]\nname = \"a\"\ngrid.rh = [1]", &["line 3", "\"rh\" is not a setting"]),
        ("[[row]]\nname = \"a\"\ngrid.rho = [\"x\"]", &["line 3", "rho: "]),
        ("[[row]]\nname = \"a\"\nsettings.rho = 1\ngrid.rho = [1, 2]", &["line 4", "in its grid"]),
        ("[[row]]\nname = \"a\"\nsettings.seed = 1", &["line 3", "seeds = [42, 43]"]),
        ("[[row]]\nsettings.rho = 1", &["a row needs a name"]),
        ("[[row]]\nname = \"a\"\n[[row]]\nname = \"a\"", &["line 3", "two rows called \"a\""]),
        ("[[row]]\nname = \"a\"\nagainst = \"b\"", &["line 3", "there is no row \"b\""]),
        ("seeds = []", &["line 1", "seeds: list whole numbers"]),
        ("seeds = [1, 1]", &["line 1", "listed twice"]),
        ("test = [\"STS99\"]", &["line 1", "there is no set \"STS99\"", "STSB-dev"]),
        ("seeds = [1]", &["has no rows"]),
    ];
    for (text, says) in cases {
        w.write("bad.toml", text);
        w.refuses_usage("sweep bad.toml", says);
    }
    w.write("bad.toml", "seeds = [1");
    w.refuses_usage("sweep bad.toml", &["line 1: this is not TOML"]);
    for (dev, test) in
        [("built-in pairs", "built-in pairs"), ("a=dev.tsv", "b=dev.tsv"), ("a=dev.tsv", "b=copy.tsv")]
    {
        fs::copy(w.path("dev.tsv"), w.path("copy.tsv")).unwrap();
        w.write("bad.toml", format!("dev = \"{dev}\"\ntest = [\"{test}\"]\n{rows}"));
        w.refuses_usage("sweep bad.toml", &["would choose values and be scored with them too"]);
    }
    w.write("bad.toml", format!("dev = \"STSB-dev\"\n{rows}"));
    w.refuses_usage("sweep bad.toml", &["STSB-dev needs STS data"]);
    w.write("bad.toml", format!("[settings]\nmodel = \"builtin\"\nrho = -1\n{rows}"));
    w.refuses_usage("sweep bad.toml", &["--rho is -1"]);
    w.refuses_usage("sweep", &["CONFIG"]);
    w.refuses_usage("sweep sweep.toml --jobs 0", &["above 0"]);
    w.fails("sweep absent.toml", &["cannot read absent.toml"]);
    w.refuses_usage("sweep sweep.toml --output sweep.toml", &["sweep.toml"]);
}

/// A disk that takes no file of a model's size: cells fail in a sentence, and once it does they are made.
#[test]
fn a_disk_that_fills_costs_time_only() {
    let w = workspace();
    w.write("one.toml", format!("{SETTINGS}\n[[row]]\nname = \"plain\"\n").replace("[1, 2, 3]", "[1]"));
    let mut limited = Command::new("bash");
    // Ignored, the signal becomes an error of the write. Of bash's blocks 10,000 are 10 MB: the built-in model fits, which
    // is stored in half precision, and no trained one does.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 10000; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_mirror")]);
    limited.args(["sweep", "one.toml", "--output", "out"]).current_dir(w.path("")).stdin(Stdio::null());
    let output = limited.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("plain, seed 1: failed: cannot write"), "{stderr}");
    assert_eq!(results(&w, "out").len(), 0);
    w.run("sweep one.toml --output out");
    assert_eq!(results(&w, "out").len(), 1);
}

/// The configurations that ship describe sweeps, as far as can be said without their inputs.
#[test]
fn shipped_configurations_are_sound() {
    let eval = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval");
    for (name, rows) in [("table2.toml", 8), ("table2-small.toml", 7), ("table2-builtin.toml", 7)] {
        let config = mirror::sweep::Config::read(&eval.join(name)).unwrap();
        assert_eq!((config.rows.len(), config.seeds.len()), (rows, 5), "{name}");
    }
    let w = Workspace::new();
    let said = w.run(&format!("sweep {} --dry-run", eval.join("table2-builtin.toml").display()));
    assert!(said.stdout.contains("runs of plain training"), "{}", said.stdout);
    assert_eq!(said.stdout.lines().count(), 5 + 2 * 8 + 3 * 6 + 8 + 1, "{}", said.stdout);
}

/// scripts/sweep-ray.py with two workers, as a person runs it on one machine.
#[test]
fn two_workers_of_ray_make_the_same_table() {
    let Some(python) = crate::bulk::ray("ray") else { return };
    let w = workspace();
    w.write("home/keep", "");
    w.run("sweep sweep.toml --output reference");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sweep-ray.py");
    let output = Command::new(python)
        .arg(script)
        .args(["sweep.toml", "--output", "out", "--mirror", env!("CARGO_BIN_EXE_mirror"), "--workers", "2"])
        .current_dir(w.path(""))
        .envs([("RAY_USAGE_STATS_ENABLED", "0"), ("PYTHONUTF8", "1"), ("HF_HUB_OFFLINE", "1")])
        // Ray keeps a token and its logs there.
        .env("HOME", w.path("home"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.lines().filter(|line| line.ends_with(": done")).count() >= 12, "{stderr}");
    assert_eq!(w.read("out/table.json"), w.read("reference/table.json"));
}
