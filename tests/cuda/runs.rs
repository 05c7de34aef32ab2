//! The program's commands on the device beside the CPU.

use std::process::{Child, Stdio};

use mirror::regularization::names;
use serde_json::Value;

use crate::machine::{OnDevice, software};
use crate::workspace::{Workspace, difference, jsonl, npy};

const TRAIN: &str = "train --no-eval --holdout 0 --batch-size 2 --lr 1e-4 --precision f32";

/// Losses of each step, of a run's metrics.
fn losses(w: &Workspace, folder: &str) -> Vec<f64> {
    w.metrics(folder).iter().filter_map(|line| line["loss"].as_f64()).collect()
}

fn assert_near(ours: &[f64], expected: &[f64], what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    for (x, y) in ours.iter().zip(expected) {
        assert!((x - y).abs() <= 1e-3 * y.abs().max(1e-2), "{what}: {ours:?} {expected:?}");
    }
}

/// Every regularizer of the registry makes the steps that it makes on the CPU.
#[test]
fn every_regularizer_takes_the_cpus_steps() {
    let w = Workspace::new();
    let all = std::iter::once("none").chain(names()).chain(["delta-sam,r3f"]);
    for (i, reg) in all.enumerate() {
        let on = |device: &str| {
            let output = format!("{device}-{i}");
            OnDevice::new(
                &w,
                &format!("{TRAIN} --max-steps 2 --reg {reg} --device {device} --output {output}"),
            )
            .run();
            losses(&w, &output)
        };
        let (cuda, cpu) = (on("cuda"), on("cpu"));
        println!("--reg {reg}: {cuda:?} {cpu:?}");
        assert_near(&cuda, &cpu, reg);
    }
}

/// What a GPU computes in when nothing is said.
#[test]
fn bf16_is_the_default_and_near_f32() {
    let w = Workspace::new();
    let train = TRAIN.replace(" --precision f32", "");
    let [_, stderr] =
        OnDevice::new(&w, &format!("{train} --max-steps 3 --reg delta-sam,r3f --device cuda --output bf16"))
            .run();
    assert!(stderr.contains("layers multiply in bf16 on the GPU; --precision f32 gives f32"), "{stderr}");
    OnDevice::new(&w, &format!("{TRAIN} --max-steps 3 --reg delta-sam,r3f --device cpu --output f32")).run();
    let (bf16, f32) = (losses(&w, "bf16"), losses(&w, "f32"));
    assert!(bf16 != f32, "{bf16:?}");
    for (x, y) in bf16.iter().zip(&f32) {
        assert!((x - y).abs() <= 2e-2 * y.abs().max(1.0), "{bf16:?} {f32:?}");
    }
}

