//! `mirror data`: archives as they should be, and as they should not.

use std::io::Write;
use std::path::{Path, PathBuf};

use mirror::datasets::Manifest;
use serde_json::Value;
use tar::{Builder, EntryType, Header};

use crate::models::Kind;
use crate::workspace::{Workspace, contents};

/// The data sets, where they are at hand.
fn downstream() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/senteval/downstream");
    if !path.is_dir() {
        println!("skipped: no {}", path.display());
    }
    path.is_dir().then_some(path)
}

/// An archive of all the files, below a folder of its own as the real one may have it.
fn archive(from: &Path, edit: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, EntryType::Directory, "./senteval/", b"");
    add(&mut tar, EntryType::Regular, "./senteval/MR/rt-polarity.pos", b"not wanted\n");
    for file in Manifest::sts().files {
        if let Some(bytes) = edit(&file.path, std::fs::read(from.join(&file.path)).unwrap()) {
            add(&mut tar, EntryType::Regular, &format!("./senteval/{}", file.path), &bytes);
        }
    }
    tar.into_inner().unwrap()
}

/// An entry of any name: the name is written past the crate's own checks.
fn add(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_archive_becomes_a_folder_that_eval_finds() {
    let Some(downstream) = downstream() else { return };
    let w = Workspace::new();
    let tar = archive(&downstream, |_, bytes| Some(bytes));
    w.write("senteval.tar", &tar);
    w.write("senteval.tar.gz", gzip(&tar));
    let said = w.run("data fetch --from senteval.tar");
    assert!(said.stdout.contains("data/sts: 7 data sets, 53 files, each checked"), "{}", said.stdout);
    let files = contents(&w.path("data/sts"));
    assert_eq!(files.values().flatten().count(), 53);
    for file in Manifest::sts().files {
        assert_eq!(
            files[&w.path("data/sts").join(&file.path)],
            std::fs::read(downstream.join(&file.path)).ok()
        );
    }
    assert!(w.run("data fetch").stdout.contains("all was there already"), "no network is asked");
    w.run("data fetch --from senteval.tar.gz --output zipped");
    assert_eq!(contents(&w.path("zipped")).len(), files.len());

    let table = w.run("data check").stdout;
    assert!(
        table.lines().any(|line| line.split_whitespace().eq(["STS12", "10", "10", "0", "0", "3108"])),
        "{table}"
    );
    let checked: Value = serde_json::from_str(&w.run("data check data/sts --json").stdout).unwrap();
    assert_eq!((&checked["complete"], &checked["sets"]["SICKR"]["pairs"]), (&true.into(), &9927.into()));
    // The folder is where eval looks, and what it reads is all there.
    w.model(Kind::Bert, "m");
    let scored = w.run("eval --model m --threads 2 --max-length 8 --convention simcse --json -");
    let report: Value = serde_json::from_str(&scored.stdout).unwrap();
    assert_eq!(
        (report["averaged"].as_array().unwrap().len(), &report["missing"]),
        (7, &Value::Array(vec![]))
    );
    assert!(!scored.stderr.contains("no STS data"), "{}", scored.stderr);
}

#[test]
fn a_folder_that_lacks_something_is_completed_and_a_foreign_one_left_alone() {
    let Some(downstream) = downstream() else { return };
    let w = Workspace::new();
    w.write("senteval.tar", archive(&downstream, |_, bytes| Some(bytes)));
    w.run("data fetch --from senteval.tar --output sts");
    let whole = contents(&w.path("sts"));
    std::fs::remove_dir_all(w.path("sts/SICK")).unwrap();
    w.write("sts/STS/STSBenchmark/sts-dev.csv", "altered");
    w.write("sts/MR/mine.txt", "mine");
    let output = w.mirror("data check sts").output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout.contains("missing: SICK/SICK_trial.txt"), "{stdout}");
    assert!(stdout.contains("altered: STS/STSBenchmark/sts-dev.csv"), "{stdout}");
    assert!(stderr.contains("sts is not complete: 4 files") && stderr.lines().count() == 1, "{stderr}");
    let checked = w.mirror("data check sts --json").output().unwrap();
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["complete"], &checked["sets"]["STSB"]["pairs"]), (&false.into(), &Value::Null));

    let said = w.run("data fetch --from senteval.tar --output sts");
    assert!(said.stderr.contains("added SICK/SICK_train.txt"), "{}", said.stderr);
    assert!(said.stderr.contains("replaced STS/STSBenchmark/sts-dev.csv"), "{}", said.stderr);
    assert_eq!(w.read("sts/MR/mine.txt"), b"mine");
    // What was altered may have been somebody's work.
    assert_eq!(w.read("sts/STS/STSBenchmark/sts-dev.csv.altered"), b"altered");
    std::fs::remove_file(w.path("sts/STS/STSBenchmark/sts-dev.csv.altered")).unwrap();
    std::fs::remove_dir_all(w.path("sts/MR")).unwrap();
    assert!(contents(&w.path("sts")) == whole);

    w.write("foreign/thesis.tex", "mine");
    w.fails("data fetch --from senteval.tar --output foreign", &["foreign", "left alone", "--output"]);
    w.write("file", "mine");
    w.fails("data fetch --from senteval.tar --output file", &["file is a file"]);
    w.fails("data check absent", &["absent does not exist", "mirror data fetch"]);
    std::fs::create_dir(w.path("empty")).unwrap();
    w.run("data fetch --from senteval.tar --output empty");
    assert_eq!(contents(&w.path("empty")).len(), whole.len());
}

