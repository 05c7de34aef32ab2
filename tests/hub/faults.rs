//! Servers and networks that misbehave, and models that are not what they should be.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::server::{COMMIT, Hub, ID, sha256};

#[test]
fn a_broken_download_is_continued() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    // Every attempt of the first run breaks off, each a little further on.
    hub.change(|site| site.cut = Some((40_000, u32::MAX)));
    let first = case.locate(ID);
    first.error(&["model.safetensors", ID, "160000 of 300000", "run again"]);
    let digest = sha256(&hub.file("model.safetensors"));
    assert!(case.blobs().contains(&format!("{digest}.incomplete")) && !case.blobs().contains(&digest));
    assert!(!case.model().join("snapshots").join(COMMIT).join("model.safetensors").exists());
    assert!(!case.model().join("refs/main").exists(), "main must not mean half a model");

    hub.requests();
    hub.change(|site| site.cut = None);
    let second = case.locate(ID);
    let weights = std::fs::read(second.folder().join("model.safetensors")).unwrap();
    assert_eq!(sha256(&weights), digest);
    assert_eq!(second.progress["model.safetensors"], (Some(300_000), 160_000, 140_000, true));
    let ranges: Vec<_> =
        hub.requests().into_iter().filter(|r| r.path.starts_with("/cdn/")).map(|r| r.range).collect();
    assert_eq!(ranges, [Some("bytes=160000-".to_owned())]);
}

#[test]
fn one_drop_is_overcome_within_the_run() {
    for hides_size in [false, true] {
        let hub = Hub::start();
        let case = Case::new(&hub.address);
        hub.change(|site| (site.cut, site.hides_size) = (Some((123_456, 1)), hides_size));
        let located = case.locate(ID);
        let weights = std::fs::read(located.folder().join("model.safetensors")).unwrap();
        assert_eq!(weights, hub.file("model.safetensors"));
        assert_eq!(located.progress["model.safetensors"], (Some(300_000), 123_456, 176_544, true));
        assert!(hub.requests().iter().any(|request| request.range.as_deref() == Some("bytes=123456-")));
    }
}

#[test]
fn a_passing_outage_is_overcome() {
    let hub = Hub::start();
    hub.change(|site| site.outage = Some((503, 2)));
    Case::new(&hub.address).locate(ID).folder();
}

#[test]
fn a_branch_that_moves_meanwhile_still_gives_one_commit() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    let newer = "f".repeat(40);
    hub.change(|site| site.moves = Some((3, newer.clone())));
    let located = case.locate(ID);
    assert_eq!(located.folder(), case.model().join("snapshots").join(&newer));
    assert!(
        located.folder().join("config.json").is_file()
            && located.folder().join("model.safetensors").is_file()
    );
    assert!(!case.model().join("snapshots").join(COMMIT).join("model.safetensors").exists());
}

#[test]
fn redirects_that_lead_nowhere_are_told() {
    let hub = Hub::start();
    hub.change(|site| site.old_name = Some(ID.to_owned()));
    Case::new(&hub.address).locate(ID).error(&["too many redirects", ID]);
    for location in ["", "model.bin", "http://", "ftp://127.0.0.1/x", "/ \u{7f}"] {
        hub.change(|site| (site.old_name, site.location) = (None, Some(location.to_owned())));
        Case::new(&hub.address).locate(ID).error(&["model.safetensors"]);
    }
    let itself = format!("{}/owner/tiny/resolve/main/model.safetensors", hub.address);
    hub.change(|site| site.location = Some(itself));
    Case::new(&hub.address).locate(ID).error(&["too many redirects", "model.safetensors", ID]);
    // What is named is what was not reached; what follows the address may be a secret.
    hub.change(|site| site.location = Some("//storage.invalid/x?signature=secret".to_owned()));
    let located = Case::new(&hub.address).locate(ID);
    located.error(&["http://storage.invalid cannot be reached"]);
    assert!(!located.error.unwrap().contains("secret"));
}

#[test]
fn a_storage_without_ranges_starts_over() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    hub.change(|site| (site.cut, site.ignores_range) = (Some((1000, 2)), true));
    let weights = std::fs::read(case.locate(ID).folder().join("model.safetensors")).unwrap();
    assert_eq!(weights, hub.file("model.safetensors"));
}

#[test]
fn a_partial_file_of_something_else_is_not_kept() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    let digest = sha256(&hub.file("model.safetensors"));
    let partial = case.model().join("blobs").join(format!("{digest}.incomplete"));
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::fs::write(&partial, vec![9; 5000]).unwrap();
    case.locate(ID).error(&["model.safetensors", "damaged", &digest]);
    assert!(!partial.exists());
    let weights = std::fs::read(case.locate(ID).folder().join("model.safetensors")).unwrap();
    assert_eq!(sha256(&weights), digest);

    let longer = Case::new(&hub.address);
    let partial = longer.model().join("blobs").join(format!("{digest}.incomplete"));
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::fs::write(&partial, vec![9; 400_000]).unwrap();
    let weights = std::fs::read(longer.locate(ID).folder().join("model.safetensors")).unwrap();
    assert_eq!(sha256(&weights), digest);
}

