//! A folder with a tiny model, a corpus and an STS-B dev split, and the program to run on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mirror::encoder::EncoderConfig;
use mirror::random::Key;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

/// Long enough for a slow, busy machine; nothing here takes a tenth of it otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        Workshop::of("bert")
    }

    /// With a model of this type.
    pub fn of(model_type: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/builtin");
        write_model(model_type, &folder.path().join("model"), &built_in.join("model"));
        let corpus = fs::read_to_string(built_in.join("corpus.txt")).unwrap();
        let lines: Vec<&str> = corpus.lines().take(100).collect();
        fs::write(folder.path().join("corpus.txt"), lines.join("\n")).unwrap();
        let pairs = fs::read_to_string(built_in.join("pairs.tsv")).unwrap();
        let pairs: Vec<String> =
            pairs.lines().take(40).map(|p| format!("news\tfile\t2012\t1\t{p}")).collect();
        let split = folder.path().join("sts/STS/STSBenchmark");
        fs::create_dir_all(&split).unwrap();
        fs::write(split.join("sts-dev.csv"), pairs.join("\n")).unwrap();
        Workshop { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mirror train` in this folder: 8 sentences a batch, so 12 steps an epoch.
    pub fn train(&self, output: &str, more: &[&str]) -> Command {
        let usual = [
            ["--model", "model"],
            ["--corpus", "corpus.txt"],
            ["--data", "sts"],
            ["--batch-size", "8"],
            ["--epochs", "2"],
            ["--learning-rate", "1e-3"],
            ["--eval-every", "3"],
            ["--save-every", "2"],
            ["--threads", "1"],
        ];
        let mut command = self.mirror(&["train", "--keep-best", "--output", output]);
        // A flag may not be given twice.
        command.args(usual.iter().filter(|[flag, _]| !more.contains(flag)).flatten()).args(more);
        command
    }

    /// `mirror train --resume`, from another folder than the one the run was started in.
    pub fn resume(&self, output: &str) -> Command {
        let mut command = self.mirror(&["train", "--resume"]);
        command.arg(self.path(output)).current_dir("/");
        command
    }

    pub fn mirror(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        // `--device auto` is the CPU on every machine.
        command.args(arguments).current_dir(self.folder.path()).env("CUDA_VISIBLE_DEVICES", "");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A run that met no fault.
    pub fn reference(&self, output: &str, more: &[&str]) -> Ends {
        succeed(&mut self.train(output, more));
        self.ends(output)
    }

    pub fn ends(&self, output: &str) -> Ends {
        let read = |name: &str| fs::read(self.path(output).join(name)).unwrap();
        Ends { weights: read("model.safetensors"), metrics: read("metrics.jsonl") }
    }

    /// The run's folder with two checkpoints in it, killed in the middle.
    pub fn killed_in_the_middle(&self, output: &str, more: &[&str]) {
        let mut child = self.train(output, more).spawn().unwrap();
        self.wait_for_lines(output, 16, &mut child);
        kill(child);
        assert_eq!(self.checkpoints(output).len(), 2, "{output}");
    }

    /// The metrics of a run that has not ended.
    pub fn ends_so_far(&self, output: &str) -> Vec<u8> {
        fs::read(self.path(output).join("metrics.jsonl")).unwrap()
    }

    /// Waits until metrics.jsonl has so many lines, or the run has ended.
    pub fn wait_for_lines(&self, output: &str, lines: usize, child: &mut Child) {
        let path = self.path(output).join("metrics.jsonl");
        wait_until(|| {
            let written = fs::read(&path).unwrap_or_default();
            let so_far = written.iter().filter(|&&byte| byte == b'\n').count();
            so_far >= lines || child.try_wait().unwrap().is_some()
        });
    }

    /// Names of the checkpoints, the oldest first.
    pub fn checkpoints(&self, output: &str) -> Vec<String> {
        let mut names = names_in(&self.path(output).join("checkpoints"));
        names.retain(|name| name.starts_with("step-"));
        names
    }
}

/// What a run leaves that must not depend on the faults it met.
#[derive(PartialEq)]
pub struct Ends {
    weights: Vec<u8>,
    metrics: Vec<u8>,
}

impl Ends {
    pub fn assert_same(&self, other: &Ends, what: &str) {
        assert!(self.weights == other.weights, "{what}: model.safetensors differs");
        assert!(self.metrics == other.metrics, "{what}: metrics.jsonl differs");
    }
}

pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// SIGKILL. Tells whether it found the process still running.
pub fn kill(mut child: Child) -> bool {
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Runs a command that must fail with this exit code, in one line on stderr, and gives that line.
pub fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{text}");
    text
}

/// stderr, then stdout.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A model of two layers with the built-in tokenizer and random weights.
fn write_model(model_type: &str, folder: &Path, tokenizer: &Path) {
    copy(tokenizer, folder);
    let config = serde_json::json!({
        "model_type": model_type, "vocab_size": 7000, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 128,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let layout = EncoderConfig::from_folder(folder).unwrap().layout();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = layout
        .tensors()
        .enumerate()
        .map(|(i, (_, spec))| {
            let around = if spec.is_norm_weight() { 1.0 } else { 0.0 };
            let key = Key::new(1).at(i as u64);
            let value = |channel| (around + 0.2 * key.normal(channel)) as f32;
            let values = (0..spec.len() as u32).flat_map(|channel| value(channel).to_le_bytes());
            (spec.name.clone(), spec.shape.clone(), values.collect())
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}
