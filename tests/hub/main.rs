//! The way from a Hugging Face id to a folder, over real sockets. Each case runs in a process of its
//! own (this test binary once more), since the settings are variables of the process.

mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mirror::hub::{self, ModelSource, Progress};
use serde::{Deserialize, Serialize};
use server::{COMMIT, Hub, ID, sha256};
use tempfile::TempDir;

const CHILD: &str = "MIRROR_TEST_HUB_CHILD";
const MARK: &str = "outcome of the child: ";

#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    folder: Option<PathBuf>,
    note: Option<String>,
    error: Option<String>,
    /// For each file that was downloaded: total, bytes at the start, bytes that arrived, finished.
    progress: BTreeMap<String, (Option<u64>, u64, u64, bool)>,
}

impl Outcome {
    #[track_caller]
    fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or_else(|| panic!("no folder: {self:?}"))
    }

    /// The error, which is one sentence and has all of `parts`.
    #[track_caller]
    fn error(&self, parts: &[&str]) {
        let error = self.error.as_deref().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
}

#[derive(Default)]
struct Record {
    current: String,
    files: BTreeMap<String, (Option<u64>, u64, u64, bool)>,
}

impl Progress for Record {
    fn start(&mut self, file: &str, total: Option<u64>, present: u64) {
        self.current = file.to_owned();
        self.files.insert(file.to_owned(), (total, present, 0, false));
    }
    fn advance(&mut self, bytes: u64) {
        self.files.get_mut(&self.current).unwrap().2 += bytes;
    }
    fn finish(&mut self) {
        self.files.get_mut(&self.current).unwrap().3 = true;
    }
}

/// A cache of its own and the variables of the children that use it.
struct Case {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Case {
    fn new(endpoint: &str) -> Case {
        let home = tempfile::tempdir().unwrap();
        let case = Case { home, variables: vec![] };
        let folder = case.home.path().to_str().unwrap().to_owned();
        case.with("HF_HOME", &folder).with("HF_ENDPOINT", endpoint)
    }

    fn with(mut self, name: &str, value: &str) -> Case {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, model: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().to_ascii_uppercase();
            let matters =
                ["HF_", "HUGGING", "TRANSFORMERS_", "XDG_"].iter().any(|start| name.starts_with(start));
            if matters || name.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.args(["--exact", "one_case", "--nocapture"]).env(CHILD, model).current_dir(self.home.path());
        command.envs(self.variables.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn locate(&self, model: &str) -> Outcome {
        outcome(self.command(model).output().unwrap())
    }

    /// The folder of the model in the cache.
    fn model(&self) -> PathBuf {
        self.home.path().join("hub/models--owner--tiny")
    }

    fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.model().join("blobs")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn outcome(output: Output) -> Outcome {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once(MARK)).unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str(line.1).unwrap()
}

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
        Ok(ModelSource::Hub(id)) => hub::locate(&id, &mut record),
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
    let hub = Hub::start();
    let case = Case::new(&hub.address);
    hub.change(|site| site.cut = Some((123_456, 1)));
    let weights = std::fs::read(case.locate(ID).folder().join("model.safetensors")).unwrap();
    assert_eq!(weights, hub.file("model.safetensors"));
    assert!(hub.requests().iter().any(|request| request.range.as_deref() == Some("bytes=123456-")));
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
    for odd in ["../../../x", "/tmp/x", "..", "a/b", ".hidden", "a\\b"] {
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

    hub.change(|site| site.outage = Some(503));
    let located = case.with("HF_ENDPOINT", &hub.address).locate(ID);
    assert_eq!(located.folder(), folder);
    assert!(located.note.unwrap().contains("503"));
    Case::new(&hub.address).locate(ID).error(&["503", "config.json", "try again later"]);
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
    case.locate(ID).error(&[file.to_str().unwrap(), "set HF_HOME"]);
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
