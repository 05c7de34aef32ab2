//! `mirror data fetch` over real sockets.

use std::process::Output;

use tar::{Builder, Header};

use crate::case::Case;
use crate::server::{COMMIT, Hub, sha256};

const DATASET: &str = "datasets/princeton-nlp/datasets-for-simcse";
const ARCHIVE: &str = "senteval.tar";

/// A hub that has this data set.
fn hub(archive: Vec<u8>) -> Hub {
    let hub = Hub::start();
    hub.change(|site| {
        site.id = DATASET.to_owned();
        site.files.insert(ARCHIVE.to_owned(), archive);
    });
    hub
}

/// An archive of one file that is long enough to break off in, and none of the data sets.
fn archive() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "MR/rt-polarity.pos", &bytes[..]).unwrap();
    tar.into_inner().unwrap()
}

fn fetch(case: &Case) -> Output {
    let mut command = case.clean(env!("CARGO_BIN_EXE_mirror"));
    command.args(["data", "fetch", "--output", "sts"]).output().unwrap()
}

/// A failure in one sentence with all of `parts`, which leaves no folder.
#[track_caller]
fn refused(case: &Case, parts: &[&str]) {
    let output = fetch(case);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
    let left: Vec<_> = std::fs::read_dir(case.home.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "hub"), "{left:?}");
}

fn blobs(case: &Case) -> Vec<String> {
    let folder = case.home.path().join("hub/datasets--princeton-nlp--datasets-for-simcse/blobs");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_broken_download_is_continued_and_a_wrong_archive_leaves_the_cache() {
    let hub = hub(archive());
    let case = Case::new(&hub.address);
    hub.change(|site| site.cut = Some((40_000, u32::MAX)));
    refused(&case, &[ARCHIVE, "princeton-nlp/datasets-for-simcse", "broke off at 160000", "run again"]);
    assert_eq!(blobs(&case), [format!("{}.incomplete", sha256(&archive()))]);
    let asked = hub.requests();
    let first = format!("/{DATASET}/resolve/main/{ARCHIVE}");
    assert_eq!(asked[0].path, first);

    hub.change(|site| site.cut = None);
    refused(&case, &["senteval.tar of princeton-nlp/datasets-for-simcse", "lacks 53 of the 53 files"]);
    let ranges: Vec<_> =
        hub.requests().into_iter().filter(|r| r.path.starts_with("/cdn/")).map(|r| r.range).collect();
    assert_eq!(ranges, [Some("bytes=160000-".to_owned())]);
    assert!(blobs(&case).is_empty(), "what is not what it should be is downloaded anew: {:?}", blobs(&case));
}

#[test]
fn a_server_without_commits_and_etags_will_do() {
    let hub = hub(archive());
    hub.change(|site| site.is_plain = true);
    refused(&Case::new(&hub.address), &["lacks 53 of the 53 files"]);
    hub.change(|site| drop(site.files.insert(ARCHIVE.to_owned(), b"<html>Log in</html>".repeat(99))));
    refused(&Case::new(&hub.address), &["is not a tar archive", "<html>", "HF_ENDPOINT"]);
}

#[test]
fn what_is_not_there_or_not_allowed_is_told() {
    let hub = hub(archive());
    hub.change(|site| drop(site.files.remove(ARCHIVE)));
    refused(&Case::new(&hub.address), &[&hub.address, "no data set", ARCHIVE, "at hand with --from"]);
    hub.change(|site| site.id = "nothing/here".to_owned());
    refused(&Case::new(&hub.address), &[&hub.address, "no data set", ARCHIVE, "at hand with --from"]);
    hub.requests();
    refused(
        &Case::new(&hub.address).with("HF_HUB_OFFLINE", "1"),
        &["HF_HUB_OFFLINE", ARCHIVE, "at hand with --from"],
    );
    assert!(hub.requests().is_empty());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&Case::new(&format!("http://{dead}")), &["connection refused", "at hand with --from"]);
}

/// With the data sets at hand: a whole fetch, after a truncated one, and a second one that asks nobody.
#[test]
fn the_data_sets_arrive_whole() {
    let downstream =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/senteval/downstream");
    if !downstream.is_dir() {
        println!("skipped: no {}", downstream.display());
        return;
    }
    let mut tar = Builder::new(Vec::new());
    tar.append_dir_all(".", &downstream).unwrap();
    let tar = tar.into_inner().unwrap();
    let hub = hub(tar[..tar.len() / 2].to_vec());
    let case = Case::new(&hub.address);
    refused(&case, &["is truncated or damaged after its entry"]);
    hub.change(|site| drop(site.files.insert(ARCHIVE.to_owned(), tar)));
    let output = fetch(&case);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("53 files, each checked"), "{output:?}");
    assert!(case.home.path().join("sts/STS/STS16-en-test/STS.gs.plagiarism.txt").is_file());
    assert!(!case.home.path().join("sts/STS/STS12-en-test/00-readme.txt").exists());
    let cached =
        case.home.path().join("hub/datasets--princeton-nlp--datasets-for-simcse/snapshots").join(COMMIT);
    assert!(cached.join(ARCHIVE).is_file());
    hub.requests();
    assert!(fetch(&case).status.success());
    assert!(hub.requests().is_empty());
    // Offline, the archive in the cache will do.
    std::fs::remove_dir_all(case.home.path().join("sts")).unwrap();
    assert!(fetch(&case.with("HF_HUB_OFFLINE", "1")).status.success());
    assert!(hub.requests().is_empty());
}
