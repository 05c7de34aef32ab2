//! Ids recorded from the peers, and folders that are written and read back.

use super::*;
use serde_json::json;

pub struct Case {
    pub name: String,
    pub dir: TempDir,
    pub max_length: usize,
    pub ids: Vec<Vec<u32>>,
}

/// The texts of a fixture folder and its cases.
pub fn cases(kind: &str) -> (Vec<String>, Vec<Case>) {
    let base = fixtures().join(kind);
    let expected = read_json(&base.join("expected.json"));
    let texts = serde_json::from_value(expected["texts"].clone()).unwrap();
    let cases = expected["cases"].as_array().unwrap().iter().map(|case| {
        let copied: Vec<&str> =
            case["copy"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let ids = case["input_ids"].as_array().unwrap().iter();
        Case {
            name: case["name"].as_str().unwrap().to_owned(),
            dir: folder(&base, &copied, &object(case["write"].clone())),
            max_length: case["max_length"].as_u64().unwrap() as usize,
            ids: ids.map(|index| ids_of(&expected["ids"][index.as_u64().unwrap() as usize])).collect(),
        }
    });
    (texts, cases.collect())
}

pub fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Compares row by row, so that a failure names the text.
pub fn assert_rows(name: &str, texts: &[String], got: &[Vec<u32>], expected: &[Vec<u32>]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for ((text, got), expected) in texts.iter().zip(got).zip(expected) {
        assert_eq!(got, expected, "{name}: {text:?}");
    }
}

#[test]
fn ids_are_those_of_transformers_under_every_setting() {
    for kind in KINDS {
        let (texts, cases) = cases(kind);
        assert!(cases.len() >= 14, "{kind} has {} cases", cases.len());
        for case in cases {
            let name = format!("{kind}, {}, {} tokens", case.name, case.max_length);
            let tokenizer =
                Tokenizer::from_folder(case.dir.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let got = tokenizer.encode_batch(&as_strs(&texts), case.max_length).unwrap();
            assert_rows(&name, &texts, &got, &case.ids);
        }
    }
}

/// Old files do not name their model's type, and mean the same.
#[test]
fn an_unnamed_type_of_model_changes_nothing() {
    for kind in KINDS {
        let (texts, cases) = cases(kind);
        let mut tried = 0;
        for case in cases {
            if !remove_model_type(case.dir.path()) {
                continue;
            }
            tried += 1;
            let name = format!("{kind}, {}", case.name);
            let got = Tokenizer::from_folder(case.dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let got = got.encode_batch(&as_strs(&texts), case.max_length).unwrap();
            assert_rows(&name, &texts, &got, &case.ids);
        }
        assert!(tried >= 4, "{kind}");
    }
}

/// Whether there was one to remove.
pub fn remove_model_type(dir: &Path) -> bool {
    let file = dir.join("tokenizer.json");
    if !file.exists() {
        return false;
    }
    let mut json = read_json(&file);
    json["model"].as_object_mut().unwrap().remove("type").unwrap();
    std::fs::write(file, json.to_string()).unwrap();
    true
}

/// all-MiniLM-L6-v2's recorded ids, from tokenizer.json and from vocab.txt alone. MIRROR_MINILM names a further folder.
#[test]
fn minilm_ids_are_the_recorded_ones() {
    let shared = manifest().join("../shared");
    let golden = shared.join("golden/all-minilm-l6-v2-embeddings.json");
    if !golden.exists() {
        eprintln!(
            "skipped: {} is not there; the committed fixtures are checked all the same",
            golden.display()
        );
        return;
    }
    let golden = read_json(&golden);
    let rows = golden["rows"].as_array().unwrap();
    let texts: Vec<String> = rows.iter().map(|row| row["sentence"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<Vec<u32>> = rows.iter().map(|row| ids_of(&row["input_ids"])).collect();
    assert_eq!(texts.len(), 100);
    let models = std::env::var_os("MIRROR_MINILM").map(PathBuf::from).into_iter();
    for model in models.chain([shared.join("models/minilm-mlm")]) {
        for vocabulary in ["tokenizer.json", "vocab.txt"] {
            let dir = folder(&model, &[vocabulary, "tokenizer_config.json", "config.json"], &Map::new());
            let tokenizer = Tokenizer::from_folder(dir.path()).unwrap();
            let got = tokenizer.encode_batch(&as_strs(&texts), 256).unwrap();
            assert_rows(vocabulary, &texts, &got, &expected);
            assert_eq!(tokenizer.encode("[PAD] [MASK]", 9).unwrap(), [101, 0, 103, 102]);
            assert_eq!(tokenizer.mask_token().unwrap(), "[MASK]");
            assert_eq!(tokenizer.max_length_of_folder(), Some(512));
            tokenizer.fits(30522).unwrap();
            assert!(tokenizer.fits(30521).is_err());
        }
    }
}

#[test]
fn a_folder_without_tokenizer_config_has_robertas_own_mask() {
    let base = fixtures().join("tokenizer-roberta");
    let dir = folder(
        &base,
        &["vocab.json", "merges.txt"],
        &object(json!({"config.json": {"model_type": "roberta"}})),
    );
    let tokenizer = Tokenizer::from_folder(dir.path()).unwrap();
    assert_eq!(tokenizer.mask_token().unwrap(), "<mask>");
    // The mask takes the blank before it, as in RoBERTa's pretraining, and leaves the one after it to the next word.
    let spaced = tokenizer.encode("a <mask> b", 50).unwrap();
    assert_eq!(spaced, tokenizer.encode("a<mask> b", 50).unwrap());
    assert_ne!(spaced, tokenizer.encode("a<mask>b", 50).unwrap());
    let mask = tokenizer.encode("<mask>", 3).unwrap()[1];
    assert_eq!(spaced.iter().filter(|id| **id == mask).count(), 1);
}

/// sentence_bert_config.json's length goes before tokenizer_config.json's, and 1e30 is no length.
#[test]
fn the_folders_own_length_is_read_and_a_placeholder_is_not() {
    let base = fixtures().join("tokenizer-bert");
    let placeholder = "1000000000000000019884624838656";
    let length = |model_max_length: &str, sentence: Option<u32>| {
        let mut written = Map::new();
        if let Some(max_seq_length) = sentence {
            written.insert("sentence_bert_config.json".into(), json!({ "max_seq_length": max_seq_length }));
        }
        let dir = folder(&base, &["vocab.txt"], &written);
        let config = format!("{{\"model_max_length\": {model_max_length}}}");
        std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
        let tokenizer = Tokenizer::from_folder(dir.path()).unwrap();
        tokenizer.write_to(dir.path(), 50).unwrap();
        let written = read_json(&dir.path().join("tokenizer_config.json"));
        (tokenizer.max_length_of_folder(), written.get("model_max_length").and_then(Value::as_u64))
    };
    assert_eq!(length("512", None), (Some(512), Some(512)));
    assert_eq!(length("512", Some(128)), (Some(128), Some(512)));
    assert_eq!(length(placeholder, None), (None, None));
    assert_eq!(length("1e30", Some(64)), (Some(64), None));
}
