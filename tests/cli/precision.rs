//! `--precision`: the same bytes on any number of threads, saved with a run, near f32, refused where it cannot be.

use crate::models::{Kind, sentences};
use crate::workspace::{Workspace, difference, npy};

fn tiny() -> Workspace {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    w
}

const TRAIN: &str = "train --model m --corpus corpus.txt --batch-size 8 --max-steps 2 --lr 1e-3 --no-eval";

#[test]
fn a_run_in_bf16_gives_the_same_bytes_on_any_number_of_threads() {
    let w = tiny();
    for (n, reg) in ["none", "delta-sam,r3f", "sam-instance"].iter().enumerate() {
        let weights = |name: &str, flags: &str| {
            w.run(&format!("{TRAIN} --reg {reg} --output {name}{n} {flags}"));
            w.read(&format!("{name}{n}/model.safetensors"))
        };
        let one = weights("one", "--precision bf16 --threads 1");
        assert_eq!(one, weights("three", "--precision bf16 --threads 3"), "{reg}");
        assert_ne!(one, weights("f32", ""), "{reg}");
        // Parts sum up gradients in another order.
        weights("parts", "--precision bf16 --accumulate 2");
    }
}

#[test]
fn a_precision_is_saved_and_kept() {
    let w = tiny();
    let precision = |name: &str| {
        let text = String::from_utf8(w.read(&format!("{name}/train.toml"))).unwrap();
        text.lines().find_map(|line| line.strip_prefix("precision = ").map(str::to_owned)).unwrap()
    };
    w.run(&format!("{TRAIN} --output f32"));
    assert_eq!(precision("f32"), "\"f32\"");
    w.run(&format!("{TRAIN} --output auto --precision auto --device cpu"));
    assert!(["\"f32\"", "\"bf16\""].contains(&precision("auto").as_str()));
    w.run(&format!("{TRAIN} --output bf16 --precision bf16 --save-every 1"));
    assert_eq!(precision("bf16"), "\"bf16\"");
    w.refuses_usage("train --resume bf16 --precision f32", &["--precision \"f32\" contradicts", "bf16"]);
    w.refuses_usage(&format!("{TRAIN} --output no --precision int8"), &["int8", "bf16"]);

    // Stopped as a run is that was killed after its last checkpoint, with its settings changed by hand.
    std::fs::remove_file(w.path("bf16/model.safetensors")).unwrap();
    let settings = String::from_utf8(w.read("bf16/train.toml")).unwrap();
    w.write("bf16/train.toml", settings.replace("precision = \"bf16\"", "precision = \"f32\""));
    let refused = w.mirror("train --resume bf16").output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && stderr.contains("--precision bf16"), "{stderr}");
    w.write("bf16/train.toml", settings);
    w.run("train --resume bf16");
}

#[test]
fn fewer_bits_encode_near_f32() {
    let w = tiny();
    w.write("in.txt", sentences(40).join("\n"));
    let rows = |precision: &str| {
        w.run(&format!(
            "encode --model m --normalize --input in.txt --output {precision}.npy --precision {precision}"
        ));
        npy(&w.read(&format!("{precision}.npy")))
    };
    let exact = rows("f32");
    w.run("encode --model m --normalize --input in.txt --output plain.npy");
    assert_eq!(exact, npy(&w.read("plain.npy")));
    for (precision, tolerance) in [("bf16", 0.02), ("int8", 0.05)] {
        let found = difference(&exact, &rows(precision));
        assert!(found > 0.0 && found < tolerance, "{precision}: {found}");
        w.run(&format!("search --model m --input in.txt --precision {precision} guitar"));
        w.run(&format!("eval --model m --precision {precision}"));
    }
    for (flags, says) in [
        ("--precision f16", "--backend onnx"),
        ("--precision f8", "f32, bf16 and int8"),
        ("--backend onnx --precision bf16", "--backend candle"),
    ] {
        w.refuses_usage(&format!("encode --model m {flags}"), &[says]);
    }
    let version = w.run("--version").stdout;
    assert!(version.contains("bf16") && version.contains("int8"), "{version}");
}
