//! Which files of a model are wanted, and whether they suffice.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::id::is_safe_path;
use super::{HubError, HubId};
use crate::quote::{quoted, reason};
use crate::sentence_folder::module_folders;

/// The one file that every model has.
pub(super) const CONFIG: &str = "config.json";

const TOKENIZERS: [&[&str]; 3] = [&["tokenizer.json"], &["vocab.txt"], &["vocab.json", "merges.txt"]];
const EXTRAS: [&str; 7] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];
const MODULES: &str = "modules.json";
const WEIGHTS: &str = "model.safetensors";
const SHARD_INDEX: &str = "model.safetensors.index.json";
const PICKLED_WEIGHTS: &str = "pytorch_model.bin";

const LARGEST_INDEX: u64 = 16 << 20;
const MOST_SHARDS: usize = 1000;

/// Asks `obtain` for each file that is wanted; it gives the file's place, or none where there is no
/// such file. Weights come last and in one form only, so that a model whose weights are there has
/// everything else, and a lack is told before the long download.
pub(super) fn gather(
    id: &HubId,
    obtain: &mut dyn FnMut(&str) -> Result<Option<PathBuf>, HubError>,
) -> Result<(), HubError> {
    let lacks = |lacks: String| HubError::Incomplete { id: id.to_string(), lacks };
    if obtain(CONFIG)?.is_none() {
        return Err(lacks(format!("it has no {CONFIG}")));
    }
    let mut has_tokenizer = false;
    for form in TOKENIZERS {
        let mut complete = true;
        for file in form {
            complete &= obtain(file)?.is_some();
        }
        has_tokenizer |= complete;
    }
    if !has_tokenizer {
        return Err(lacks(
            "it has no tokenizer.json, no vocab.txt and no vocab.json with merges.txt".to_owned(),
        ));
    }
    for file in EXTRAS {
        obtain(file)?;
    }
    gather_modules(obtain)?;
    if obtain(WEIGHTS)?.is_some() {
        return Ok(());
    }
    if let Some(index) = obtain(SHARD_INDEX)? {
        for shard in shards(&index).map_err(|what| lacks(format!("its {SHARD_INDEX} {what}")))? {
            obtain(&shard)?
                .ok_or_else(|| lacks(format!("it has no {shard}, which its {SHARD_INDEX} names")))?;
        }
        return Ok(());
    }
    match obtain(PICKLED_WEIGHTS)? {
        Some(_) => Ok(()),
        None => Err(lacks(format!("it has no {WEIGHTS}, no {SHARD_INDEX} and no {PICKLED_WEIGHTS}"))),
    }
}

