//! Output folders: two runs in one, what a failed run leaves, what is overwritten.

use std::fs;

use crate::workshop::{Workshop, fail, kill, names_in, succeed};

#[test]
fn two_runs_in_one_folder() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &[]);
    let mut first = workshop.train("out", &[]).spawn().unwrap();
    workshop.wait_for_lines("out", 5, &mut first);
    // Stopped, so that it holds its lock for as long as this takes.
    crate::workshop::signal(&first, "STOP");
    for second in [&mut workshop.train("out", &["--overwrite"]), &mut workshop.train("out", &[])] {
        let said = fail(second, 1);
        assert!(said.starts_with("error: out is in use by another run"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = fail(&mut workshop.resume("out"), 1);
    assert!(said.contains("is in use by another run"), "{said}");
    // The lock dies with its process, however that ends.
    assert!(kill(first));
    succeed(&mut workshop.resume("out"));
    workshop.ends("out").assert_same(&reference, "two runs in one folder");
}

#[test]
fn a_run_that_fails_before_its_first_step_leaves_nothing() {
    let workshop = Workshop::new();
    let broken = workshop.path("broken");
    crate::workshop::copy(&workshop.path("model"), &broken);
    let weights = fs::read(broken.join("model.safetensors")).unwrap();
    fs::write(broken.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    fs::create_dir(workshop.path("empty")).unwrap();
    for more in [["--model", "broken"], ["--batch-size", "101"], ["--max-length", "129"]] {
        for output in ["out", "empty"] {
            let said = fail(&mut workshop.train(output, &more), 1);
            assert!(said.contains("error: "), "{said}");
        }
        assert!(!workshop.path("out").exists(), "{more:?}");
        assert!(
            names_in(&workshop.path("empty")).is_empty(),
            "{more:?}: {:?}",
            names_in(&workshop.path("empty"))
        );
    }
}

#[test]
fn overwriting_leaves_nothing_of_the_earlier_run() {
    let workshop = Workshop::new();
    let reference = workshop.reference("reference", &["--seed", "7"]);
    workshop.killed_in_the_middle("out", &[]);
    let said = fail(&mut workshop.train("out", &["--seed", "7"]), 1);
    assert!(said.contains("--overwrite"), "{said}");
    assert_eq!(workshop.checkpoints("out").len(), 2);
    // Bad input destroys nothing, even where it is found only when the model is loaded.
    let broken = workshop.path("broken");
    crate::workshop::copy(&workshop.path("model"), &broken);
    fs::write(broken.join("model.safetensors"), "no weights").unwrap();
    for more in [["--model", "broken"], ["--corpus", "absent.txt"]] {
        fail(workshop.train("out", &more).arg("--overwrite"), 1);
        assert_eq!(workshop.checkpoints("out").len(), 2, "{more:?}");
        assert!(workshop.path("out/train.toml").exists() && workshop.path("out/metrics.jsonl").exists());
    }
    succeed(&mut workshop.train("out", &["--seed", "7", "--overwrite"]));
    workshop.ends("out").assert_same(&reference, "--overwrite");
}