#[test]
fn a_wrong_length_is_told_and_nothing_is_kept() {
    for error in [7, -7] {
        let hub = Hub::start();
        let case = Case::new(&hub.address);
        hub.change(|site| site.size_error = error);
        let expected = format!("expected {} bytes, got 300000", 300_000 + error);
        case.locate(ID).error(&["model.safetensors", ID, "wrong length", &expected]);
        let digest = sha256(&hub.file("model.safetensors"));
        assert!(case.blobs().iter().all(|blob| !blob.starts_with(&digest)));
        hub.change(|site| site.size_error = 0);
        case.locate(ID).folder();
    }
}

#[test]
fn damaged_content_is_told_and_nothing_is_kept() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    hub.change(|site| site.damages = true);
    case.locate(ID).error(&["model.safetensors", "damaged", "run again"]);
    let digest = sha256(&hub.file("model.safetensors"));
    assert!(case.blobs().iter().all(|blob| !blob.starts_with(&digest)));
}

#[test]
fn a_storage_that_falls_silent_is_given_up() {
    let hub = Hub::start();
    let case = Case::new(&hub.address).with("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    hub.change(|site| site.stalls = true);
    let start = Instant::now();
    case.locate(ID).error(&["model.safetensors", "of 300000 bytes", "run again"]);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_model_that_is_not_there_is_told() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    case.locate("no-such-model").error(&["no-such-model", &hub.address, "check the name", "./no-such-model"]);
    assert!(!case.home.path().join("hub").exists(), "a name that is not there leaves nothing");
    hub.change(|site| drop(site.files.remove("tokenizer.json")));
    case.locate(ID).error(&[ID, "no tokenizer.json"]);
    hub.change(|site| {
        site.files.insert("vocab.txt".to_owned(), b"[PAD]".to_vec());
        site.files.remove("model.safetensors");
        site.files.remove("pytorch_model.bin");
        // Absences are remembered for a commit, and this is another.
        site.revisions.insert("main".to_owned(), "b".repeat(40));
    });
    case.locate(ID).error(&[ID, "no model.safetensors", "no pytorch_model.bin"]);
}

#[test]
fn shards_are_fetched_and_cannot_leave_the_folder() {
    let hub = Hub::start();
    let index =
        |shard: &str| format!(r#"{{"weight_map": {{"a": "m-1.safetensors", "b": "{shard}"}}}}"#).into_bytes();
    hub.change(|site| {
        site.files.remove("model.safetensors");
        site.files.insert("model.safetensors.index.json".to_owned(), index("m-2.safetensors"));
        site.files.insert("m-1.safetensors".to_owned(), vec![1; 500]);
        site.files.insert("m-2.safetensors".to_owned(), vec![2; 700]);
    });
    let case = Case::new(&hub.address);
    let folder = case.locate(ID).folder().to_owned();
    assert_eq!(std::fs::read(folder.join("m-2.safetensors")).unwrap(), vec![2; 700]);
    assert!(!folder.join("pytorch_model.bin").exists());

    let file = "model.safetensors.index.json".to_owned();
    hub.change(|site| drop(site.files.insert(file, index("../../../../../m.safetensors"))));
    let case = Case::new(&hub.address);
    case.locate(ID).error(&[ID, "model.safetensors.index.json", "../m.safetensors"]);
}

#[test]
fn headers_cannot_name_places_outside_the_cache() {
    for odd in ["../../../x", "/etc/x", "..", "a/b", ".hidden", "a\\b"] {
        let hub = Hub::start();
        let case = Case::new(&hub.address);
        hub.change(|site| site.commit_header = Some(odd.to_owned()));
        case.locate(ID).error(&["X-Repo-Commit", "config.json", "HF_ENDPOINT"]);
        assert_eq!(std::fs::read_dir(case.home.path()).unwrap().count(), 0, "{odd} wrote something");

        hub.change(|site| (site.commit_header, site.etag) = (None, Some(odd.to_owned())));
        case.locate(ID).error(&["ETag", "model.safetensors"]);
        assert!(case.blobs().iter().all(|blob| blob.len() == 40), "{:?}", case.blobs());
    }
}

#[test]
fn without_a_hub_the_cache_will_do_with_a_note() {
    let hub = Hub::start();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{dead}");
    Case::new(&dead).locate(ID).error(&[&dead, "connection refused", "HF_ENDPOINT"]);

    let case = Case::new(&hub.address);
    let folder = case.locate(ID).folder().to_owned();
    let case = case.with("HF_ENDPOINT", &dead);
    let located = case.locate(ID);
    assert_eq!(located.folder(), folder);
    assert!(located.note.unwrap().contains("connection refused"));

    hub.change(|site| site.outage = Some((503, u32::MAX)));
    let located = case.with("HF_ENDPOINT", &hub.address).locate(ID);
    assert_eq!(located.folder(), folder);
    assert!(located.note.unwrap().contains("503"));
    Case::new(&hub.address).locate(ID).error(&["503", "config.json", "try again later"]);
}
