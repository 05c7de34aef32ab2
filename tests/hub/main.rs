//! The way from a Hugging Face id to a folder, over real sockets.

mod cached;
mod case;
mod company;
mod dataset;
mod faults;
mod folders;
mod glue;
mod server;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use case::{CHILD, Case, MARK, Outcome, Record, outcome};
use mirror::hub::{self, ModelSource};
use server::{COMMIT, Hub, ID, sha256};

/// In a child: one model is located, and what came of it printed. Otherwise: names that are no models
/// are refused by a child that would have a hub to ask.
#[test]
fn one_case() {
    let Ok(model) = std::env::var(CHILD) else {
        let hub = Hub::start();
        for model in ["a/b/c", "../tiny", "/no/such/folder", ""] {
            Case::new(&hub.address).locate(model).error(&["neither a folder", "builtin", "owner/name"]);
        }
        Case::new(&hub.address).locate("owner/tiny@../x").error(&["../x", "owner/tiny", "a branch"]);
        assert!(hub.requests().is_empty());
        return;
    };
    let mut record = Record::default();
    let result = match hub::resolve(&model) {
        Ok(ModelSource::Hub(id)) => hub::locate(&id, &(), &mut record),
        Ok(other) => panic!("{model} is {other:?}"),
        Err(error) => Err(error),
    };
    let (folder, note, error) = match result {
        Ok(snapshot) => (Some(snapshot.folder), snapshot.note, None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    let outcome = Outcome { folder, note, error, progress: record.files };
    println!("\n{MARK}{}", serde_json::to_string(&outcome).unwrap());
}

#[test]
fn a_folder_comes_first_and_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("weights"), "").unwrap();
    assert_eq!(hub::resolve(path.to_str().unwrap()).unwrap(), ModelSource::Folder(path.clone()));
    assert_eq!(hub::resolve("builtin").unwrap(), ModelSource::Builtin);
    let error = hub::resolve(path.join("weights").to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("is a file"), "{error}");
    match hub::resolve("owner/name@v2").unwrap() {
        ModelSource::Hub(id) => assert_eq!((id.id(), id.revision()), ("owner/name", "v2")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_cache_is_that_of_python_and_is_used_again() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    let first = case.locate(ID);
    let folder = case.model().join("snapshots").join(COMMIT);
    assert_eq!((first.folder(), &first.note), (folder.as_path(), &None));
    for file in
        ["config.json", "tokenizer.json", "1_Pooling/config.json", "modules.json", "model.safetensors"]
    {
        assert_eq!(std::fs::read(folder.join(file)).unwrap(), hub.file(file), "{file}");
    }
    for file in ["pytorch_model.bin", "README.md", "vocab.txt"] {
        assert!(!folder.join(file).exists(), "{file} was not wanted");
    }
    let digest = sha256(&hub.file("model.safetensors"));
    assert_eq!(std::fs::read_to_string(case.model().join("refs/main")).unwrap(), COMMIT);
    assert!(case.model().join(".no_exist").join(COMMIT).join("vocab.txt").is_file());
    assert!(case.blobs().contains(&digest) && case.blobs().iter().all(|blob| !blob.contains('.')));
    #[cfg(unix)]
    {
        let target = |file: &str| std::fs::read_link(folder.join(file)).unwrap();
        assert_eq!(target("model.safetensors"), Path::new("../../blobs").join(&digest));
        assert!(target("1_Pooling/config.json").starts_with("../../../blobs"));
    }
    assert_eq!(first.progress["model.safetensors"], (Some(300_000), 0, 300_000, true));
    let routes = ["/owner/tiny/resolve/main/", "/cdn/"];
    assert!(hub.requests().iter().all(|r| routes.iter().any(|route| r.path.starts_with(route))));

    let second = case.locate(ID);
    assert_eq!((second.folder(), second.progress.len()), (folder.as_path(), 0));
    let requests = hub.requests();
    assert_eq!(requests.len(), 1, "only what main means is asked: {requests:?}");
    assert_eq!(requests[0].range.as_deref(), Some("bytes=0-0"));

    let pinned = case.locate(&format!("{ID}@{COMMIT}"));
    assert_eq!(pinned.folder(), folder);
    assert!(hub.requests().is_empty(), "a commit cannot have changed");
}

#[test]
fn a_branch_that_moved_brings_only_what_changed() {
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    case.locate(ID).folder();
    hub.requests();
    let newer = "f".repeat(40);
    hub.change(|site| {
        site.revisions.insert("main".to_owned(), newer.clone());
        site.files.insert("config.json".to_owned(), b"{\"model_type\": \"roberta\"}".to_vec());
    });
    let moved = case.locate(ID);
    assert_eq!(moved.folder(), case.model().join("snapshots").join(&newer));
    assert_eq!(moved.progress.keys().collect::<Vec<_>>(), ["config.json"]);
    assert!(hub.requests().iter().all(|request| !request.path.starts_with("/cdn/")));
    assert!(moved.folder().join("model.safetensors").is_file());
    assert_eq!(std::fs::read_to_string(case.model().join("refs/main")).unwrap(), newer);
}

#[test]
fn a_revision_is_asked_for_and_a_wrong_one_is_told() {
    let hub = Hub::start();
    let other = "a".repeat(40);
    hub.change(|site| drop(site.revisions.insert("refs/pr/1".to_owned(), other.clone())));
    let case = Case::new(&hub.address);
    let located = case.locate(&format!("{ID}@refs/pr/1"));
    assert_eq!(located.folder(), case.model().join("snapshots").join(&other));
    assert_eq!(std::fs::read_to_string(case.model().join("refs/refs/pr/1")).unwrap(), other);
    assert!(hub.requests()[0].path.starts_with("/owner/tiny/resolve/refs%2Fpr%2F1/"));
    case.locate(&format!("{ID}@v9")).error(&[
        "owner/tiny@v9",
        "check the name and the revision",
        &hub.address,
    ]);
}

#[test]
fn a_private_model_takes_a_token_which_the_storage_never_sees() {
    let hub = Hub::start();
    hub.change(|site| site.token = Some("secret".to_owned()));
    Case::new(&hub.address).locate(ID).error(&[ID, "401", "set HF_TOKEN", &hub.address]);
    let refused = Case::new(&hub.address).with("HF_TOKEN", "wrong").locate(ID);
    refused.error(&[ID, "401", "check HF_TOKEN"]);
    assert!(!refused.error.unwrap().contains("wrong"));

    hub.requests();
    let by_file = Case::new(&hub.address);
    std::fs::write(by_file.home.path().join("token"), "secret\n").unwrap();
    for case in [Case::new(&hub.address).with("HF_TOKEN", "secret"), by_file] {
        case.locate(ID).folder();
        let requests = hub.requests();
        let (storage, hub): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.path.starts_with("/cdn/"));
        assert!(!storage.is_empty() && storage.iter().all(|request| request.token.is_none()));
        assert!(hub.iter().all(|request| request.token.as_deref() == Some("Bearer secret")));
    }
}

#[test]
fn a_renamed_private_model_is_followed() {
    let hub = Hub::start();
    hub.change(|site| (site.token, site.old_name) = (Some("secret".to_owned()), Some("old/tiny".to_owned())));
    let case = Case::new(&hub.address).with("HF_TOKEN", "secret");
    let weights = std::fs::read(case.locate("old/tiny").folder().join("model.safetensors")).unwrap();
    assert_eq!(weights, hub.file("model.safetensors"));
}

#[test]
fn offline_uses_the_cache_or_says_what_is_lacking() {
    let hub = Hub::start();
    let case = Case::new(&hub.address).with("HF_HUB_OFFLINE", "1");
    case.locate(ID).error(&[ID, "HF_HUB_OFFLINE", "never downloaded"]);
    let online = case.with("HF_HUB_OFFLINE", "0");
    let folder = online.locate(ID).folder().to_owned();
    hub.requests();
    let offline = online.with("HF_HUB_OFFLINE", "1");
    assert_eq!(offline.locate(ID).folder(), folder);
    assert_eq!(offline.locate(&format!("{ID}@{COMMIT}")).folder(), folder);
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    offline.locate(ID).error(&[ID, "HF_HUB_OFFLINE", "no model.safetensors"]);
    assert!(hub.requests().is_empty());
}

#[test]
fn the_cache_can_lie_elsewhere_and_must_be_writable() {
    let hub = Hub::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let case = Case::new(&hub.address).with("HF_HUB_CACHE", elsewhere.path().to_str().unwrap());
    assert!(case.locate(ID).folder().starts_with(elsewhere.path().join("models--owner--tiny")));
    assert_eq!(std::fs::read_dir(case.home.path()).unwrap().count(), 0);

    // A file where a folder has to be: unwritable for every user, root included.
    let file = elsewhere.path().join("file");
    std::fs::write(&file, "").unwrap();
    let case = case.with("HF_HUB_CACHE", file.to_str().unwrap());
    case.locate(ID).error(&[file.to_str().unwrap(), "set HF_HUB_CACHE"]);
}

#[test]
fn processes_at_the_same_time_download_once() {
    let hub = Hub::start();
    hub.change(|site| site.delay = Duration::from_millis(30));
    let case = Case::new(&hub.address);
    let children: Vec<_> = (0..3).map(|_| case.command(ID).spawn().unwrap()).collect();
    for child in children {
        let located = outcome(child.wait_with_output().unwrap());
        assert_eq!(
            std::fs::read(located.folder().join("model.safetensors")).unwrap(),
            hub.file("model.safetensors")
        );
    }
    let downloads = hub.requests().iter().filter(|request| request.path == "/cdn/model.safetensors").count();
    assert_eq!(downloads, 1);
}

/// With a Python that has huggingface_hub (`python3`, or what MIRROR_PYTHON names): each of the two finds
/// in the cache what the other has downloaded.
#[test]
fn python_shares_the_cache() {
    let python = std::env::var("MIRROR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let run = |case: &Case, script: &str| {
        let mut command = Command::new(&python);
        command.args(["-c", script]).envs(case.variables.iter().cloned());
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let hub = Hub::start();
    let theirs = Case::new(&hub.address).with("HF_HUB_DISABLE_TELEMETRY", "1");
    if run(&theirs, "import huggingface_hub").is_none() {
        eprintln!("skipped: {python} has no huggingface_hub");
        return;
    }
    let script = format!(
        "import huggingface_hub as h\n\
         for f in ['config.json', 'tokenizer.json', 'modules.json', '1_Pooling/config.json', 'model.safetensors']:\n  \
           p = h.hf_hub_download('{ID}', f)\nprint(p)"
    );
    let weights = run(&theirs, &script).expect("huggingface_hub downloads from the loopback hub");
    hub.requests();
    let located = theirs.locate(ID);
    assert_eq!(located.folder().join("model.safetensors"), Path::new(&weights));
    assert!(located.progress.is_empty(), "downloaded again: {:?}", located.progress);
    assert!(hub.requests().iter().all(|request| !request.path.starts_with("/cdn/")));

    let ours = Case::new(&hub.address);
    let folder = ours.locate(ID).folder().to_owned();
    hub.requests();
    let ours = ours.with("HF_HUB_OFFLINE", "1");
    let script = format!("import huggingface_hub as h\nprint(h.snapshot_download('{ID}'))");
    assert_eq!(run(&ours, &script).as_deref(), folder.to_str());
    let script = format!(
        "import huggingface_hub as h\nprint(h.try_to_load_from_cache('{ID}', 'vocab.txt') is h._CACHED_NO_EXIST)"
    );
    assert_eq!(run(&ours, &script).as_deref(), Some("True"));
    assert!(hub.requests().is_empty());
}
