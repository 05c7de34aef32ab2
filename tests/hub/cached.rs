//! Caches that another program or another machine has left, and caches that cannot be written.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::case::{Case, outcome};
use crate::folders::builtin;
use crate::server::{COMMIT, Hub, ID};

fn encode(case: &Case) -> Output {
    let mut command = case.clean(env!("CARGO_BIN_EXE_mirror"));
    std::fs::write(case.home.path().join("text.txt"), "A man is playing.\nTwo dogs run.\n").unwrap();
    command.args(["encode", "--model", ID, "--input", "text.txt"]).output().unwrap()
}

#[track_caller]
fn embeddings(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A hub with the built-in model, a cache that has it, and what it encodes to.
fn filled() -> (Hub, Case, Vec<u8>) {
    let hub = Hub::start();
    hub.serve_folder(builtin().path());
    let case = Case::new(&hub.address);
    let expected = embeddings(encode(&case));
    hub.requests();
    (hub, case, expected)
}

fn snapshot(case: &Case) -> PathBuf {
    case.model().join("snapshots").join(COMMIT)
}

/// Leaves what `hf download` leaves.
fn forget_absences(case: &Case) {
    std::fs::remove_dir_all(case.model().join(".no_exist")).unwrap();
    std::fs::remove_dir_all(case.home.path().join("hub/.locks")).unwrap();
}

#[test]
fn a_complete_cache_need_not_be_writable() {
    let (hub, case, expected) = filled();
    forget_absences(&case);
    let home = case.home.path().display();
    let read_only = format!("mount --bind {home} {home} && mount -o remount,bind,ro {home}");
    let mut command = case.clean(env!("CARGO_BIN_EXE_mirror"));
    command.args(["encode", "--model", ID, "--input", "text.txt"]);
    for offline in ["0", "1"] {
        command.env("HF_HUB_OFFLINE", offline);
        let Some(mut command) = case.among_mounts(&read_only, &command) else { return };
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            said.contains("warning: "),
            offline == "1",
            "only the hub knows what there is not: {said}"
        );
        assert_eq!(embeddings(output), expected);
    }
    assert!(hub.requests().iter().all(|request| !request.path.starts_with("/cdn/")));

    // By rights instead of by a mount, where the user is not root.
    std::fs::remove_file(snapshot(&case).join("model.safetensors")).unwrap();
    let mut command = case.among_mounts(&read_only, &case.command(ID)).unwrap();
    let located = outcome(command.output().unwrap());
    located.error(&["model.safetensors", ID, "is not in the cache", "Read-only", "HF_HUB_CACHE"]);
}

#[test]
fn a_download_that_does_not_fit_on_the_disk_is_not_begun() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    let home = case.home.path().display();
    let small = format!("mount -t tmpfs -o size=200k none {home}");
    let Some(mut command) = case.among_mounts(&small, &case.command(ID)) else { return };
    // The folder to run in is the one that is covered.
    command.current_dir("/");
    outcome(command.output().unwrap()).error(&["model.safetensors", ID, "1 MB", "0 MB left", "HF_HUB_CACHE"]);
    assert!(hub.requests().iter().all(|request| !request.path.starts_with("/cdn/")));
}

#[test]
fn without_locks_processes_at_the_same_time_do_not_mix() {
    let hub = Hub::start();
    hub.change(|site| site.delay = std::time::Duration::from_millis(20));
    let case = Case::new(&hub.address);
    // Unwritable for every user, root included.
    std::fs::create_dir(case.home.path().join("hub")).unwrap();
    std::fs::write(case.home.path().join("hub/.locks"), "").unwrap();
    let children: Vec<_> = (0..3).map(|_| case.command(ID).spawn().unwrap()).collect();
    for child in children {
        let located = outcome(child.wait_with_output().unwrap());
        let weights = std::fs::read(located.folder().join("model.safetensors")).unwrap();
        assert!(weights == hub.file("model.safetensors"));
    }
    assert!(case.blobs().iter().all(|blob| !blob.contains("incomplete")), "{:?}", case.blobs());
}

