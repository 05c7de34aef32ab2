//! A case: a process of its own (this test binary once more) with its own cache, since the settings
//! are variables of the process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mirror::hub::Progress;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub const CHILD: &str = "MIRROR_TEST_HUB_CHILD";
pub const MARK: &str = "outcome of the child: ";

#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub folder: Option<PathBuf>,
    pub note: Option<String>,
    pub error: Option<String>,
    /// For each file that was downloaded: total, bytes at the start, bytes that arrived, finished.
    pub progress: BTreeMap<String, (Option<u64>, u64, u64, bool)>,
}

impl Outcome {
    #[track_caller]
    pub fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or_else(|| panic!("no folder: {self:?}"))
    }

    /// The error, which is one sentence and has all of `parts`.
    #[track_caller]
    pub fn error(&self, parts: &[&str]) {
        let error = self.error.as_deref().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
}

#[derive(Default)]
pub struct Record {
    current: String,
    pub files: BTreeMap<String, (Option<u64>, u64, u64, bool)>,
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
pub struct Case {
    pub home: TempDir,
    pub variables: Vec<(String, String)>,
}

impl Case {
    pub fn new(endpoint: &str) -> Case {
        let home = tempfile::tempdir().unwrap();
        let case = Case { home, variables: vec![] };
        let folder = case.home.path().to_str().unwrap().to_owned();
        case.with("HF_HOME", &folder).with("HF_ENDPOINT", endpoint)
    }

    pub fn with(mut self, name: &str, value: &str) -> Case {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn command(&self, model: &str) -> Command {
        let mut command = self.clean(std::env::current_exe().unwrap());
        command.args(["--exact", "one_case", "--nocapture"]).env(CHILD, model);
        command
    }

    /// A program in this home, with no variables but the case's that say where models come from.
    pub fn clean(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().to_ascii_uppercase();
            let starts = ["HF_", "HUGGING", "TRANSFORMERS_", "XDG_", "SSL_CERT_", "REQUESTS_", "CURL_"];
            let matters = starts.iter().any(|start| name.starts_with(start));
            if matters || name.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.home.path());
        command.envs(self.variables.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn locate(&self, model: &str) -> Outcome {
        outcome(self.command(model).output().unwrap())
    }

    /// The folder of the model in the cache.
    pub fn model(&self) -> PathBuf {
        self.home.path().join("hub/models--owner--tiny")
    }

    pub fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.model().join("blobs")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub fn outcome(output: Output) -> Outcome {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once(MARK)).unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str(line.1).unwrap()
}
