//! A clock that jumps.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::workshop::{Workshop, signal, wait_until};

#[test]
fn checkpoints_by_time_do_not_go_by_the_wall_clock() {
    let workshop = Workshop::new();
    let library = workshop.path("jumping_clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/jumping_clock.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    if !cfg!(all(target_os = "linux", target_arch = "x86_64"))
        || !compiled.is_ok_and(|status| status.success())
    {
        eprintln!("SKIPPED: the jumping clock is for Linux on x86-64 with a C compiler");
        return;
    }
    let more = ["--epochs", "100000", "--save-every", "1s", "--keep-last", "1000", "--no-eval"];
    let mut command = workshop.train("out", &more);
    let loaded = workshop.path("loaded");
    command.env("LD_PRELOAD", &library).env("JUMPING_CLOCK_LOADED", &loaded);
    let began = Instant::now();
    let child = command.spawn().unwrap();
    wait_until(|| !workshop.checkpoints("out").is_empty());
    std::thread::sleep(Duration::from_millis(2500));
    signal(&child, "TERM");
    let ended = child.wait_with_output().unwrap();
    let seconds = began.elapsed().as_secs() as usize;
    assert_eq!(ended.status.code(), Some(143));
    assert!(loaded.exists());
    // One a second at most, and one at the end: neither one after each step nor none.
    let checkpoints = workshop.checkpoints("out").len();
    assert!((3..=seconds + 2).contains(&checkpoints), "{checkpoints} checkpoints in {seconds} s");
}
