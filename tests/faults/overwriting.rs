//! A run over an earlier one, stopped at any moment: the one or the other is whole, and nothing of others is lost.

use std::fs;
use std::time::{Duration, Instant};

use mirror::random::Key;

use crate::workshop::{Workshop, copy, fail, kill, names_in, signal, succeed};

const NEW: &str = "out/.mirror-run-1";
const SEED: [&str; 2] = ["--seed", "7"];

/// A finished run in `out`, and files of others beside and among its files.
fn earlier(workshop: &Workshop) {
    workshop.reference("out", &[]);
    for file in ["notes.txt", "checkpoints/other-run/epoch3.pt", "below/it/notes.txt"] {
        let path = workshop.path("out").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    copy(&workshop.path("out"), &workshop.path("earlier"));
}

fn back_to_the_earlier(workshop: &Workshop) {
    fs::remove_dir_all(workshop.path("out")).unwrap();
    copy(&workshop.path("earlier"), &workshop.path("out"));
}

fn assert_others_are_there(workshop: &Workshop) {
    for file in ["notes.txt", "checkpoints/other-run/epoch3.pt", "below/it/notes.txt"] {
        assert_eq!(fs::read(workshop.path("out").join(file)).unwrap(), b"mine", "{file}");
    }
    let all = [names_in(&workshop.path("out")), names_in(&workshop.path(""))].concat();
    let left: Vec<&String> =
        all.iter().filter(|name| name.starts_with('.') && *name != ".mirror.json").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_over_an_earlier_one_that_is_killed_leaves_one_of_them_whole() {
    let workshop = Workshop::new();
    earlier(&workshop);
    let (old, new) = (workshop.ends("out"), workshop.reference("reference", &SEED));
    let began = Instant::now();
    succeed(workshop.train("out", &SEED).arg("--overwrite"));
    let takes = began.elapsed();
    workshop.ends("out").assert_same(&new, "not killed");
    assert_others_are_there(&workshop);
    let (mut kills, mut swapped) = (0, 0);
    for part in 0..16u64 {
        back_to_the_earlier(&workshop);
        let mut child = workshop.train("out", &SEED).arg("--overwrite").spawn().unwrap();
        let key = Key::new(11).at(part);
        if part % 2 == 0 {
            std::thread::sleep(Duration::from_micros(key.below(takes.as_micros() as u64)));
        } else {
            // As it takes the earlier one's place.
            let list = workshop.path(NEW).join(".mirror.json");
            while !list.exists() && child.try_wait().unwrap().is_none() {
                std::hint::spin_loop();
            }
            std::thread::sleep(Duration::from_micros(key.below(30_000)));
        }
        kills += u32::from(kill(child));
        let found = workshop.ends("out");
        assert!(found == old || found == new, "neither the one nor the other is whole");
        swapped += u32::from(found == new);
        if workshop.path("out/.mirror-run-1").exists() && !workshop.path(NEW).join("train.toml").exists() {
            // Killed before it had a configuration: it is started again.
            succeed(workshop.train("out", &SEED).arg("--overwrite"));
        } else {
            succeed(&mut workshop.resume("out"));
        }
        if workshop.ends("out") == old {
            // Killed before it had begun.
            succeed(workshop.train("out", &SEED).arg("--overwrite"));
        }
        workshop.ends("out").assert_same(&new, "killed over an earlier run");
        assert_others_are_there(&workshop);
    }
    assert!(kills >= 8, "only {kills} kills met a running process");
    println!("{kills} kills, {swapped} after the swap, 0 bytes lost");
}

#[test]
fn a_stopped_run_over_an_earlier_one_is_resumed_or_overtaken() {
    let workshop = Workshop::new();
    earlier(&workshop);
    let (old, new) = (workshop.ends("out"), workshop.reference("reference", &SEED));
    let mut child = workshop.train("out", &SEED).arg("--overwrite").spawn().unwrap();
    workshop.wait_for_lines(NEW, 16, &mut child);
    signal(&child, "TERM");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("resume it with: mirror train --resume out"));
    workshop.ends("out").assert_same(&old, "stopped");
    assert!(workshop.checkpoints(NEW).len() == 2 && workshop.checkpoints("out").len() == 2);
    let said = fail(workshop.resume("out").args(["--seed", "8"]), 2);
    assert!(said.contains("--seed 8 contradicts"), "{said}");
    copy(&workshop.path("out"), &workshop.path("stopped"));
    let said = succeed(&mut workshop.resume("out"));
    assert!(said.contains("resuming after step"), "{said}");
    workshop.ends("out").assert_same(&new, "resumed");
    assert_others_are_there(&workshop);
    // A third run over both: what was stopped stays until it is complete, and one that cannot start changes nothing.
    fs::remove_dir_all(workshop.path("out")).unwrap();
    copy(&workshop.path("stopped"), &workshop.path("out"));
    fail(workshop.train("out", &["--batch-size", "101"]).arg("--overwrite"), 1);
    assert!(workshop.path(NEW).is_dir() && !workshop.path("out/.mirror-run-2").exists());
    let mut child = workshop.train("out", &SEED).arg("--overwrite").spawn().unwrap();
    workshop.wait_for_lines("out/.mirror-run-2", 16, &mut child);
    assert!(kill(child));
    assert_eq!(workshop.checkpoints(NEW).len(), 2);
    succeed(&mut workshop.resume("out"));
    workshop.ends("out").assert_same(&new, "overtaken");
    assert_others_are_there(&workshop);
}

/// What somebody puts into a folder while a run that fails is at it stays there.
#[test]
fn a_run_that_fails_removes_only_what_it_wrote() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("empty")).unwrap();
    for output in ["absent", "empty"] {
        // A vocabulary that takes long to read, and is then too large for the model.
        copy(&workshop.path("model"), &workshop.path("slow"));
        let mut vocabulary = fs::read_to_string(workshop.path("slow/vocab.txt")).unwrap();
        vocabulary.extend((0..500_000).map(|number| format!("word{number}\n")));
        fs::write(workshop.path("slow/vocab.txt"), vocabulary).unwrap();
        fs::remove_file(workshop.path("slow/tokenizer.json")).unwrap();
        let mut child = workshop.train(output, &["--model", "slow"]).spawn().unwrap();
        let folder = workshop.path(output);
        while !folder.join("train.toml").exists() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        signal(&child, "STOP");
        let was_there = folder.join("train.toml").exists();
        fs::create_dir_all(folder.join("checkpoints")).unwrap();
        fs::write(folder.join("checkpoints/notes.txt"), "mine").unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        signal(&child, "CONT");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
        assert!(was_there, "the run was over before it could be met");
        assert_eq!(names_in(&folder), ["checkpoints", "notes.txt"], "{output}");
        assert_eq!(fs::read(folder.join("checkpoints/notes.txt")).unwrap(), b"mine");
        fs::remove_dir_all(workshop.path("slow")).unwrap();
    }
}

/// Checkpoints are pruned; folders that only look like some are not.
#[test]
fn pruning_leaves_what_is_no_checkpoint() {
    let workshop = Workshop::new();
    workshop.killed_in_the_middle("out", &[]);
    let checkpoints = workshop.path("out/checkpoints");
    for file in ["step-3/x", "step-00000003/mine.txt", "step-00000003/model.safetensors", "step-00000001/x"] {
        fs::create_dir_all(checkpoints.join(file).parent().unwrap()).unwrap();
        fs::write(checkpoints.join(file), "mine").unwrap();
    }
    fs::write(workshop.path("out/.writing-notes.md"), "mine").unwrap();
    succeed(&mut workshop.resume("out"));
    assert_eq!(fs::read(workshop.path("out/.writing-notes.md")).unwrap(), b"mine");
    for file in ["step-3/x", "step-00000003/mine.txt", "step-00000003/model.safetensors", "step-00000001/x"] {
        assert_eq!(fs::read(checkpoints.join(file)).unwrap(), b"mine", "{file}");
    }
    assert_eq!(names_in(&checkpoints).len(), 3 + 2 + 1);
}
