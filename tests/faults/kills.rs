//! kill -9 at random points.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use mirror::random::Key;
use mirror::regularization::names;

use crate::workshop::{Workshop, fail, kill, succeed};

fn regularizers() -> Vec<&'static str> {
    std::iter::once("none").chain(names()).chain(["delta-sam,r3f", "sam,smart"]).collect()
}

const KILLS_EACH: u64 = 4;

/// Lines of metrics.jsonl: 24 steps and 9 scores.
const LINES: u64 = 33;

/// Held-out lines are the same after a kill, and so is what was measured on them before it.
#[test]
fn held_out_lines_survive_kills() {
    let workshop = Workshop::new();
    let flags = ["--holdout", "12"];
    let reference = workshop.reference("reference", &flags);
    let measured = |name: &str| {
        let metrics = String::from_utf8(workshop.ends_so_far(name)).unwrap();
        metrics.lines().filter(|line| line.contains("\"mrr\"")).count()
    };
    // 88 sentences, 22 steps: before, after every third, and at the end.
    assert_eq!(measured("reference"), 9);
    let mut command = workshop.train("killed", &flags);
    for lines in [3, 14, 30] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("killed", lines, &mut child);
        kill(child);
        command = workshop.resume("killed");
    }
    let said = succeed(&mut workshop.resume("killed"));
    assert!(said.contains("before ") && said.contains("after "), "{said}");
    workshop.ends("killed").assert_same(&reference, "--holdout 12");
    let mut other = workshop.mirror(&["train", "--resume", "killed", "--holdout", "13"]);
    assert!(fail(&mut other, 2).contains("--holdout 13 contradicts"));
}

/// A corpus that came from standard input is given again; the same text goes on to the same bytes, another is refused.
#[test]
fn a_piped_corpus_is_given_again_after_a_kill() {
    let workshop = Workshop::new();
    let flags = ["--corpus", "-"];
    let piped = |mut command: Command, file: &str| {
        command.stdin(File::open(workshop.path(file)).unwrap());
        command
    };
    let reference = workshop.reference("reference", &[]);
    let mut command = piped(workshop.train("killed", &flags), "corpus.txt");
    for lines in [4, 15, 29] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("killed", lines, &mut child);
        assert!(kill(child), "the run ended before {lines} lines");
        command = piped(workshop.resume("killed"), "corpus.txt");
    }
    let text = std::fs::read_to_string(workshop.path("corpus.txt")).unwrap();
    std::fs::write(workshop.path("other.txt"), text.replacen("a", "the", 1)).unwrap();
    let refused = fail(&mut piped(workshop.resume("killed"), "other.txt"), 1);
    assert!(refused.contains("the corpus is not the one that this run started with"), "{refused}");
    fail(&mut workshop.resume("killed"), 1);
    succeed(&mut command);
    workshop.ends("killed").assert_same(&reference, "--corpus -");
}

/// A run whose loss is one over prefixes as well, with a term that remembers.
#[test]
fn matryoshka_survives_kills() {
    let workshop = Workshop::new();
    let flags = ["--matryoshka", "3,8", "--reg", "sam,smart"];
    let reference = workshop.reference("reference", &flags);
    let mut command = workshop.train("killed", &flags);
    for lines in [5, 17] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("killed", lines, &mut child);
        kill(child);
        command = workshop.resume("killed");
    }
    succeed(&mut workshop.resume("killed"));
    workshop.ends("killed").assert_same(&reference, "--matryoshka 3,8");
}

/// A learning rate that goes by the step's number, and a run that ends by its scores.
#[test]
fn schedules_and_early_stops_survive_kills() {
    let workshop = Workshop::new();
    let flags = "--schedule cosine --warmup 0.2 --adam-betas 0.8,0.98 --adam-eps 1e-6 --early-stop 2";
    let flags: Vec<&str> = flags.split(' ').collect();
    let reference = workshop.reference("reference", &flags);
    let metrics = String::from_utf8(workshop.ends_so_far("reference")).unwrap();
    let rates = metrics.lines().filter_map(|line| {
        serde_json::from_str::<serde_json::Value>(line).unwrap().get("learning_rate")?.as_f64()
    });
    // Five of 24 steps up to the peak.
    let rates: Vec<f64> = rates.take(6).collect();
    let expected = [0.0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3];
    assert!(rates.iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-15), "{rates:?}");
    assert_eq!(rates.len(), expected.len());
    let mut command = workshop.train("killed", &flags);
    for lines in [3, 7] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("killed", lines, &mut child);
        kill(child);
        command = workshop.resume("killed");
    }
    succeed(&mut workshop.resume("killed"));
    workshop.ends("killed").assert_same(&reference, "--schedule cosine --early-stop 2");
}

/// MPNet's relative bias has a gradient to which all layers and sequences add, and moments of its own.
#[test]
fn an_mpnet_that_was_killed_ends_in_the_same_bytes() {
    let workshop = Workshop::of("mpnet");
    let flags = ["--reg", "delta-sam,r3f"];
    let reference = workshop.reference("reference", &flags);
    let mut command = workshop.train("killed", &flags);
    for lines in [4, 15, 29] {
        let mut child = command.spawn().unwrap();
        workshop.wait_for_lines("killed", lines, &mut child);
        kill(child);
        command = workshop.resume("killed");
    }
    succeed(&mut workshop.resume("killed"));
    workshop.ends("killed").assert_same(&reference, "mpnet");
    let other_threads = workshop.reference("threads", &["--reg", "delta-sam,r3f", "--threads", "2"]);
    other_threads.assert_same(&reference, "mpnet on two threads");
}

#[test]
fn runs_that_were_killed_end_in_the_same_bytes() {
    let workshop = Workshop::new();
    let mut kills = 0;
    for (i, reg) in regularizers().into_iter().enumerate() {
        let reference = workshop.reference(&format!("reference-{i}"), &["--reg", reg]);
        let output = format!("killed-{i}");
        let mut command = workshop.train(&output, &["--reg", reg]);
        for part in 0..KILLS_EACH {
            let mut child = command.spawn().unwrap();
            // Anywhere: while it starts, in a step, in a score, in a checkpoint.
            let key = Key::new(42).at(i as u64).at(part);
            workshop.wait_for_lines(&output, key.at(0).below(LINES) as usize, &mut child);
            std::thread::sleep(Duration::from_micros(key.at(1).below(30_000)));
            kills += u32::from(kill(child));
            if !workshop.path(&output).join("train.toml").exists() {
                // It was killed before it had a configuration: there is nothing to resume.
                command = workshop.train(&output, &["--reg", reg]);
            } else {
                command = workshop.resume(&output);
            }
        }
        let said = succeed(&mut workshop.resume(&output));
        assert!(!said.contains("broken"), "--reg {reg}: {said}");
        workshop.ends(&output).assert_same(&reference, &format!("--reg {reg}"));
    }
    assert!(kills >= 30, "only {kills} kills met a running process");
    println!("{kills} kills, {} regularizers, 0 bytes lost", regularizers().len());
}
