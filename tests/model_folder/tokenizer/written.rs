//! What is written gives the ids that it was read with: here, and in transformers.

use super::peers::{as_strs, assert_rows, cases, remove_model_type};
use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::io::Write;
use std::process::Command;

/// The folders of all cases, and, of those with a tokenizer.json, a second time without its model's type.
fn sources() -> Vec<(String, Vec<String>, peers::Case)> {
    let mut all = Vec::new();
    for kind in KINDS {
        let (texts, first) = cases(kind);
        all.extend(first.into_iter().map(|case| (format!("{kind}, {}", case.name), texts.clone(), case)));
        let (texts, again) = cases(kind);
        let untyped = again.into_iter().filter(|case| remove_model_type(case.dir.path()));
        all.extend(untyped.map(|case| (format!("{kind}, {}, untyped", case.name), texts.clone(), case)));
    }
    all
}

/// Writes the tokenizer of `from` as training and export do: with the config.json of the model.
fn write_again(from: &Path) -> TempDir {
    let written = tempfile::tempdir().unwrap();
    Tokenizer::from_folder(from).unwrap().write_to(written.path(), 33).unwrap();
    if from.join("config.json").exists() {
        std::fs::copy(from.join("config.json"), written.path().join("config.json")).unwrap();
    }
    written
}

#[test]
fn what_is_written_reads_back_to_the_same_ids() {
    for (name, texts, case) in sources() {
        let written = write_again(case.dir.path());
        let left: Vec<_> =
            std::fs::read_dir(written.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
        for vocabulary in ["vocab.txt", "merges.txt"] {
            assert_eq!(case.dir.path().join(vocabulary).exists(), written.path().join(vocabulary).exists());
        }
        let json = read_json(&written.path().join("tokenizer.json"));
        assert_eq!(json["truncation"]["max_length"], 33);
        assert_eq!(json["padding"]["strategy"], "BatchLongest");
        let got = Tokenizer::from_folder(written.path()).unwrap();
        let got = got.encode_batch(&as_strs(&texts), case.max_length).unwrap();
        assert_rows(&name, &texts, &got, &case.ids);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_the_same_ids_after_writing(texts in prop::collection::vec(properties::arbitrary_text(), 20)) {
        static PAIRS: OnceLock<Vec<(String, Tokenizer, Tokenizer)>> = OnceLock::new();
        let pairs = PAIRS.get_or_init(|| {
            sources().into_iter().filter(|(_, _, case)| case.max_length > 33).map(|(name, _, case)| {
                let before = Tokenizer::from_folder(case.dir.path()).unwrap();
                (name, before, Tokenizer::from_folder(write_again(case.dir.path()).path()).unwrap())
            }).collect()
        });
        for (name, before, after) in pairs {
            let texts = as_strs(&texts);
            prop_assert_eq!(before.encode_batch(&texts, 64).unwrap(), after.encode_batch(&texts, 64).unwrap(), "{}", name);
        }
    }
}

/// The interpreter that MIRROR_PYTHON names (scripts/test sets it) reads what was written.
#[test]
fn what_is_written_has_the_same_ids_in_transformers() {
    let python = std::env::var_os("MIRROR_PYTHON").filter(|path| !path.is_empty());
    let Some(python) = python else {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON is not set; run scripts/test");
        let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON is not set; scripts/test sets it");
        return;
    };
    let all = tempfile::tempdir().unwrap();
    let mut folders = 0;
    for (index, (name, texts, case)) in sources().into_iter().enumerate() {
        let written = write_again(case.dir.path());
        let row = json!({"texts": texts, "ids": case.ids, "max_length": case.max_length, "name": name});
        std::fs::write(written.path().join("expected.json"), row.to_string()).unwrap();
        copy_folder(written.path(), &all.path().join(index.to_string()));
        folders += 1;
    }
    assert!(folders > 100);
    let script = manifest().join("tests/python/tokenizers_written.py");
    let output =
        Command::new(python).arg(script).arg(all.path()).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("{folders} folders agree")), "{said}");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