#[test]
fn a_killed_fetch_leaves_whole_files_that_the_next_one_completes() {
    let Some(downstream) = downstream() else { return };
    let w = Workspace::new();
    w.write("senteval.tar", archive(&downstream, |_, bytes| Some(bytes)));
    let began = std::time::Instant::now();
    w.run("data fetch --from senteval.tar --output whole");
    let takes = began.elapsed();
    for part in 1..=8 {
        // Into a new folder, and into one that lacks half.
        let output = format!("killed-{part}");
        if part % 2 == 0 {
            w.run(&format!("data fetch --from senteval.tar --output {output}"));
            std::fs::remove_dir_all(w.path(&output).join("STS")).unwrap();
            w.write(&format!("{output}/mine.txt"), "mine");
        }
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args(["data", "fetch", "--from", "senteval.tar", "--output", &output])
            .current_dir(w.path("."))
            .spawn()
            .unwrap();
        std::thread::sleep(takes * part / 8);
        child.kill().unwrap();
        child.wait().unwrap();
        for file in Manifest::sts().files {
            if let Ok(bytes) = std::fs::read(w.path(&output).join(&file.path)) {
                assert!(bytes == w.read(&format!("whole/{}", file.path)), "{output}/{}", file.path);
            }
        }
        w.run(&format!("data fetch --from senteval.tar --output {output}"));
        w.run(&format!("data check {output}"));
        if part % 2 == 0 {
            assert_eq!(w.read(&format!("{output}/mine.txt")), b"mine");
        }
    }
}

#[test]
fn an_archive_that_is_not_what_it_should_be_leaves_nothing() {
    let Some(downstream) = downstream() else { return };
    let w = Workspace::new();
    let flipped = |path: &str, mut bytes: Vec<u8>| {
        if path.ends_with("STS.gs.images.txt") {
            bytes[5] ^= 1;
        }
        Some(bytes)
    };
    let shortened = |path: &str, mut bytes: Vec<u8>| {
        bytes.truncate(if path == "SICK/SICK_train.txt" { 10 } else { bytes.len() });
        Some(bytes)
    };
    let without = |path: &str, bytes: Vec<u8>| (!path.starts_with("SICK")).then_some(bytes);
    for (tar, says) in [
        (archive(&downstream, flipped), ["STS.gs.images.txt", "SHA-256"]),
        (archive(&downstream, shortened), ["SICK/SICK_train.txt", "10 bytes instead of"]),
        (archive(&downstream, without), ["lacks 3 of the 53 files", "SICK/SICK_"]),
    ] {
        w.write("a.tar", &tar);
        w.fails("data fetch --from a.tar", &[&["a.tar"], &says[..]].concat());
    }
    let whole = archive(&downstream, |_, bytes| Some(bytes));
    let zipped = gzip(&whole);
    for part in [2, 3] {
        // In the middle of a file, and in the middle of a compressed block.
        w.write("a.tar", &whole[..whole.len() / part + 100]);
        w.fails("data fetch --from a.tar", &["a.tar is truncated or damaged after its entry"]);
        w.write("a.tgz", &zipped[..zipped.len() / part]);
        w.fails("data fetch --from a.tgz", &["a.tgz is truncated or damaged after"]);
    }
    w.write("a.tar", &whole[..512]);
    w.fails("data fetch --from a.tar", &["a.tar", "lacks 53 of the 53"]);
}

