//! Folders that commands write: what mirror wrote there gives way to what is complete, everything else stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::models::Kind;
use crate::workspace::{Workspace, contents, difference, jsonl};

const TRAIN: &str = "train --model m --corpus corpus.txt --batch-size 16 --max-steps 2 --lr 1e-2 --no-eval";

fn workspace() -> Workspace {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.corpus("corpus.txt");
    w
}

/// Files of others in a folder, as they are now.
fn others(w: &Workspace, folder: &str) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    w.write(&format!("{folder}/notes.txt"), "mine");
    w.write(&format!("{folder}/.git/objects/ab/cd"), "mine");
    w.write(&format!("{folder}/checkpoints/other-run/epoch3.pt"), "another tool's");
    w.write(&format!("{folder}/onnx/other.onnx"), "another tool's");
    w.write(&format!("{folder}/.writing-notes.md"), "mine");
    std::os::unix::fs::symlink("notes.txt", w.path(folder).join("a-link")).unwrap();
    let mut theirs = contents(&w.path(folder));
    theirs.retain(|path, _| {
        ["notes", ".git", "other", "a-link"].iter().any(|name| path.to_string_lossy().contains(name))
    });
    assert_eq!(theirs.values().flatten().count(), 6);
    theirs
}

fn assert_there(w: &Workspace, folder: &str, theirs: &BTreeMap<PathBuf, Option<Vec<u8>>>) {
    let now = contents(&w.path(folder));
    theirs.iter().for_each(|(path, bytes)| assert_eq!(now.get(path), Some(bytes), "{}", path.display()));
    assert!(w.path(folder).join("a-link").is_symlink());
    let above = fs::read_dir(w.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = above.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_model_is_not_trained_in_its_own_place() {
    let w = workspace();
    fs::create_dir(w.path("links")).unwrap();
    std::os::unix::fs::symlink("../m", w.path("links/model")).unwrap();
    for output in ["m", "./m/", "links/model", "links/../m"] {
        w.refuses_usage(&format!("{TRAIN} --output {output} --overwrite"), &["is what --model reads"]);
    }
    // One that mirror trained, also where it is the default.
    w.run(&format!("{TRAIN} --output mirror-out"));
    let again =
        "train --model mirror-out --corpus corpus.txt --batch-size 16 --max-steps 2 --no-eval --overwrite";
    w.refuses_usage(again, &["--output mirror-out is what --model reads"]);
    w.refuses_usage(&format!("{again} --output mirror-out"), &["is what --model reads"]);
}

#[test]
fn training_replaces_nothing_that_mirror_did_not_write() {
    let w = workspace();
    w.model(Kind::Roberta, "base");
    w.fails(&format!("{TRAIN} --output base --overwrite"), &["base/", "was not written by mirror"]);
    for file in ["README.md", "config.json", "train.toml", "metrics.jsonl", "model.safetensors", "vocab.txt"]
    {
        let folder = format!("with-{file}");
        w.write(&format!("{folder}/{file}"), "mine = 1");
        w.fails(&format!("{TRAIN} --output {folder} --overwrite"), &[file, "was not written by mirror"]);
    }
    // A model card that somebody has worked on since is his.
    w.run(&format!("{TRAIN} --output out"));
    let card = w.read("out/README.md");
    w.write("out/README.md", "mine");
    w.fails(&format!("{TRAIN} --output out --overwrite"), &["out/README.md", "changed since"]);
    w.write("out/README.md", card);
    w.run(&format!("{TRAIN} --output out --overwrite"));
    w.write("file", "x");
    w.fails(&format!("{TRAIN} --output file --overwrite"), &["file is a file"]);
}

#[test]
fn training_over_an_earlier_run_keeps_what_others_put_there() {
    let w = workspace();
    w.run(&format!("{TRAIN} --output fresh --seed 9 --save-every 1"));
    w.run(&format!("{TRAIN} --output out --save-every 1"));
    w.write("out/checkpoints/step-7/theirs", "mine");
    let theirs = others(&w, "out");
    w.run(&format!("{TRAIN} --output out --overwrite --seed 9 --save-every 1"));
    assert_there(&w, "out", &theirs);
    assert_eq!(w.read("out/checkpoints/step-7/theirs"), b"mine");
    for file in ["model.safetensors", "metrics.jsonl", "checkpoints/step-00000002/model.safetensors"] {
        assert!(w.read(&format!("out/{file}")) == w.read(&format!("fresh/{file}")), "{file}");
    }
    let theirs_of_out = theirs;
    // Into a folder that has nothing of mirror's, too.
    fs::create_dir(w.path("project")).unwrap();
    let theirs = others(&w, "project");
    w.run(&format!("{TRAIN} --output project --overwrite"));
    assert_there(&w, "project", &theirs);
    // The folder does not go from under whoever is in it, and a link to it stays one.
    let mut here = w.mirror("train --model ../m --corpus ../corpus.txt --batch-size 16 --max-steps 2 --no-eval --output . --overwrite");
    here.current_dir(w.path("out")).assert().success();
    std::os::unix::fs::symlink("out", w.path("link")).unwrap();
    w.run(&format!("{TRAIN} --output link --overwrite"));
    assert!(w.path("link").is_symlink());
    assert_there(&w, "out", &theirs_of_out);
    // Its own settings may be read again; its other files may not.
    w.run("train --config out/train.toml --overwrite --max-steps 1");
    let corpus = "train --model m --batch-size 2 --max-steps 1 --no-eval --overwrite --output out --corpus";
    w.refuses_usage(&format!("{corpus} out/README.md"), &["out/README.md is what --corpus reads"]);
}

/// A folder of an earlier version has no list; its files are known by what is in them.
#[test]
fn folders_of_earlier_versions_are_known() {
    let w = workspace();
    w.run(&format!("{TRAIN} --output out"));
    fs::remove_file(w.path("out/.mirror.json")).unwrap();
    w.run(&format!("{TRAIN} --output out --overwrite --seed 9"));
    w.run("export --model m --output onnx --no-verify");
    fs::remove_file(w.path("onnx/.mirror.json")).unwrap();
    w.run("export --model m --output onnx --no-verify --overwrite --precision f16");
    assert!(!w.path("onnx/onnx/model.onnx").exists());
    fs::remove_file(w.path("onnx/.mirror.json")).unwrap();
    w.run(&format!("{TRAIN} --output onnx --overwrite"));
    assert!(w.path("onnx/onnx/model_fp16.onnx").exists() && w.path("onnx/model.safetensors").exists());
}

#[test]
fn an_export_keeps_what_others_put_there() {
    let w = workspace();
    w.run("export --model m --output out --no-verify --precision f32,f16");
    let theirs = others(&w, "out");
    w.write("out/README.md", "my own card");
    w.run("export --model m --output out --no-verify --precision int8 --overwrite");
    assert_there(&w, "out", &theirs);
    assert_eq!(w.read("out/README.md"), b"my own card");
    let graphs = ["model.onnx", "model_fp16.onnx", "model_int8.onnx"];
    assert_eq!(graphs.map(|name| w.path("out/onnx").join(name).exists()), [false, false, true]);
    for file in ["config.json", "onnx/model.onnx", "tokenizer.json"] {
        let folder = format!("with-{}", file.replace('/', "-"));
        w.write(&format!("{folder}/{file}"), "mine");
        let export = format!("export --model m --output {folder} --no-verify --overwrite");
        w.fails(&export, &[file, "was not written by mirror"]);
    }
    // Weights are of a model of their own.
    w.run(&format!("{TRAIN} --output trained"));
    w.fails(
        "export --model m --output trained --no-verify --overwrite",
        &["trained/model.safetensors", "belongs to"],
    );
    w.run(&format!("{TRAIN} --output stopped --save-every 1"));
    fs::remove_file(w.path("stopped/model.safetensors")).unwrap();
    w.run("export --model m --output stopped --no-verify --overwrite");
    assert!(w.path("stopped/checkpoints/step-00000002").is_dir() && w.path("stopped/train.toml").exists());
}

#[test]
fn graphs_are_added_to_a_models_own_folder() {
    let w = workspace();
    let before = contents(&w.path("m"));
    w.fails("export --model m --output m --no-verify", &["m is not empty", "--overwrite"]);
    w.refuses_usage(
        "export --model m --output ./m --no-verify --overwrite --pooling cls",
        &["the model's own folder"],
    );
    for _ in 0..2 {
        w.run("export --model m --output ./m --no-verify --overwrite --precision f32,int8");
    }
    let mut after = contents(&w.path("m"));
    after.retain(|path, _| !path.starts_with(w.path("m/onnx")) && path != &w.path("m/.mirror.json"));
    assert!(after == before);
    assert!(w.path("m/onnx/model.onnx").exists() && w.path("m/onnx/model_int8.onnx").exists());
    // Its weights are not mirror's for that.
    w.fails(
        &TRAIN.replace("--model m", "--model builtin --output m --overwrite"),
        &["m/", "not written by mirror"],
    );
    // Those of a trained folder still are.
    w.run(&format!("{TRAIN} --output out"));
    w.run("export --model out --output out --no-verify --overwrite");
    w.run(&format!("{TRAIN} --output out --overwrite --seed 9"));
    assert!(w.path("out/onnx/model.onnx").exists());
}

/// Beside new weights there is no graph of the old ones.
#[test]
fn a_graph_belongs_to_the_weights_beside_it() {
    if crate::python::installed("ORT_DYLIB_PATH").is_none() {
        return;
    }
    let w = workspace();
    w.write("in.txt", "a man plays\ntwo dogs\n");
    let rows = |flags: &str| jsonl(&w.run(&format!("encode --input in.txt {flags}")).stdout);
    w.run("export --model m --output out --precision f32,int8");
    let said = w.run(&format!("{TRAIN} --output out --overwrite")).stderr;
    assert!(
        said.contains("exported anew from the new weights: onnx/model.onnx, onnx/model_int8.onnx"),
        "{said}"
    );
    assert!(difference(&rows("--model out"), &rows("--model out --backend onnx")) < 1e-4);
    assert!(w.path("out/onnx/model_int8.onnx").exists());
    // A graph of other weights is noticed, whatever form these are stored in.
    w.run("export --model m --output m --overwrite --no-verify");
    rows("--model m --backend onnx");
    fs::copy(w.path("m/onnx/model.onnx"), w.path("out/onnx/model.onnx")).unwrap();
    w.fails(
        "encode --model out --backend onnx --input in.txt --output rows.npy",
        &["out/onnx/model.onnx was made from other weights than out/model.safetensors", "mirror export"],
    );
    w.fails("eval --model out --backend onnx --json s.json", &["was made from other weights"]);
    // One that says nothing of its weights is warned of.
    let graph = w.read("m/onnx/model.onnx");
    let mut silent = graph.clone();
    let at = graph.windows(14).position(|bytes| bytes == b"weights_sha256").unwrap();
    silent[at] = b'W';
    w.write("m/onnx/model.onnx", silent);
    let said = w.run("encode --model m --backend onnx --input in.txt --output rows.npy").stderr;
    assert!(said.contains("warning: m/onnx/model.onnx does not say which weights"), "{said}");
}
