//! Which files of a model are wanted, and whether they suffice: those that loading a folder reads, in an order in
//! which a lack or a refusal comes before the long download.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::id::is_safe_path;
use super::{HubError, HubId};
use crate::model_folder::TRANSFORMER_CONFIGS;
use crate::model_folder::weights::files::{FORMS, is_index, shards};
use crate::quote::{quoted, reason};

/// The file that every model has, but for those whose transformer has a folder of its own.
pub(super) const CONFIG: &str = "config.json";
/// Where a sentence-transformers folder lists the folders of its modules.
pub(super) const MODULES: &str = "modules.json";

const TOKENIZERS: [&[&str]; 3] = [&["tokenizer.json"], &["vocab.txt"], &["vocab.json", "merges.txt"]];
const TOKENIZER_SETTINGS: [&str; 3] =
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];
const SENTENCE_SETTINGS: &str = "config_sentence_transformers.json";
const POOLING_WITHOUT_MODULES: &str = "1_Pooling/config.json";
/// Files that a model may do without, and whose lack changes what comes out.
pub(super) const TELLING: [&str; 6] = [
    MODULES,
    SENTENCE_SETTINGS,
    TRANSFORMER_CONFIGS[0],
    POOLING_WITHOUT_MODULES,
    TOKENIZER_SETTINGS[0],
    TOKENIZER_SETTINGS[1],
];
const MODULE_WEIGHTS: [&str; 2] = [FORMS[0], FORMS[2]];
/// Modules that have no weights.
const WEIGHTLESS: [&str; 4] = ["Transformer", "Pooling", "Normalize", "Dropout"];

const LARGEST_MODULES: u64 = 1 << 20;
/// Of a sentence-transformers folder; the largest that there are have five.
const MOST_MODULES: usize = 32;

/// Where files come from: the hub, or the cache alone.
pub(super) trait Source {
    /// The file's place, or none where there is no such file.
    fn obtain(&mut self, file: &str) -> Result<Option<PathBuf>, HubError>;

    /// The config.json of the transformer in this folder is there.
    fn configured(&mut self, _transformer: &str) -> Result<(), HubError> {
        Ok(())
    }

    /// All is there but the weights, which may now be asked for.
    fn described(&mut self) -> Result<(), HubError> {
        Ok(())
    }
}

/// Whether a file of this name is small and describes, as opposed to being weights.
pub(super) fn describes(file: &str) -> bool {
    !file.ends_with(".safetensors") && !file.ends_with(".bin")
}

/// Asks for each file that is wanted. Weights come last and in one form only, so that a model whose weights are there
/// has everything else.
pub(super) fn gather(id: &HubId, source: &mut dyn Source) -> Result<(), HubError> {
    let lacks = |lacks: String| HubError::Incomplete { id: id.to_string(), lacks };
    let config = source.obtain(CONFIG)?;
    let modules = match source.obtain(MODULES)? {
        Some(file) => Some(modules(&file).map_err(|what| lacks(format!("its {MODULES} {what}")))?),
        None => None,
    };
    let transformer = modules.iter().flatten().next().map_or("", |first| first.folder.as_str());
    let inside = |file: &str| inside(transformer, file);
    if (transformer.is_empty() && config.is_none())
        || (!transformer.is_empty() && source.obtain(&inside(CONFIG))?.is_none())
    {
        return Err(lacks(format!("it has no {}", inside(CONFIG))));
    }
    source.configured(transformer)?;
    let has_tokenizer = tokenizer(source, &inside)?;
    for file in TRANSFORMER_CONFIGS {
        if source.obtain(&inside(file))?.is_some() {
            break;
        }
    }
    source.obtain(SENTENCE_SETTINGS)?;
    match &modules {
        None => drop(source.obtain(POOLING_WITHOUT_MODULES)?),
        Some(modules) => {
            for module in modules.iter().filter(|module| module.folder != transformer) {
                source.obtain(&self::inside(&module.folder, CONFIG))?;
            }
        }
    }
    if !has_tokenizer {
        return Err(lacks(
            "it has no tokenizer.json, no vocab.txt and no vocab.json with merges.txt".to_owned(),
        ));
    }
    source.described()?;
    for module in modules.iter().flatten().filter(|module| module.may_have_weights) {
        first_of(source, &MODULE_WEIGHTS, &|file| self::inside(&module.folder, file))?;
    }
    weights(source, &inside, &lacks)
}