/// An entry by itself is enough to refuse the archive, whether or not it is of the data sets.
#[test]
fn entries_that_are_hostile_are_refused_by_name() {
    let w = Workspace::new();
    let sick = "x/SICK/SICK_trial.txt";
    for (kind, name, why) in [
        (EntryType::Regular, "../evil", "would leave its folder"),
        (EntryType::Regular, "STS/../../evil", "would leave its folder"),
        (EntryType::Directory, "..", "would leave its folder"),
        (EntryType::Regular, "/tmp/evil", "absolute"),
        (EntryType::Regular, "C:\\evil", "absolute"),
        (EntryType::Regular, "STS\\..\\..\\evil", "an invalid path"),
        (EntryType::Symlink, sick, "is a link"),
        (EntryType::Link, "STS/link", "is a link"),
        (EntryType::Fifo, sick, "is a device"),
        (EntryType::Char, "null", "is a device"),
        (EntryType::GNUSparse, sick, "neither a file nor a folder"),
    ] {
        let mut tar = Builder::new(Vec::new());
        add(&mut tar, EntryType::Regular, "README", b"harmless");
        add(&mut tar, kind, name, b"");
        let tar = tar.into_inner().unwrap();
        let shown = format!("{name:?}");
        for (file, bytes) in [("a.tar", tar.clone()), ("a.tar.gz", gzip(&tar))] {
            w.write(file, bytes);
            w.fails(&format!("data fetch --from {file}"), &[file, &shown, why]);
        }
    }
}

/// Names and sizes that are said in entries of their own.
#[test]
fn headers_of_other_entries_are_refused_where_they_lie() {
    let w = Workspace::new();
    let refused = |fill: &dyn Fn(&mut Builder<Vec<u8>>), says: &[&str]| {
        let mut tar = Builder::new(Vec::new());
        fill(&mut tar);
        w.write("a.tar", tar.into_inner().unwrap());
        w.fails("data fetch --from a.tar", says);
    };
    let regular = |tar: &mut Builder<Vec<u8>>| add(tar, EntryType::Regular, "a", b"");
    refused(
        &|tar| {
            add(tar, EntryType::GNULongName, "././@LongLink", b"../../evil\0");
            regular(tar)
        },
        &["\"../../evil\""],
    );
    refused(
        &|tar| {
            add(tar, EntryType::XHeader, "pax", b"19 path=../../evil\n");
            regular(tar)
        },
        &["\"../../evil\""],
    );
    refused(
        &|tar| {
            add(tar, EntryType::XHeader, "pax", b"12 size=512\n");
            regular(tar)
        },
        &["another size"],
    );
    refused(
        &|tar| {
            add(tar, EntryType::GNULongName, "l", &[b'x'; 70_000]);
            regular(tar)
        },
        &["absurdly large"],
    );
    // Lengths that no disk holds: refused before a byte of them is read.
    for (kind, name) in
        [(EntryType::Regular, "bomb"), (EntryType::GNULongName, "l"), (EntryType::XHeader, "pax")]
    {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(name).unwrap();
        header.set_size(1 << 60);
        header.set_cksum();
        w.write("a.tar", header.as_bytes());
        w.fails("data fetch --from a.tar", &["a.tar", "absurdly large"]);
    }
}

#[test]
fn what_is_no_archive_is_told() {
    let w = Workspace::new();
    w.write("page.tar", "<!DOCTYPE html><html><body>Please log in</body></html>".repeat(30));
    w.fails("data fetch --from page.tar", &["page.tar is not a tar archive", "<!DOCTYPE html>"]);
    w.write("empty.tar", "");
    w.fails("data fetch --from empty.tar", &["empty.tar is not a tar archive"]);
    w.write("page.tgz", gzip(b"<html>"));
    w.fails("data fetch --from page.tgz", &["page.tgz is not a tar archive"]);
    w.write("zeros.tar", vec![0; 10_240]);
    w.fails("data fetch --from zeros.tar", &["zeros.tar lacks 53 of the 53"]);
    w.write("noise.tgz", [&[0x1f, 0x8b, 8][..], &[7; 600]].concat());
    w.fails("data fetch --from noise.tgz", &["noise.tgz is truncated or damaged"]);
    w.fails("data fetch --from absent.tar", &["absent.tar", "No such file"]);
    w.fails("data fetch --from .", &["is a folder", "--from"]);
    w.fails("data fetch", &["senteval.tar", "HF_HUB_OFFLINE", "at hand with --from"]);
}
