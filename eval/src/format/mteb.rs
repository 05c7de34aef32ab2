//! Results as MTEB keeps them: a JSON file for each task beside `model_meta.json`, below a folder for each model, which
//! `mteb.ResultCache(folder)` and `TaskResult.from_disk` load.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::words::WordSet;
use crate::{Benchmark, Report, TaskDetails, TaskScore};

/// What `model_meta.json` holds about a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelMeta {
    /// The width of its embeddings.
    pub embed_dim: Option<usize>,
    /// The longest text it takes, in tokens.
    pub max_tokens: Option<usize>,
}

/// What MTEB calls a model's revision where there is none.
pub const NO_REVISION: &str = "no_revision_available";

/// The seven by their names in MTEB. Its SICK-R is all 9,927 pairs, which the convention `simcse` scores.
const NAMES: [(&str, &str); 7] = [
    ("STS12", "STS12"),
    ("STS13", "STS13"),
    ("STS14", "STS14"),
    ("STS15", "STS15"),
    ("STS16", "STS16"),
    ("STSB", "STSBenchmark"),
    ("SICKR", "SICK-R"),
];

/// The files of a report, by their path below the folder of results.
pub fn files(report: &Report, meta: &ModelMeta) -> Vec<(PathBuf, Value)> {
    let model = model_name(&report.model);
    let folder = folder(&report.model);
    let mut files = vec![(folder.join("model_meta.json"), model_meta(&model, meta))];
    for (key, task) in &report.tasks {
        let key = key.as_str();
        let name = NAMES.iter().find(|(own, _)| *own == key).map_or(key, |(_, theirs)| theirs);
        files.push((folder.join(format!("{}.json", file_name(name))), task_result(name, key, task)));
    }
    files
}

/// Where a model's files go below the folder of results.
pub fn folder(model: &str) -> PathBuf {
    PathBuf::from("results").join(file_name(&model_name(model))).join(NO_REVISION)
}

/// MTEB wants names of the form organization/model; a folder's name gets `local/` before it.
fn model_name(model: &str) -> String {
    let name = model.trim_end_matches('/');
    if name.contains('/') { name.to_owned() } else { format!("local/{name}") }
}

/// A name as MTEB makes it one of a file, `/` as `__` and a blank as `_`; besides, nothing that another system takes
/// for a separator, and no name of dots, which would leave the folder.
fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '/' | '\\' => file.push_str("__"),
            ' ' | ':' => file.push('_'),
            control if control.is_control() => file.push('_'),
            other => file.push(other),
        }
    }
    if file.is_empty() || file.starts_with('.') { format!("_{file}") } else { file }
}

/// A `TaskResult` of one split, `test`, and one language.
///
/// `mteb_version` is null, since MTEB computed nothing here, and the revision names where the pairs come from, so that
/// no result is taken for one of MTEB's own copy of a data set.
fn task_result(name: &str, key: &str, task: &TaskScore) -> Value {
    let (source, languages): (_, &[&str]) = match (Benchmark::from_key(key), WordSet::from_key(key)) {
        (Some(_), _) => ("senteval", &["eng-Latn"]),
        (None, Some(_)) => ("published word pairs", &["eng-Latn"]),
        (None, None) => ("user", &[]),
    };
    json!({
        "dataset_revision": source,
        "task_name": name,
        "mteb_version": null,
        "scores": { "test": [scores(task, languages)] },
        "evaluation_time": null,
        "kg_co2_emissions": null,
    })
}

/// Correlations in [−1, 1]; those by distances are there where the report has details.
fn scores(task: &TaskScore, languages: &[&str]) -> Value {
    let share = |points: Option<f64>| points.map(|points| points / 100.0);
    let spearman = share(task.spearman);
    let mut scores = Map::new();
    let mut put = |name: &str, value: Option<f64>| scores.insert(name.to_owned(), json!(value));
    if let Some(TaskDetails { pearson, similarities, .. }) = &task.details {
        put("pearson", share(*pearson));
        put("spearman", spearman);
        put("cosine_pearson", share(*pearson));
        put("cosine_spearman", spearman);
        put("manhattan_pearson", similarities.manhattan.pearson);
        put("manhattan_spearman", similarities.manhattan.spearman);
        put("euclidean_pearson", similarities.euclidean.pearson);
        put("euclidean_spearman", similarities.euclidean.spearman);
    } else {
        put("cosine_spearman", spearman);
    }
    put("main_score", spearman);
    scores.insert("hf_subset".to_owned(), json!("default"));
    scores.insert("languages".to_owned(), json!(languages));
    Value::Object(scores)
}

/// All fields that MTEB's `ModelMeta` demands; what is not known is null.
fn model_meta(name: &str, meta: &ModelMeta) -> Value {
    json!({
        "name": name,
        "revision": NO_REVISION,
        "release_date": null,
        "languages": ["eng-Latn"],
        "n_parameters": null,
        "memory_usage_mb": null,
        "max_tokens": meta.max_tokens,
        "embed_dim": meta.embed_dim,
        "license": null,
        "open_weights": null,
        "public_training_code": null,
        "public_training_data": null,
        "framework": [],
        "reference": null,
        "similarity_fn_name": "cosine",
        "use_instructions": false,
        "training_datasets": null,
        "loader": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        let names = ["a/b c", "..", ".", "", "../../x", "C:\\x", "a\nb", "../.."];
        let expected = ["a__b_c", "_..", "_.", "_", "_..__..__x", "C___x", "a_b", "_..__.."];
        assert_eq!(names.map(file_name), expected);
        assert_eq!(["out/", "..", "a/b/"].map(model_name), ["local/out", "local/..", "a/b"]);
    }
}
