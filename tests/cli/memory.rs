//! How much memory a run takes, and what it said beforehand.

use crate::workspace::{NO_GPU, Workspace};

/// What is estimated before a run is what the run takes, and a batch in parts takes less.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_that_is_estimated_is_the_memory_that_is_taken() {
    let w = Workspace::new();
    let measured = |name: &str, flags: &[&str]| {
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args(["train", "--no-eval", "--output"])
            .arg(w.path(name))
            .args(flags)
            .env(NO_GPU.0, NO_GPU.1)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut peak = 0.0f64;
        while run.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", run.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            peak = kilobytes.map_or(peak, |kilobytes| kilobytes * 1024.0 / 1e6);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut printed = String::new();
        std::io::Read::read_to_string(&mut run.stderr.take().unwrap(), &mut printed).unwrap();
        let estimate =
            printed.split("about ").nth(1).and_then(|rest| rest.split_once(" of memory")?.0.rsplit_once(' '));
        let estimate = match estimate {
            Some((number, "MB")) => number.parse::<f64>().unwrap(),
            Some((number, "GB")) => number.parse::<f64>().unwrap() * 1000.0,
            _ => panic!("{printed}"),
        };
        println!("{flags:?}: {estimate} MB estimated, {peak:.0} MB taken");
        assert!((0.8..1.6).contains(&(estimate / peak)), "{flags:?}: {estimate} MB, {peak} MB");
        peak
    };
    measured("a", &["--max-steps", "5", "--batch-size", "200"]);
    measured("b", &["--max-steps", "5", "--batch-size", "32"]);
    measured("c", &["--max-steps", "5", "--batch-size", "100", "--reg", "delta-sam,r3f"]);
    let large = ["--max-steps", "1", "--batch-size", "600", "--reg", "r3f"];
    let whole = measured("d", &large);
    let in_parts = measured("e", &[&large[..], &["--accumulate", "20"]].concat());
    assert!(in_parts < 0.5 * whole, "{in_parts} MB in parts, {whole} MB at once");
}
