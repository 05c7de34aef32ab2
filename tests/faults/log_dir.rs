//! `--log-dir`: what TensorBoard draws of runs that were killed, and what a run does in a folder of logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::workshop::{Workshop, fail, kill, names_in, signal, succeed, text};

/// Steps and values by their tag.
type Drawn = BTreeMap<String, Vec<(u64, f32)>>;

/// An interpreter that has TensorBoard; where there is none, says that nothing is read back, or fails under CI.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("MIRROR_PYTHON").filter(|path| !path.is_empty());
    if python.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON is not set; run scripts/test");
        let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON is not set; scripts/test sets it");
    }
    python.map(PathBuf::from)
}

/// What TensorBoard's own readers make of a folder.
fn drawn(folder: &Path) -> Option<Drawn> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/scalars.py");
    let output = Command::new(python()?).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// What should be drawn of metrics.jsonl.
fn expected(workshop: &Workshop, output: &str) -> Drawn {
    let metrics = String::from_utf8(workshop.ends_so_far(output)).unwrap();
    let mut expected = Drawn::new();
    for line in metrics.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let step = line["step"].as_u64().unwrap();
        let mut put = |tag: String, value: &Value| {
            if let Some(value) = value.as_f64() {
                expected.entry(tag).or_default().push((step, value as f32));
            }
        };
        if let Some(set) = line["set"].as_str() {
            put(format!("score/{set}"), &line["spearman"]);
            continue;
        }
        let group = if line["loss"].is_number() { "train" } else { "held_out" };
        let numbers = line.as_object().unwrap().iter().filter(|(key, _)| *key != "step");
        numbers.for_each(|(key, value)| put(format!("{group}/{key}"), value));
    }
    expected
}

fn logs(workshop: &Workshop, folder: &str) -> Vec<String> {
    names_in(&workshop.path(folder)).into_iter().filter(|name| name.contains("tfevents")).collect()
}

#[test]
fn tensorboard_draws_what_metrics_say_whatever_kills_the_run() {
    let workshop = Workshop::new();
    let flags = ["--log-dir", "logs/a", "--holdout", "12", "--reg", "delta-sam,r3f"];
    let mut command = workshop.train("out", &flags);
    // Before the first checkpoint, in the middle, near the end.
    for lines in [3, 24, 38] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("out", lines, &mut child);
        kill(child);
        // What a kill leaves can be read, though the last event may be torn.
        let last = workshop.path("logs/a").join(logs(&workshop, "logs/a").last().unwrap());
        let written = fs::read(&last).unwrap();
        fs::write(&last, &written[..written.len() - 5]).unwrap();
        if let Some(drawn) = drawn(&workshop.path("logs/a")) {
            assert!(drawn.contains_key("score/STSB-dev"), "{drawn:?}");
        }
        command = workshop.resume("out");
    }
    succeed(&mut workshop.resume("out"));
    assert_eq!(logs(&workshop, "logs/a").len(), 4);
    let expected = expected(&workshop, "out");
    for tag in
        ["train/loss", "train/gradient_norm", "train/r3f", "train/a_mean", "score/STSB-dev", "held_out/mrr"]
    {
        assert!(expected.contains_key(tag), "{tag}");
    }
    assert_eq!(expected["train/loss"].len(), 22);
    if let Some(drawn) = drawn(&workshop.path("logs/a")) {
        assert_eq!(drawn, expected);
    }
}

/// Files are read in the order of their names, and these have the time in them.
#[test]
fn a_resumed_run_whose_logs_are_gone_or_of_the_future_is_drawn_whole() {
    let workshop = Workshop::new();
    for future in [false, true] {
        let (output, folder) = (format!("out-{future}"), format!("logs-{future}"));
        workshop.killed_in_the_middle(&output, &["--log-dir", &folder]);
        let [name] = logs(&workshop, &folder).try_into().unwrap();
        let path = workshop.path(&folder).join(&name);
        if future {
            let second = name.split('.').nth(3).unwrap();
            fs::rename(&path, path.with_file_name(name.replace(second, "9100000000"))).unwrap();
        } else {
            fs::remove_dir_all(workshop.path(&folder)).unwrap();
        }
        succeed(&mut workshop.resume(&output));
        if let Some(drawn) = drawn(&workshop.path(&folder)) {
            assert_eq!(drawn, expected(&workshop, &output), "{future}");
        }
    }
}

