//! What commands read and write: the one held against the other, and how files of earlier runs are known.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sts_eval::format::mteb;

use super::text::is_stdin;
use crate::corpus::{self, CorpusOptions, Input};
use crate::hub::{self, ModelSource};
use crate::onnx::library;
use crate::output::{Form, Inputs};
use crate::ownership::{is_read_from_a_model, is_read_from_data, looked_for_in_a_model};

/// A model's folder; one of the hub is known when it is located.
pub fn add_model(inputs: &mut Inputs, model: &str) {
    if let Ok(ModelSource::Folder(folder)) = hub::resolve(model) {
        add_model_folder(inputs, &folder);
    }
}

pub fn add_model_folder(inputs: &mut Inputs, folder: &Path) {
    inputs.add_folder("--model", folder, is_read_from_a_model);
    looked_for_in_a_model().for_each(|name| inputs.add_absent("--model", &folder.join(name)));
}

/// A folder of STS data or of word pairs, which `flag` names.
pub fn add_data(inputs: &mut Inputs, flag: &str, folder: &Path) {
    inputs.add_folder(flag, folder, is_read_from_data);
}

/// Text: a file, or standard input where there is none.
pub fn add_text(inputs: &mut Inputs, flag: &str, path: Option<&Path>) {
    match path.filter(|path| !is_stdin(Some(path))) {
        Some(path) => inputs.add(flag, path),
        None => inputs.add_stdin(),
    }
}

/// The files that a corpus is made of, and the folders that they are in. What cannot be listed is refused where it is
/// read.
pub fn add_texts(inputs: &mut Inputs, flag: &'static str, paths: &[PathBuf], options: &CorpusOptions) {
    let Ok(listed) = corpus::list(flag, paths, options) else {
        return paths.iter().for_each(|path| add_text(inputs, flag, Some(path)));
    };
    listed.folders.iter().for_each(|folder| inputs.add(flag, folder));
    for input in &listed.inputs {
        match input {
            Input::Stdin => inputs.add_stdin(),
            Input::File(path) => inputs.add(flag, path),
        }
    }
}

/// ONNX Runtime's library.
pub fn add_runtime(inputs: &mut Inputs, asked: Option<&Path>) {
    if let Ok(library) = library::find(asked) {
        inputs.add("--onnxruntime", &library);
    }
}

pub const JSON: Form = Form { what: "a report of mirror eval", is_ours: |path| json(path, is_report) };
pub const MARKDOWN: Form =
    Form { what: "a report of mirror eval", is_ours: |path| begins(path, MARKDOWN_MARK, 0) };
pub const LATEX: Form = Form { what: "a report of mirror eval", is_ours: |path| begins(path, LATEX_MARK, 0) };
pub const HTML: Form = Form {
    what: "a report of mirror eval",
    is_ours: |path| begins(path, "<meta name=\"generator\" content=\"sts-eval ", BEGINNING),
};
pub const MTEB: Form = Form { what: "a result of mirror eval --mteb", is_ours: |path| json(path, is_mteb) };
pub const SWEEP_JSON: Form = Form { what: "a table of mirror sweep", is_ours: |path| json(path, is_sweep) };
pub const SWEEP_MARKDOWN: Form =
    Form { what: "a table of mirror sweep", is_ours: |path| begins(path, SWEEP_MARKDOWN_MARK, 0) };
pub const SWEEP_LATEX: Form =
    Form { what: "a table of mirror sweep", is_ours: |path| begins(path, SWEEP_LATEX_MARK, 0) };
pub const SHARPNESS: Form =
    Form { what: "a report of mirror sharpness", is_ours: |path| json(path, is_sharpness) };
pub const MANUAL_PAGE: Form =
    Form { what: "a page of mirror man", is_ours: |path| begins(path, MANUAL_MARK, 0) };
pub const DRAWING: Form = Form {
    what: "a drawing of mirror sharpness",
    is_ours: |path| begins(path, "aria-label=\"Loss along directions in weight space\"", BEGINNING),
};

/// What a written file of tables begins with, by which it is known later.
pub const MARKDOWN_MARK: &str = "<!-- mirror eval -->\n";
pub const LATEX_MARK: &str = "% mirror eval\n";
pub const SWEEP_MARKDOWN_MARK: &str = "<!-- mirror sweep -->\n";
pub const SWEEP_LATEX_MARK: &str = "% mirror sweep\n";
/// A comment of roff's.
pub const MANUAL_MARK: &str = ".\\\" mirror man\n";

/// Bytes at the beginning of a page or drawing in which it names its generator.
const BEGINNING: u64 = 4096;

/// A report of many models takes some megabytes; a larger file is read by nobody.
const LARGEST_JSON: u64 = 1 << 28;

/// Whether `mark` stands at a file's beginning, or within its first `within` bytes.
fn begins(path: &Path, mark: &str, within: u64) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(within.max(mark.len() as u64)).read_to_end(&mut bytes)?;
    Ok(bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
}

fn json(path: &Path, is_ours: fn(&Value) -> bool) -> io::Result<bool> {
    if path.metadata()?.len() > LARGEST_JSON {
        return Ok(false);
    }
    Ok(serde_json::from_reader(BufReader::new(File::open(path)?)).is_ok_and(|value| is_ours(&value)))
}

fn has(value: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| value.get(key).is_some())
}

/// One report, or those of several models: of sets, or of sentences without labels.
fn is_report(value: &Value) -> bool {
    let is_one = |value: &Value| {
        has(value, &["model", "tasks", "average", "averaged", "convention", "missing"])
            || has(value, &["model", "sentences", "views", "recall_at_1", "uniformity"])
    };
    match value {
        Value::Array(reports) => !reports.is_empty() && reports.iter().all(is_one),
        report => is_one(report),
    }
}

fn is_sharpness(value: &Value) -> bool {
    has(value, &["model", "corpus_sha256", "rho", "beta", "batch_size", "directions"])
}

fn is_sweep(value: &Value) -> bool {
    has(value, &["rows", "averaged", "bootstrap", "notes"])
}

fn is_mteb(value: &Value) -> bool {
    let of_ours = ["senteval", "user"].iter().any(|source| value["dataset_revision"] == *source);
    let is_result = has(value, &["task_name", "scores", "mteb_version"]) && of_ours;
    let is_meta = value["revision"] == mteb::NO_REVISION
        && has(value, &["name", "embed_dim", "max_tokens"])
        && value["framework"].as_array().is_some_and(Vec::is_empty);
    (is_result && value["mteb_version"].is_null()) || is_meta
}
