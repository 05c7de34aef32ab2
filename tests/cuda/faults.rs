//! Devices that cannot be used, or fail in the middle of the work: one sentence each, and `--device auto` computes on the
//! CPU. The software device plays them.

use crate::machine::{OnDevice, software};
use crate::workspace::Workspace;

const ENCODE: &str = "encode --input in.txt";
const TRAIN: &str = "train --no-eval --holdout 0 --batch-size 4 --max-steps 4 --save-every 2 --keep-last 9";

fn workspace() -> Workspace {
    let w = Workspace::new();
    w.write("in.txt", "a sentence\nanother one\n");
    w
}

/// `--device cuda` fails with one line that says this; `auto` computes as `cpu` does, and says as much where a GPU is there.
fn is_refused(settings: &[(&str, &str)], said: &str, auto_says: bool) {
    let w = workspace();
    let on = |device: &str| {
        let program = OnDevice::new(&w, &format!("{ENCODE} --device {device}"));
        settings.iter().fold(program, |program, (name, value)| program.env(name, value))
    };
    let stderr = on("cuda").fail();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: --device cuda: ") && stderr.contains(said), "{stderr}");
    let [cpu, _] = on("cpu").run();
    let [auto, stderr] = on("auto").run();
    assert_eq!(auto, cpu);
    let expected = usize::from(auto_says);
    assert_eq!(stderr.matches("computing on the CPU: ").count(), expected, "{stderr}");
    assert_eq!(stderr.contains(said), auto_says, "{stderr}");
}

#[test]
fn without_a_driver_there_is_no_gpu() {
    if software().is_some() {
        is_refused(&[("LD_LIBRARY_PATH", "/nowhere")], "no CUDA driver that finds a GPU", false);
        is_refused(&[("SWCUDA_DEVICES", "0")], "no CUDA driver that finds a GPU", false);
        is_refused(&[("CUDA_VISIBLE_DEVICES", "")], "no CUDA driver that finds a GPU", false);
    }
}

#[test]
fn a_driver_or_a_card_may_be_too_old() {
    if software().is_some() {
        is_refused(&[("SWCUDA_DRIVER", "12040")], "the CUDA driver is too old", true);
        let card = [("SWCUDA_CAPABILITY", "75"), ("SWCUDA_NAME", "Tesla T4")];
        is_refused(
            &card,
            "Tesla T4 has compute capability 7.5, and the program's kernels need 8.0 or later",
            true,
        );
    }
}

#[test]
fn a_card_may_be_full() {
    if software().is_some() {
        is_refused(
            &[("SWCUDA_MEMORY_MIB", "0"), ("SWCUDA_NAME", "Tesla T4")],
            "use all memory of Tesla T4",
            true,
        );
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let w = workspace();
    let stderr = OnDevice::new(&w, &format!("{ENCODE} --device cuda:99")).fail();
    assert!(stderr.contains("name one up to cuda:") && stderr.lines().count() == 1, "{stderr}");
}

/// Memory that is used up in a step: what would fit is said, in a line, and it does fit.
#[test]
fn out_of_memory_says_what_would_fit() {
    if software().is_none() {
        return;
    }
    let w = Workspace::new();
    let train = "train --no-eval --holdout 0 --batch-size 256 --precision f32 --max-steps 1 --device cuda";
    let run = |flags: &str| {
        // A backtrace must not get into the sentence.
        OnDevice::new(&w, &format!("{train} {flags}"))
            .env("SWCUDA_MEMORY_MIB", "300")
            .env("RUST_BACKTRACE", "1")
    };
    let stderr = run("--output out").fail();
    let last = stderr.lines().last().unwrap();
    assert!(stderr.contains("warning: about") && stderr.contains("of GPU memory will be needed"), "{stderr}");
    assert!(last.starts_with("error: step 1 needs more memory than the GPU has left; "), "{stderr}");
    let flag = last.split("; ").nth(1).unwrap().split(" would").next().unwrap();
    assert!(flag.starts_with("--accumulate "), "{stderr}");
    run(&format!("{flag} --output smaller")).run();
}

/// The last checkpoint stands, and a resumed run ends as one that lost nothing.
#[test]
fn a_device_lost_in_mid_run_leaves_the_last_checkpoint() {
    if software().is_none() {
        return;
    }
    let w = Workspace::new();
    let train = |output: &str| OnDevice::new(&w, &format!("{TRAIN} --device cuda --output {output}"));
    let whole = train("whole").counts();
    let launches = whole["totals"]["launches"].as_u64().unwrap();
    let lost = (launches * 7 / 8).to_string();
    let stderr = train("lost").env("SWCUDA_LOST_AFTER", &lost).env("RUST_BACKTRACE", "1").fail();
    let lines: Vec<&str> = stderr.lines().rev().take(2).collect();
    assert!(
        lines[0].starts_with("error: the GPU failed in step 4: ") || lines[0].contains("in step 3"),
        "{stderr}"
    );
    assert!(lines[0].ends_with("; the checkpoint of step 2 stands"), "{stderr}");
    assert!(lines[1].contains("mirror train --resume"), "{stderr}");
    OnDevice::new(&w, "train --resume lost").run();
    assert!(w.read("lost/model.safetensors") == w.read("whole/model.safetensors"));

    let lost_at_once = train("never").env("SWCUDA_LOST_AFTER", "20").fail();
    assert!(lost_at_once.lines().last().unwrap().contains("the GPU failed"), "{lost_at_once}");
}