#[test]
fn a_run_that_fails_before_its_first_step_leaves_no_log() {
    let workshop = Workshop::new();
    let log = ["--log-dir", "logs/a"];
    for more in [["--model", "absent"], ["--max-length", "129"], ["--learning-rate", "1e300"]] {
        let flags = [log, more].concat();
        fail(&mut workshop.train("out", &flags), 1);
        if more[0] != "--learning-rate" {
            assert!(!workshop.path("logs").exists(), "{more:?}");
        }
    }
    // Stopped before its first step: the resumed run has the log to itself.
    fs::remove_dir_all(workshop.path("out")).unwrap();
    let _ = fs::remove_dir_all(workshop.path("logs"));
    fs::create_dir(workshop.path("logs")).unwrap();
    let mut child = workshop.train("out", &log).spawn().unwrap();
    workshop.wait_for_lines("out", 1, &mut child);
    signal(&child, "TERM");
    child.wait().unwrap();
    succeed(&mut workshop.resume("out"));
    if let Some(drawn) = drawn(&workshop.path("logs/a")) {
        assert_eq!(drawn, expected(&workshop, "out"));
    }
}

#[test]
fn another_runs_log_is_not_written_into() {
    let workshop = Workshop::new();
    succeed(&mut workshop.train("first", &["--log-dir", "logs"]));
    let before = names_in(&workshop.path("logs"));
    let said = fail(&mut workshop.train("second", &["--log-dir", "logs"]), 1);
    assert!(said.contains("logs has events.out.tfevents.") && said.contains("--overwrite"), "{said}");
    assert!(!workshop.path("second").exists());
    assert_eq!(names_in(&workshop.path("logs")), before);
    // Over the earlier run, TensorBoard draws the later one alone; no file of the earlier one is touched.
    let kept = fs::read(workshop.path("logs").join(&before[0])).unwrap();
    succeed(
        workshop.train("first", &["--log-dir", "logs", "--seed", "7", "--max-steps", "9"]).arg("--overwrite"),
    );
    assert_eq!(fs::read(workshop.path("logs").join(&before[0])).unwrap(), kept);
    if let Some(drawn) = drawn(&workshop.path("logs")) {
        assert_eq!(drawn, expected(&workshop, "first"));
    }
    // A log of another program stays in any case.
    fs::create_dir(workshop.path("theirs")).unwrap();
    fs::write(workshop.path("theirs/events.out.tfevents.1.host"), "theirs").unwrap();
    let said = fail(workshop.train("second", &["--log-dir", "theirs"]).arg("--overwrite"), 1);
    assert!(said.contains("theirs has events.out.tfevents.1.host, the log of another run"), "{said}");
    assert_eq!(names_in(&workshop.path("theirs")), ["events.out.tfevents.1.host"]);
}

/// In the run's own folder it is as a file of somebody else's: it stays, whatever takes the folder's place.
#[test]
fn a_log_in_the_output_folder_survives_a_run_over_it() {
    let workshop = Workshop::new();
    succeed(&mut workshop.train("out", &["--log-dir", "out/logs"]));
    succeed(workshop.train("out", &["--log-dir", "out/logs", "--seed", "7"]).arg("--overwrite"));
    assert_eq!(logs(&workshop, "out/logs").len(), 2);
    if let Some(drawn) = drawn(&workshop.path("out/logs")) {
        assert_eq!(drawn, expected(&workshop, "out"));
    }
    let saved = fs::read_to_string(workshop.path("out/train.toml")).unwrap();
    let folder = workshop.path("out/logs").canonicalize().unwrap();
    assert!(saved.contains(&format!("log-dir = \"{}\"", folder.display())), "{saved}");
}

#[test]
fn a_folder_that_is_read_takes_no_log() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("corpora")).unwrap();
    for (folder, says) in [
        ("model", "/model is what --model reads"),
        ("model/logs", "/model/logs lies within"),
        ("corpora/../model/a/b", "which --model reads"),
        ("sts/logs", "which --data reads"),
        ("corpus.txt", "/corpus.txt is what --corpus reads"),
    ] {
        let said = fail(&mut workshop.train("out", &["--log-dir", folder]), 2);
        assert!(said.contains(says), "{said}");
        assert!(!workshop.path("out").exists());
    }
    fs::write(workshop.path("file"), "").unwrap();
    let said = fail(&mut workshop.train("out", &["--log-dir", "file"]), 1);
    assert!(said.contains("file is a file; it takes a folder"), "{said}");
    for folder in ["model", "sts"] {
        assert!(!workshop.path(folder).join("logs").exists());
    }
}