/// Whether there is a tokenizer. Its older forms are asked for as well: training passes them on.
fn tokenizer(source: &mut dyn Source, inside: &dyn Fn(&str) -> String) -> Result<bool, HubError> {
    let mut has_tokenizer = false;
    for form in TOKENIZERS {
        let mut complete = true;
        for file in form {
            complete &= match source.obtain(&inside(file)) {
                // What is only passed on need not be there.
                Err(HubError::CannotComplete { .. }) if has_tokenizer => false,
                obtained => obtained?.is_some(),
            };
        }
        has_tokenizer |= complete;
    }
    for file in TOKENIZER_SETTINGS {
        source.obtain(&inside(file))?;
    }
    Ok(has_tokenizer)
}

fn weights(
    source: &mut dyn Source,
    inside: &dyn Fn(&str) -> String,
    lacks: &dyn Fn(String) -> HubError,
) -> Result<(), HubError> {
    let Some((name, found)) = first_of(source, &FORMS, inside)? else {
        let [single, index, pickled, _] = FORMS.map(inside);
        return Err(lacks(format!("it has no {single}, no {index} and no {pickled}")));
    };
    if !is_index(&name) {
        return Ok(());
    }
    for shard in shards(&found).map_err(|what| lacks(format!("its {name} {what}")))? {
        if !is_safe_path(&shard) {
            return Err(lacks(format!("its {name} names {}, which cannot be a file here", quoted(&shard))));
        }
        source
            .obtain(&inside(&shard))?
            .ok_or_else(|| lacks(format!("it has no {shard}, which its {name} names")))?;
    }
    Ok(())
}

fn first_of(
    source: &mut dyn Source,
    names: &[&str],
    inside: &dyn Fn(&str) -> String,
) -> Result<Option<(String, PathBuf)>, HubError> {
    for name in names {
        let name = inside(name);
        if let Some(path) = source.obtain(&name)? {
            return Ok(Some((name, path)));
        }
    }
    Ok(None)
}

fn inside(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// A part of a sentence-transformers folder.
struct Module {
    folder: String,
    may_have_weights: bool,
}

/// The parts that a modules.json names, as far as they can have files. Whether they make an encoder is for the
/// reader of the folder to report.
fn modules(file: &Path) -> Result<Vec<Module>, String> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        path: String,
        #[serde(default, rename = "type")]
        class: String,
    }
    let text = read(file, LARGEST_MODULES)?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let entries: Vec<Entry> = serde_json::from_slice(text)
        .map_err(|error| format!("is not a list of modules ({})", reason(error)))?;
    if entries.len() > MOST_MODULES {
        return Err(format!("names {} modules, more than {MOST_MODULES}", entries.len()));
    }
    let modules = entries.into_iter().map(|Entry { path, class }| {
        let folder = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let class = class.rsplit('.').next().unwrap_or_default();
        let may_have_weights = !folder.is_empty() && !WEIGHTLESS.contains(&class);
        Module { folder, may_have_weights }
    });
    modules
        .map(|module| match module.folder.is_empty() || is_safe_path(&module.folder) {
            true => Ok(module),
            false => {
                Err(format!("names the folder {}, expected one inside the model's", quoted(&module.folder)))
            }
        })
        .collect()
}