/// What modules.json names beside the transformer and 1_Pooling. Where it cannot be read nothing is wanted:
/// whoever loads the model says what is wrong with it.
fn gather_modules(obtain: &mut dyn FnMut(&str) -> Result<Option<PathBuf>, HubError>) -> Result<(), HubError> {
    let Some(modules) = obtain(MODULES)? else { return Ok(()) };
    for (folder, has_weights) in module_folders(&modules).unwrap_or_default() {
        let file = |name: &str| format!("{folder}/{name}");
        if !is_safe_path(&folder) {
            continue;
        }
        obtain(&file("config.json"))?;
        if has_weights && obtain(&file(WEIGHTS))?.is_none() {
            obtain(&file(PICKLED_WEIGHTS))?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// The files that an index names, or what is wrong with it.
fn shards(index: &Path) -> Result<BTreeSet<String>, String> {
    let mut text = Vec::new();
    let read = File::open(index).and_then(|file| file.take(LARGEST_INDEX + 1).read_to_end(&mut text));
    read.map_err(|error| format!("cannot be read ({error})"))?;
    if text.len() as u64 > LARGEST_INDEX {
        return Err(format!("is larger than {LARGEST_INDEX} bytes"));
    }
    let index: ShardIndex = serde_json::from_slice(&text)
        .map_err(|error| format!("is not an index of weights ({})", reason(error)))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() || shards.len() > MOST_SHARDS {
        return Err(format!("names {} files instead of 1 to {MOST_SHARDS}", shards.len()));
    }
    if let Some(odd) = shards.iter().find(|name| !is_safe_path(name) || !name.ends_with(".safetensors")) {
        return Err(format!("names {}, which cannot be a file of weights", quoted(odd)));
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`gather`] says of a model that consists of `files`, and what it asked for.
    fn gather_from(files: &[(&str, &str)]) -> (Result<(), String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut asked = Vec::new();
        let result = gather(&"owner/name".parse().unwrap(), &mut |file| {
            asked.push(file.to_owned());
            Ok(Some(folder.path().join(file)).filter(|path| path.is_file()))
        });
        (result.map_err(|error| error.to_string()), asked)
    }

    const BASE: [(&str, &str); 2] = [("config.json", "{}"), ("tokenizer.json", "{}")];

    #[test]
    fn one_form_of_weights_is_taken() {
        let index =
            r#"{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        for (weights, last) in [
            (&[("model.safetensors", ""), ("pytorch_model.bin", "")][..], "model.safetensors"),
            (
                &[
                    (SHARD_INDEX, index),
                    ("m-1.safetensors", ""),
                    ("m-2.safetensors", ""),
                    (PICKLED_WEIGHTS, ""),
                ],
                "m-2.safetensors",
            ),
            (&[("pytorch_model.bin", "")], "pytorch_model.bin"),
        ] {
            let (result, asked) = gather_from(&[&BASE[..], weights].concat());
            assert_eq!(result, Ok(()));
            assert_eq!(asked.last().map(String::as_str), Some(last));
            assert!(last == PICKLED_WEIGHTS || !asked.iter().any(|file| file == PICKLED_WEIGHTS));
        }
    }

    #[test]
    fn what_modules_json_names_is_asked_for_with_its_weights() {
        let module = |class: &str, path: &str| serde_json::json!({"type": format!("sentence_transformers.models.{class}"), "path": path});
        let modules = serde_json::json!([
            module("Transformer", ""),
            module("Pooling", "1_Pooling"),
            module("Dense", "2_Dense"),
            module("LayerNorm", "3_LayerNorm"),
            module("Normalize", "4_Normalize"),
        ]);
        let modules = modules.to_string();
        let files = [
            ("modules.json", modules.as_str()),
            ("2_Dense/model.safetensors", ""),
            ("model.safetensors", ""),
        ];
        let (result, asked) = gather_from(&[&BASE[..], &files].concat());
        assert_eq!(result, Ok(()));
        let wanted = [
            "config_sentence_transformers.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "3_LayerNorm/config.json",
            "3_LayerNorm/model.safetensors",
            "3_LayerNorm/pytorch_model.bin",
            "4_Normalize/config.json",
        ];
        for file in wanted {
            assert!(asked.iter().any(|asked| asked == file), "{file} of {asked:?}");
        }
        assert!(
            !asked
                .iter()
                .any(|file| file == "2_Dense/pytorch_model.bin" || file == "4_Normalize/model.safetensors")
        );
        for odd in [r#"[{"type": "x", "path": "../secret"}]"#, "[", "{}"] {
            let (result, asked) =
                gather_from(&[&BASE[..], &[("modules.json", odd), ("model.safetensors", "")]].concat());
            assert_eq!(result, Ok(()), "it is for the reader of the folder to say");
            assert!(!asked.iter().any(|file| file.contains("secret")));
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let weights = ("model.safetensors", "");
        for (files, lack) in [
            (&[("tokenizer.json", "{}"), weights][..], "config.json"),
            (&[("config.json", "{}"), weights], "vocab.json with merges.txt"),
            (&[("config.json", "{}"), ("vocab.json", "{}"), weights], "vocab.json with merges.txt"),
            (&BASE, "pytorch_model.bin"),
        ] {
            let error = gather_from(files).0.unwrap_err();
            assert!(error.contains("owner/name") && error.contains(lack), "{error}");
        }
        let roberta = [("config.json", "{}"), ("vocab.json", "{}"), ("merges.txt", ""), weights];
        assert_eq!(gather_from(&roberta).0, Ok(()));
    }

    #[test]
    fn an_index_cannot_name_a_file_elsewhere() {
        for (index, what) in [
            (r#"{"weight_map": {"a": "../../x.safetensors"}}"#, "../../x.safetensors"),
            (r#"{"weight_map": {"a": "/etc/x.safetensors"}}"#, "/etc/x.safetensors"),
            (r#"{"weight_map": {"a": "config.json"}}"#, "config.json"),
            (r#"{"weight_map": {"a": "m-1.safetensors"}}"#, "m-1.safetensors"),
            (r#"{"weight_map": {}}"#, "names 0 files"),
            (r#"{"weight_map": {"a": 3}}"#, "not an index"),
            ("[", "not an index"),
        ] {
            let (result, _) = gather_from(&[&BASE[..], &[(SHARD_INDEX, index)]].concat());
            let error = result.unwrap_err();
            assert!(error.contains(what) && error.contains(SHARD_INDEX), "{error}");
        }
    }
}