fn wait_for_lines(w: &Workspace, folder: &str, lines: usize, child: &mut Child) {
    let path = w.path(folder).join("metrics.jsonl");
    let written = || std::fs::read(&path).unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count();
    while written() < lines {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Killed, a run is resumed on the device to the same bytes; what it wrote is used by all other commands.
#[test]
fn a_run_that_was_killed_ends_in_the_same_bytes_and_is_used() {
    let w = Workspace::new();
    let train = |output: &str| {
        let flags = "--max-steps 4 --save-every 1 --reg delta-sam,r3f --device cuda";
        OnDevice::new(&w, &format!("{TRAIN} {flags} --output {output}"))
    };
    train("whole").run();
    let mut child = train("killed").command().stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for_lines(&w, "killed", 2, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let [_, stderr] = OnDevice::new(&w, "train --resume killed").run();
    assert!(stderr.contains("resuming after step") && !stderr.contains("warning"), "{stderr}");
    for file in ["model.safetensors", "metrics.jsonl"] {
        assert!(w.read(&format!("killed/{file}")) == w.read(&format!("whole/{file}")), "{file}");
    }
    encodes_as_the_cpu(&w);
    scores_and_searches_as_the_cpu(&w);
    measures_sharpness_as_the_cpu(&w);
    a_checkpoint_knows_its_card(&w);
}

fn encodes_as_the_cpu(w: &Workspace) {
    w.write("in.txt", "two dogs run over the green fields\n\nsomeone sings a song\na man plays the guitar\n");
    let encoded = |device: &str| {
        let asked = format!("encode --model killed --input in.txt --output {device}.npy --device {device}");
        OnDevice::new(w, &asked).run();
        npy(&w.read(&format!("{device}.npy")))
    };
    let off = difference(&encoded("cuda"), &encoded("cpu"));
    assert!(off < 1e-5, "{off}");
    let [stdout, _] =
        OnDevice::new(w, "encode --model killed --input in.txt --dimensions 16 --device cuda").run();
    assert_eq!(jsonl(&stdout).iter().map(Vec::len).collect::<Vec<_>>(), [16; 4]);
}

fn scores_and_searches_as_the_cpu(w: &Workspace) {
    let json = |asked: &str, device: &str| -> Value {
        let [stdout, _] = OnDevice::new(w, &format!("{asked} --device {device}")).run();
        serde_json::from_str(&stdout).unwrap()
    };
    w.write(
        "pairs.tsv",
        "5\ta man plays\ta man plays a guitar\n0.5\ttwo dogs\tsomeone sings\n3\tgreen fields\tdogs\n",
    );
    let score = |device| {
        let report = json("eval --model killed --set mine=pairs.tsv --json -", device);
        report["tasks"]["mine"]["spearman"].as_f64().unwrap()
    };
    assert!((score("cuda") - score("cpu")).abs() < 1e-6);
    w.write("queries.txt", "a song\ndogs\n");
    let hits = |device| {
        let found = json("search --model killed --input in.txt --queries queries.txt --top 2 --json", device);
        let lines = |query: &Value| -> Vec<Value> {
            let hits = query["models"][0]["hits"].as_array().unwrap();
            hits.iter().map(|hit| hit["line"].clone()).collect()
        };
        found.as_array().unwrap().iter().map(lines).collect::<Vec<_>>()
    };
    assert_eq!(hits("cuda"), hits("cpu"));
}

fn measures_sharpness_as_the_cpu(w: &Workspace) {
    let lines: Vec<&str> = include_str!("../../data/builtin/corpus.txt").lines().take(40).collect();
    w.write("corpus.txt", lines.join("\n"));
    let sharpness = |device: &str| {
        let small = "--corpus corpus.txt --batch-size 4 --batches 1 --directions 1 --instances 2";
        let asked = format!("sharpness --model killed {small} --json - --device {device}");
        let [stdout, _] = OnDevice::new(w, &asked).run();
        let report: Value = serde_json::from_str(&stdout).unwrap();
        ["loss", "batch", "instance"].map(|name| report[name]["estimate"].as_f64().unwrap())
    };
    let (cuda, cpu) = (sharpness("cuda"), sharpness("cpu"));
    for (x, y) in cuda.iter().zip(cpu) {
        assert!((x - y).abs() <= 2e-2 * y.abs(), "{cuda:?} {cpu:?}");
    }
}

/// Resumed on another card, a run says that its last bits may differ.
fn a_checkpoint_knows_its_card(w: &Workspace) {
    if software().is_none() {
        return;
    }
    let asked = format!("{TRAIN} --max-steps 3 --save-every 1 --device cuda --output moved");
    let lost = OnDevice::new(w, &asked).env("SWCUDA_NAME", "NVIDIA A100").env("SWCUDA_CAPABILITY", "80");
    let mut child = lost.command().stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for_lines(w, "moved", 2, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let [_, stderr] = OnDevice::new(w, "train --resume moved").env("SWCUDA_NAME", "NVIDIA H100").run();
    let warned =
        "the device is NVIDIA H100 (compute capability 9.0) and was NVIDIA A100 (compute capability 8.0)";
    assert!(stderr.contains(warned), "{stderr}");
}

/// The GPU memory that is estimated before a run is about what it takes.
#[test]
fn the_gpu_memory_that_is_estimated_is_taken() {
    if software().is_none() {
        return;
    }
    let w = Workspace::new();
    let runs = [
        "--batch-size 32",
        "--batch-size 8",
        "--batch-size 16 --reg delta-sam,r3f",
        "--batch-size 32 --accumulate 4",
    ];
    for (i, flags) in runs.into_iter().enumerate() {
        let asked = format!("train --no-eval --holdout 0 --max-steps 2 --device cuda --output m-{i} {flags}");
        let counts = OnDevice::new(&w, &asked).counts();
        let peak = counts["memory"]["peak_bytes"].as_f64().unwrap() / 1e6;
        let [_, stderr] =
            OnDevice::new(&w, &asked.replace("m-", "n-").replace("--max-steps 2", "--max-steps 1")).run();
        let told =
            stderr.split("about ").nth(1).and_then(|rest| rest.split_once(" of GPU memory")).unwrap().0;
        let estimate: f64 = told.strip_suffix(" MB").unwrap().parse().unwrap();
        println!("{flags}: {estimate} MB estimated, {peak:.0} MB taken");
        assert!((0.8..1.6).contains(&(estimate / peak)), "{flags}: {estimate} MB, {peak} MB");
    }
}