/// What happens to a cache, and what a message then names.
type Mutilation = (&'static str, &'static [&'static str], fn(&Path, &Path));

const MUTILATIONS: [Mutilation; 8] = [
    ("weights that are missing", &["no model.safetensors"], |snapshot, _| {
        std::fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    }),
    ("a link to a blob that is not there", &["model.safetensors", "missing"], |snapshot, _| {
        std::fs::remove_file(snapshot.join("model.safetensors").canonicalize().unwrap()).unwrap();
    }),
    ("weights that were cut off", &["model.safetensors", "damaged"], |snapshot, _| {
        cut(&snapshot.join("model.safetensors"), 70_000);
    }),
    ("a config.json that was cut off", &["config.json", "damaged"], |snapshot, _| {
        cut(&snapshot.join("config.json"), 100);
    }),
    ("an empty tokenizer.json", &["tokenizer.json", "damaged", "empty"], |snapshot, _| {
        cut(&snapshot.join("tokenizer.json"), 0);
    }),
    ("the beginning of a download", &["no model.safetensors"], |snapshot, _| {
        let blob = snapshot.join("model.safetensors").canonicalize().unwrap();
        cut(&blob, 50_000);
        std::fs::rename(&blob, format!("{}.incomplete", blob.display())).unwrap();
        std::fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    }),
    ("a commit without a snapshot", &["no config.json"], |snapshot, _| {
        std::fs::remove_dir_all(snapshot).unwrap();
    }),
    ("a config.json alone", &["no tokenizer.json"], |snapshot, model| {
        for entry in std::fs::read_dir(snapshot).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "config.json" {
                std::fs::remove_file(path).unwrap();
            }
        }
        std::fs::remove_dir_all(model.join(".no_exist")).unwrap();
    }),
];

fn cut(file: &Path, length: usize) {
    let bytes = std::fs::read(file).unwrap();
    assert!(length < bytes.len());
    std::fs::write(file, &bytes[..length]).unwrap();
}

#[test]
fn a_partial_cache_is_completed_or_refused_aloud() {
    let (_hub, mut case, expected) = filled();
    for (what, parts, mutilate) in MUTILATIONS {
        mutilate(&snapshot(&case), &case.model());
        case = case.with("HF_HUB_OFFLINE", "1");
        let located = case.locate(ID);
        located.error(parts);
        located.error(&[ID, "HF_HUB_OFFLINE"]);
        case = case.with("HF_HUB_OFFLINE", "0");
        assert!(embeddings(encode(&case)) == expected, "{what}");
        case = case.with("HF_HUB_OFFLINE", "1");
        assert!(embeddings(encode(&case)) == expected, "{what}: it was not kept");
    }
}

#[test]
fn a_vocabulary_that_was_cut_off_is_noticed() {
    let hub = Hub::start();
    let folder = builtin();
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    hub.serve_folder(folder.path());
    let case = Case::new(&hub.address);
    let vocabulary = case.locate(ID).folder().join("vocab.txt");
    cut(&vocabulary, 500);
    let offline = case.with("HF_HUB_OFFLINE", "1");
    assert!(offline.locate(ID).note.unwrap().contains("vocab.txt of owner/tiny in the cache may be damaged"));
    let online = offline.with("HF_HUB_OFFLINE", "0");
    let located = online.locate(ID);
    assert_eq!((located.folder().is_dir(), located.note), (true, None));
    assert!(std::fs::read(vocabulary).unwrap() == hub.file("vocab.txt"));
}

#[test]
fn a_cache_of_copies_will_do() {
    let (hub, case, expected) = filled();
    for entry in std::fs::read_dir(snapshot(&case)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::remove_dir_all(case.model().join("blobs")).unwrap();
    assert_eq!(embeddings(encode(&case)), expected);
    assert_eq!(hub.requests().len(), 1, "only what main means is asked");
}

#[test]
fn what_a_cache_does_not_know_is_said() {
    let (hub, case, expected) = filled();
    forget_absences(&case);
    let offline = case.with("HF_HUB_OFFLINE", "1");
    let note = offline.locate(ID).note.unwrap();
    assert!(
        note.contains("modules.json") && note.contains("1_Pooling/config.json") && !note.contains("vocab"),
        "{note}"
    );
    assert_eq!(embeddings(encode(&offline)), expected);
    // Only a download of the whole repository brings this file.
    std::fs::write(snapshot(&offline).join(".gitattributes"), "").unwrap();
    assert_eq!(offline.locate(ID).note, None);
    assert!(hub.requests().is_empty());
}
