//! What is not gone on with, and what a run that cannot go on leaves.

use std::fs;
use std::io::Write;

use crate::workshop::{Workshop, fail, kill, succeed, wait_until};

#[test]
fn another_corpus_or_model_is_refused() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &[]);
    workshop.killed_in_the_middle("late", &[]);
    // Before its first checkpoint.
    let child = workshop.train("early", &["--save-every", "never"]).spawn().unwrap();
    wait_until(|| workshop.path("early/checkpoints/run.json").exists());
    kill(child);
    for (file, flag) in
        [("corpus.txt", "--corpus"), ("model/vocab.txt", "--model"), ("model/config.json", "--model")]
    {
        let path = workshop.path(file);
        let original = fs::read(&path).unwrap();
        fs::File::options().append(true).open(&path).unwrap().write_all(b"\n ").unwrap();
        for output in ["early", "late"] {
            let said = fail(&mut workshop.resume(output), 1);
            assert!(said.contains("SHA-256") && said.contains(flag), "{file}: {said}");
        }
        fs::write(&path, original).unwrap();
    }
    for output in ["early", "late"] {
        succeed(&mut workshop.resume(output));
        workshop.ends(output).assert_same(&reference, output);
    }
}

#[test]
fn flags_may_repeat_the_configuration_and_not_contradict_it() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &[]);
    workshop.killed_in_the_middle("out", &[]);
    for (flag, value) in [
        ("--seed", "43"),
        ("--learning-rate", "2e-5"),
        ("--reg", "sam"),
        ("--max-steps", "30"),
        ("--corpus", "other.txt"),
        ("--model", "builtin"),
        ("--output", "elsewhere"),
        ("--save-every", "3"),
    ] {
        let said = fail(workshop.resume("out").args([flag, value]), 2);
        assert!(said.starts_with(&format!("error: {flag} ")) && said.contains("contradicts"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = fail(workshop.resume("out").arg("--no-eval"), 2);
    assert!(said.starts_with("error: --no-eval "), "{said}");
    let mut same = workshop.resume("out");
    same.args(["--seed", "42", "--lr", "0.001", "--keep-best", "--corpus", "corpus.txt", "--output", "out"]);
    succeed(same.current_dir(workshop.path("")));
    workshop.ends("out").assert_same(&reference, "repeated flags");
}

#[test]
fn a_finished_run_says_so() {
    let workshop = Workshop::new();
    let before = workshop.reference("out", &["--max-steps", "5"]);
    let said = succeed(&mut workshop.resume("out"));
    assert!(said.contains("is finished"), "{said}");
    workshop.ends("out").assert_same(&before, "finished");
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let workshop = Workshop::new();
    for (folder, what) in [("absent", "no such folder"), ("model", "no train.toml")] {
        let said = fail(&mut workshop.resume(folder), 2);
        assert!(said.contains(what), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// The run stops at the step, names it, its term and its lines, and keeps the weights before it.
#[test]
fn losses_that_are_not_finite_stop_the_run() {
    let workshop = Workshop::new();
    let more = ["--learning-rate", "1e30", "--save-every", "never", "--no-eval", "--reg", "r3f"];
    let said = fail(&mut workshop.train("out", &more), 1);
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.starts_with("error: step 2: "), "{error}");
    assert!(error.contains("is NaN") || error.contains("is inf"), "{error}");
    let lines = error.split("lines ").nth(1).unwrap().split(" of ").next().unwrap();
    let numbers: Vec<u64> = lines.split(", ").map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 8, "{error}");
    assert!(error.contains("corpus.txt"), "{error}");
    assert_eq!(workshop.checkpoints("out"), ["step-00000001"]);
    assert!(error.contains("step-00000001"), "{error}");
    // It is whole: a resumed run goes on from it, into the same wall.
    let said = fail(&mut workshop.resume("out"), 1);
    assert!(said.contains("resuming after step 1") && said.contains("error: step 2: "), "{said}");
}

/// The kernels' own choice counts, not what the processor has.
#[test]
fn a_resume_on_another_instruction_set_is_warned_of() {
    let workshop = Workshop::new();
    workshop.killed_in_the_middle("out", &[]);
    let said = succeed(workshop.resume("out").env("MIRROR_SIMD", "portable"));
    assert!(said.contains("the instruction set is") && said.contains("Scalar and was"), "{said}");
}
