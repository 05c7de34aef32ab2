//! Which files of a folder this program wrote, and may therefore replace or remove.
//!
//! A finished run or export lists them (`.mirror.json`, see [`crate::output::written`]). Where there is no list, as in
//! a run that was cut off and in folders of earlier versions, the files' contents decide: a train.toml of settings,
//! checkpoints with a manifest, graphs that name their producer, a model card that says who wrote it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::configuration::CONFIGURATION;
use crate::checkpoint::run_checkpoints;
use crate::model_folder::WEIGHTS;
use crate::onnx_file::data_file;
use crate::onnx_file::header::Header;
use crate::output::written::Written;
use crate::trainer::TrainOptions;
use crate::trainer::labels::FinetuneOptions;
use crate::trainer::metrics::METRICS;
use crate::trainer::pretrain::{PretrainOptions, card as pretraining_card};
use crate::trainer::task_card;

/// A model card's name.
pub const CARD: &str = "README.md";

/// What a folder of an earlier version has beside its weights or graphs.
const BESIDE: [&str; 12] = [
    "config.json",
    "config_sentence_transformers.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "1_Pooling/config.json",
    CARD,
];

/// A settings file or a model card is a page or two.
const LARGEST_TEXT: u64 = 1 << 20;

/// The files of a folder that this program wrote and nobody changed, by their paths below it.
pub fn owned(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut owned = match Written::read(folder) {
        Some(written) => written.unchanged(folder),
        None => recognized(folder)?,
    };
    owned.extend(run_checkpoints::owned(folder)?);
    Ok(owned)
}

/// Of the names that a trained folder may have, those that are taken by what is not `owned`.
pub fn taken(folder: &Path, owned: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let names = BESIDE.iter().chain(&[CONFIGURATION, METRICS, WEIGHTS, crate::output::written::LIST]);
    let mut paths = names.map(PathBuf::from).filter(|path| !owned.contains(path));
    paths.find(|path| folder.join(path).symlink_metadata().is_ok()).map(|path| folder.join(path))
}

/// The graphs of a folder that this program wrote, with their headers.
pub fn graphs(folder: &Path) -> io::Result<Vec<(PathBuf, Header)>> {
    let mut graphs = Vec::new();
    for entry in fs::read_dir(folder.join("onnx")).into_iter().flatten() {
        let path = entry?.path();
        if path.is_file()
            && path.extension().is_some_and(|extension| extension == "onnx")
            && let Some(header) = Header::read(&path)?.filter(Header::is_ours)
        {
            graphs.push((path, header));
        }
    }
    graphs.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(graphs)
}

/// Graphs of this program with the files of weights beside them, by their paths below the folder.
pub fn owned_graphs(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let graphs = graphs(folder)?.into_iter().flat_map(|(path, _)| [data_file(&path), path]);
    let below = graphs.filter(|path| path.is_file());
    Ok(below.filter_map(|path| Some(path.strip_prefix(folder).ok()?.to_owned())).collect())
}

/// Files that are recognized as this program's by their contents.
fn recognized(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut owned = owned_graphs(folder)?;
    let weights = crate::model_folder::weights::files::weights_in(folder);
    let card = read_text(&folder.join(CARD)).unwrap_or_default();
    let mut all_beside = !owned.is_empty() && weights.is_none();
    if is_configuration(&folder.join(CONFIGURATION)) {
        owned.extend([CONFIGURATION, METRICS].map(PathBuf::from));
        // Weights that a run wrote lie under the card that it wrote.
        if weights.is_some() && is_of_a_run(&card) {
            owned.insert(PathBuf::from(WEIGHTS));
            all_beside = true;
        }
    }
    if all_beside {
        let is_ours =
            |name: &&&str| **name != CARD || is_of_a_run(&card) || card.contains("Exported by `mirror ");
        owned.extend(BESIDE.iter().filter(is_ours).map(PathBuf::from));
    }
    owned.retain(|path| folder.join(path).symlink_metadata().is_ok_and(|m| m.is_file()));
    Ok(owned)
}

/// Whether a model card is one that a run wrote.
fn is_of_a_run(card: &str) -> bool {
    card.contains("Mirror-BERT's contrastive training")
        || card.contains(task_card::MARK)
        || card.contains(pretraining_card::MARK)
}

/// Whether a file holds the settings of a run.
fn is_configuration(path: &Path) -> bool {
    read_text(path).is_some_and(|text| {
        toml::from_str::<TrainOptions>(&text).is_ok()
            || toml::from_str::<FinetuneOptions>(&text).is_ok()
            || toml::from_str::<PretrainOptions>(&text).is_ok()
    })
}

fn read_text(path: &Path) -> Option<String> {
    let metadata = path.symlink_metadata().ok()?;
    let is_text = metadata.is_file() && metadata.len() <= LARGEST_TEXT;
    is_text.then(|| fs::read_to_string(path).ok()).flatten()
}

/// What is looked for in a model's folder beside weights, whether it is there or not.
pub fn looked_for_in_a_model() -> impl Iterator<Item = &'static str> {
    BESIDE.into_iter().filter(|name| *name != CARD).chain(["added_tokens.json"])
}

/// Whether a model's folder has this file, given by its path below it, for a command to read.
pub fn is_read_from_a_model(path: &Path) -> bool {
    const KINDS: [&str; 8] = ["safetensors", "bin", "onnx", "onnx_data", "model", "txt", "toml", "h5"];
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_module = path.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
    let is_configuration =
        ["config", "token", "vocab", "module", "index"].iter().any(|part| name.contains(part));
    KINDS.contains(&extension) || name == METRICS || (extension == "json" && (is_module || is_configuration))
}

/// Whether a folder of STS data has this file for a command to read: all but what commands write.
pub fn is_read_from_data(path: &Path) -> bool {
    const REPORTS: [&str; 7] = ["html", "json", "jsonl", "md", "npy", "svg", "tex"];
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    !REPORTS.contains(&extension)
}
