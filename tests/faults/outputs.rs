//! Whatever stops a command that writes something else than a run: what it writes is there as it has to be, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mirror::random::Key;

use crate::workshop::{Workshop, kill, names_in, signal, succeed, text};

const KILLS_EACH: u64 = 8;

/// Each writes below the current folder, and nothing but what is named beside it.
const COMMANDS: [(&[&str], &[&str]); 7] = [
    (
        &["export", "--model", "../model", "--output", "onnx", "--precision", "f32,int8", "--no-verify"],
        &["onnx"],
    ),
    (
        &["encode", "--model", "../model", "--input", "../corpus.txt", "--output", "embeddings.npy"],
        &["embeddings.npy"],
    ),
    (
        &[
            "eval",
            "--model",
            "../model",
            "--set",
            "dev=../pairs.tsv",
            "--json",
            "report.json",
            "--html",
            "report.html",
        ],
        &["report.json", "report.html"],
    ),
    (
        &[
            "eval",
            "--model",
            "../model",
            "--set",
            "dev=../pairs.tsv",
            "--mteb",
            "results",
            "--resamples",
            "0",
        ],
        &[
            "results/results/_..__model/no_revision_available/dev.json",
            "results/results/_..__model/no_revision_available/model_meta.json",
        ],
    ),
    (
        &[
            "eval",
            "--model",
            "../model",
            "--corpus",
            "../corpus.txt",
            "--json",
            "report.json",
            "--markdown",
            "report.md",
        ],
        &["report.json", "report.md"],
    ),
    (
        &[
            "sharpness",
            "--model",
            "../model",
            "--corpus",
            "../corpus.txt",
            "--batch-size",
            "8",
            "--batches",
            "2",
            "--json",
            "sharpness.json",
            "--output",
            "sharpness.svg",
        ],
        &["sharpness.json", "sharpness.svg"],
    ),
    (
        &["man", "pages"],
        &[
            "pages/mirror.1",
            "pages/mirror-completions.1",
            "pages/mirror-data.1",
            "pages/mirror-data-check.1",
            "pages/mirror-data-fetch.1",
            "pages/mirror-encode.1",
            "pages/mirror-eval.1",
            "pages/mirror-export.1",
            "pages/mirror-man.1",
            "pages/mirror-search.1",
            "pages/mirror-sharpness.1",
            "pages/mirror-train.1",
        ],
    ),
];

#[test]
fn files_of_killed_commands_are_whole_or_absent() {
    let scene = Scene::new();
    for (which, (arguments, outputs)) in COMMANDS.into_iter().enumerate() {
        let (reference, takes) = scene.reference(arguments, outputs);
        for part in 0..KILLS_EACH {
            let key = Key::new(7).at(which as u64).at(part);
            let folder = scene.folder(&format!("killed-{which}-{part}"));
            let child = scene.command(arguments, &folder).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(key.below(takes.as_micros() as u64)));
            kill(child);
            whole_or_absent(&reference, &folder, outputs);
            if contents(&folder, outputs) != reference {
                succeed(&mut scene.command(arguments, &folder));
            }
            assert!(contents(&folder, outputs) == reference, "{arguments:?} after a kill");
            if arguments[0] == "export" {
                // What was killed before is cleared by what is written to the same place.
                succeed(scene.command(arguments, &folder).arg("--overwrite"));
                assert_eq!(names_in(&folder), outputs, "after a kill");
            }
        }
    }
}

/// Nothing temporary stays.
#[test]
fn commands_that_are_asked_to_stop_leave_nothing_behind() {
    let scene = Scene::new();
    for (which, (arguments, outputs)) in COMMANDS.into_iter().enumerate() {
        let (reference, takes) = scene.reference(arguments, outputs);
        for part in 1..4 {
            let folder = scene.folder(&format!("stopped-{which}-{part}"));
            let child = scene.command(arguments, &folder).spawn().unwrap();
            std::thread::sleep(takes * part / 4);
            signal(&child, "TERM");
            let ended = child.wait_with_output().unwrap();
            let (status, said) = (ended.status, text(&ended));
            let finished = status.success();
            // Commands that have something to finish have their own exit code.
            assert!(
                finished || [Some(143), None].contains(&status.code()),
                "{arguments:?}: {status}\n{said}"
            );
            whole_or_absent(&reference, &folder, outputs);
            let temporary = temporaries(&folder);
            assert!(temporary.is_empty(), "{arguments:?} left {temporary:?}");
            let ours = |name: &String| outputs.iter().any(|output| Path::new(output).starts_with(name));
            let others: Vec<String> = names_in(&folder).into_iter().filter(|name| !ours(name)).collect();
            assert!(others.is_empty(), "{arguments:?} left {others:?}");
        }
    }
}

struct Scene {
    workshop: Workshop,
}

impl Scene {
    fn new() -> Self {
        let workshop = Workshop::new();
        let split = std::fs::read_to_string(workshop.path("sts/STS/STSBenchmark/sts-dev.csv")).unwrap();
        let pairs = split.lines().map(|line| line.split('\t').skip(4).collect::<Vec<_>>().join("\t"));
        std::fs::write(workshop.path("pairs.tsv"), pairs.collect::<Vec<_>>().join("\n")).unwrap();
        Scene { workshop }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.workshop.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn command(&self, arguments: &[&str], folder: &Path) -> Command {
        let mut command = self.workshop.mirror(arguments);
        command.current_dir(folder);
        command
    }

    /// What a command writes that nothing stops, and how long that takes here.
    fn reference(&self, arguments: &[&str], outputs: &[&str]) -> (BTreeMap<PathBuf, Vec<u8>>, Duration) {
        let folder = self.folder(&format!("reference-{}", arguments.join(" ").replace('/', "-")));
        let began = Instant::now();
        succeed(&mut self.command(arguments, &folder));
        let written = contents(&folder, outputs);
        assert!(written.len() >= outputs.len());
        (written, began.elapsed())
    }
}

/// All files of the outputs, by their paths below `folder`.
fn contents(folder: &Path, outputs: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    fn read(folder: &Path, name: PathBuf, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        let path = folder.join(&name);
        if path.is_dir() {
            names_in(&path).into_iter().for_each(|entry| read(folder, name.join(entry), into));
        } else if path.exists() {
            into.insert(name, std::fs::read(path).unwrap());
        }
    }
    let mut files = BTreeMap::new();
    outputs.iter().for_each(|name| read(folder, name.into(), &mut files));
    files
}

/// Files and folders at any depth whose names are those of what is not complete.
fn temporaries(folder: &Path) -> Vec<PathBuf> {
    let paths = names_in(folder).into_iter().map(|name| folder.join(name));
    paths
        .flat_map(|path| {
            let is_one =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".writing-"));
            let below = if path.is_dir() { temporaries(&path) } else { Vec::new() };
            is_one.then_some(path).into_iter().chain(below)
        })
        .collect()
}

fn whole_or_absent(reference: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path, outputs: &[&str]) {
    for output in outputs.iter().filter(|output| folder.join(output).exists()) {
        let expected: BTreeMap<_, _> = reference
            .iter()
            .filter(|(path, _)| path.starts_with(output))
            .map(|(p, b)| (p.clone(), b.clone()))
            .collect();
        assert!(contents(folder, &[output]) == expected, "{output} is not whole");
    }
}