fn read(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(most + 1).read_to_end(&mut text));
    read.map_err(|error| format!("cannot be read ({error})"))?;
    if text.len() as u64 > most {
        return Err(format!("is larger than {most} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`gather`] returns for a model that consists of `files`, and what it asked for.
    fn gather_from(files: &[(&str, &str)]) -> (Result<(), String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut folder = Folder { folder, asked: Vec::new() };
        let result = gather(&"owner/name".parse().unwrap(), &mut folder);
        (result.map_err(|error| error.to_string()), folder.asked)
    }

    struct Folder {
        folder: tempfile::TempDir,
        asked: Vec<String>,
    }

    impl Source for Folder {
        fn obtain(&mut self, file: &str) -> Result<Option<PathBuf>, HubError> {
            self.asked.push(file.to_owned());
            Ok(Some(self.folder.path().join(file)).filter(|path| path.is_file()))
        }
        fn configured(&mut self, transformer: &str) -> Result<(), HubError> {
            self.asked.push(format!("configured {transformer}"));
            Ok(())
        }
        fn described(&mut self) -> Result<(), HubError> {
            self.asked.push("described".to_owned());
            Ok(())
        }
    }

    #[test]
    fn weights_come_after_everything_else_has_been_read() {
        let modules = r#"[{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling/", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "./2_Dense", "type": "sentence_transformers.models.Dense"},
            {"idx": 3, "name": "3", "path": "", "type": "sentence_transformers.models.Normalize"}]"#;
        let (result, asked) = gather_from(&[
            ("modules.json", modules),
            ("0_Transformer/config.json", "{}"),
            ("0_Transformer/sentence_roberta_config.json", "{}"),
            ("0_Transformer/vocab.txt", "x"),
            ("0_Transformer/pytorch_model.bin.index.json", r#"{"weight_map": {"a": "pytorch_model-1.bin"}}"#),
            ("0_Transformer/pytorch_model-1.bin", ""),
            ("1_Pooling/config.json", "{}"),
            ("2_Dense/config.json", "{}"),
            ("2_Dense/pytorch_model.bin", ""),
        ]);
        assert_eq!(result, Ok(()));
        let at = |name: &str| {
            asked.iter().position(|asked| asked == name).unwrap_or_else(|| panic!("{name}: {asked:?}"))
        };
        assert_eq!(at("configured 0_Transformer"), 3, "{asked:?}");
        let (before, after) = asked.split_at(at("described"));
        for file in
            ["0_Transformer/sentence_roberta_config.json", "1_Pooling/config.json", "2_Dense/config.json"]
        {
            assert!(before.iter().any(|asked| asked == file), "{file}: {before:?}");
        }
        assert!(before.iter().all(|file| describes(file)), "{before:?}");
        for file in ["2_Dense/pytorch_model.bin", "0_Transformer/pytorch_model-1.bin"] {
            assert!(after.iter().any(|asked| asked == file), "{file}: {after:?}");
        }
        assert!(!asked.iter().any(|file| file.contains("camembert") || file == "vocab.txt"), "{asked:?}");
    }

    #[test]
    fn modules_cannot_name_a_folder_elsewhere() {
        for path in ["../x", "/etc", "a/../../b", "a\\\\b", ".hidden"] {
            let modules = format!(
                r#"[{{"path": "", "type": "a.Transformer"}}, {{"path": "{path}", "type": "a.Dense"}}]"#
            );
            let error =
                gather_from(&[&BASE[..], &[("modules.json", modules.as_str())]].concat()).0.unwrap_err();
            assert!(error.contains("owner/name") && error.contains("modules.json"), "{error}");
        }
    }

    const BASE: [(&str, &str); 2] = [("config.json", "{}"), ("tokenizer.json", "{}")];

    #[test]
    fn one_form_of_weights_is_taken() {
        let index =
            r#"{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        for (weights, last) in [
            (&[("model.safetensors", ""), ("pytorch_model.bin", "")][..], "model.safetensors"),
            (
                &[(FORMS[1], index), ("m-1.safetensors", ""), ("m-2.safetensors", ""), (FORMS[2], "")],
                "m-2.safetensors",
            ),
            (&[("pytorch_model.bin", "")], "pytorch_model.bin"),
        ] {
            let (result, asked) = gather_from(&[&BASE[..], weights].concat());
            assert_eq!(result, Ok(()));
            assert_eq!(asked.last().map(String::as_str), Some(last));
            assert!(last == FORMS[2] || !asked.iter().any(|file| file == FORMS[2]));
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
            let (result, _) = gather_from(&[&BASE[..], &[(FORMS[1], index)]].concat());
            let error = result.unwrap_err();
            assert!(error.contains(what) && error.contains(FORMS[1]), "{error}");
        }
    }
}
