//! SIGINT and SIGTERM.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::workshop::{Workshop, signal, succeed, text, wait_until};

/// A signal ends the run with its own exit code, after a checkpoint of every step that was made.
#[test]
fn a_first_signal_loses_no_step() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &["--save-every", "never"]);
    for (name, code, lines) in [("INT", 130, 3), ("TERM", 143, 10), ("INT", 130, 20)] {
        let output = format!("{name}-{lines}");
        let mut child = workshop.train(&output, &["--save-every", "never"]).spawn().unwrap();
        workshop.wait_for_lines(&output, lines, &mut child);
        signal(&child, name);
        // As `timeout` does: once to the process, once to its group.
        signal(&child, name);
        let ended = child.wait_with_output().unwrap();
        let said = text(&ended);
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains("mirror train --resume"), "{said}");
        let checkpoints = workshop.checkpoints(&output);
        let [checkpoint] = &checkpoints[..] else { panic!("{checkpoints:?}") };
        let steps: usize = checkpoint.trim_start_matches("step-").parse().unwrap();
        let metrics = std::fs::read_to_string(workshop.path(&output).join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().filter(|line| line.contains("\"loss\"")).count(), steps);
        let said = succeed(&mut workshop.resume(&output));
        assert!(said.contains(&format!("resuming after step {steps}")), "{said}");
        workshop.ends(&output).assert_same(&reference, name);
    }
}

/// The second signal does not wait for the step to end.
#[test]
fn a_second_signal_ends_it_at_once() {
    let workshop = Workshop::new();
    let mut command = workshop.mirror(&["train", "--no-eval", "--batch-size", "4000", "--output", "out"]);
    let mut child = command.spawn().unwrap();
    wait_until(|| workshop.path("out/metrics.jsonl").exists());
    // Into the first step, which takes much longer than all that follows.
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().unwrap().is_none(), "the first signal did not wait for the step");
    let second = Instant::now();
    signal(&child, "TERM");
    assert_eq!(code(&mut child), Some(143));
    assert!(second.elapsed() < Duration::from_secs(5), "{:?}", second.elapsed());
    assert!(workshop.path("out/train.toml").exists());
}

fn code(child: &mut Child) -> Option<i32> {
    child.wait().unwrap().code()
}
