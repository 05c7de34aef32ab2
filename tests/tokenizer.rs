//! The tokenizer against its peers: ids recorded from transformers' AutoTokenizer and sentence-transformers
//! (scripts/tokenizer-fixtures.py), properties, and faults.

use mirror::tokenize::{TokenizeError, Tokenizer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    let named = std::env::var_os("MIRROR_TOKENIZER_FIXTURES").map(PathBuf::from);
    named.unwrap_or_else(|| manifest().join("tests/fixtures"))
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A folder with copies of some files of `from` and with `written` ones.
fn folder(from: &Path, copied: &[&str], written: &Map<String, Value>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in copied {
        std::fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    for (name, value) in written {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    dir
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn ids_of(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

struct Case {
    name: String,
    dir: TempDir,
    max_length: usize,
    ids: Vec<Vec<u32>>,
}

/// The texts of a fixture folder and its cases.
fn cases(kind: &str) -> (Vec<String>, Vec<Case>) {
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

fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Compares row by row, so that a failure names the text.
fn assert_rows(name: &str, texts: &[String], got: &[Vec<u32>], expected: &[Vec<u32>]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for ((text, got), expected) in texts.iter().zip(got).zip(expected) {
        assert_eq!(got, expected, "{name}: {text:?}");
    }
}

#[test]
fn ids_are_those_of_transformers_under_every_setting() {
    for kind in ["tokenizer-bert", "tokenizer-roberta"] {
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

/// Where MIRROR_TOKENIZERS_WRITTEN names a folder, the written tokenizers stay there for AutoTokenizer to read.
#[test]
fn what_is_written_reads_back_to_the_same_ids() {
    let keep = std::env::var_os("MIRROR_TOKENIZERS_WRITTEN").map(PathBuf::from);
    for kind in ["tokenizer-bert", "tokenizer-roberta"] {
        let (texts, cases) = cases(kind);
        for (index, case) in cases.into_iter().enumerate() {
            let written = tempfile::tempdir().unwrap();
            Tokenizer::from_folder(case.dir.path()).unwrap().write_to(written.path(), 33).unwrap();
            let left: Vec<_> =
                std::fs::read_dir(written.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
            assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
            assert_eq!(case.dir.path().join("vocab.txt").exists(), written.path().join("vocab.txt").exists());
            assert_eq!(
                case.dir.path().join("merges.txt").exists(),
                written.path().join("merges.txt").exists()
            );
            let json = read_json(&written.path().join("tokenizer.json"));
            assert_eq!(json["truncation"]["max_length"], 33);
            assert_eq!(json["padding"]["strategy"], "BatchLongest");
            let config = case.dir.path().join("config.json");
            if config.exists() {
                std::fs::copy(config, written.path().join("config.json")).unwrap();
            }
            let got = Tokenizer::from_folder(written.path()).unwrap();
            let got = got.encode_batch(&as_strs(&texts), case.max_length).unwrap();
            assert_rows(&format!("{kind}, {}", case.name), &texts, &got, &case.ids);
            if let Some(keep) = &keep {
                let row = json!({"texts": texts, "ids": case.ids, "max_length": case.max_length, "name": case.name});
                std::fs::write(written.path().join("expected.json"), row.to_string()).unwrap();
                std::fs::create_dir_all(keep).unwrap();
                let to = keep.join(format!("{kind}-{index}"));
                std::fs::rename(written.path(), to).unwrap();
            }
        }
    }
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
            assert_eq!(tokenizer.vocab_size(), 30522);
            assert_eq!((tokenizer.cls_token_id().unwrap(), tokenizer.sep_token_id().unwrap()), (101, 102));
            assert_eq!((tokenizer.pad_token_id().unwrap(), tokenizer.mask_token_id().unwrap()), (0, 103));
            assert_eq!(tokenizer.mask_token().unwrap(), "[MASK]");
            assert_eq!(tokenizer.max_length_of_folder(), Some(512));
            tokenizer.fits(30522).unwrap();
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
    assert_eq!(spaced.iter().filter(|id| **id == tokenizer.mask_token_id().unwrap()).count(), 1);
}

fn small(kind: &str) -> &'static Tokenizer {
    static BERT: OnceLock<Tokenizer> = OnceLock::new();
    static ROBERTA: OnceLock<Tokenizer> = OnceLock::new();
    let (cell, files): (_, &[&str]) = match kind {
        "tokenizer-bert" => (&BERT, &["vocab.txt"]),
        _ => (&ROBERTA, &["vocab.json", "merges.txt"]),
    };
    cell.get_or_init(|| {
        let dir = folder(&manifest().join("tests/fixtures").join(kind), files, &Map::new());
        Tokenizer::from_folder(dir.path()).unwrap()
    })
}

fn arbitrary_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-z ]{0,30}",
        Just("[MASK]".to_owned()),
        Just(" <mask> ".to_owned()),
        Just("</s>".to_owned()),
        Just("\u{301} \u{200b}".to_owned()),
        " {1,8}[A-Z北ひ]{0,3}[.,']",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_framed_and_within_the_length(text in arbitrary_text(), max_length in 2usize..40) {
        for kind in ["tokenizer-bert", "tokenizer-roberta"] {
            let tokenizer = small(kind);
            let ids = tokenizer.encode(&text, max_length).unwrap();
            prop_assert!(ids.len() <= max_length);
            prop_assert_eq!(ids[0], tokenizer.cls_token_id().unwrap());
            prop_assert_eq!(*ids.last().unwrap(), tokenizer.sep_token_id().unwrap());
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
            // A shorter length keeps the beginning of what a longer one keeps.
            let longer = tokenizer.encode(&text, max_length + 7).unwrap();
            prop_assert_eq!(&ids[..ids.len() - 1], &longer[..ids.len() - 1]);
        }
    }

    /// A long text is tokenized only in part for a short length, and in full for one that nothing exceeds.
    #[test]
    fn part_of_a_long_text_gives_the_tokens_of_the_whole(
        pieces in prop::collection::vec(arbitrary_text(), 1..6),
        repeats in 20usize..120,
        max_length in 2usize..200,
    ) {
        let text = pieces.concat().repeat(repeats);
        for kind in ["tokenizer-bert", "tokenizer-roberta"] {
            let tokenizer = small(kind);
            let whole = tokenizer.encode(&text, 10_000_000).unwrap();
            let part = tokenizer.encode(&text, max_length).unwrap();
            let kept = whole.len().min(max_length) - 1;
            prop_assert_eq!(part.len(), kept + 1);
            prop_assert_eq!(&part[..kept], &whole[..kept]);
        }
    }
}

#[test]
fn a_sentence_of_a_megabyte_takes_bounded_time() {
    let megabyte = 1 << 20;
    let units = ["a", " ", "word ", "北", "<mask>", "[MASK]", "\u{301}", "a."];
    let mut texts: Vec<String> = units.iter().map(|unit| unit.repeat(megabyte / unit.len())).collect();
    texts.push(format!("{}<mask> end", " ".repeat(megabyte)));
    for kind in ["tokenizer-bert", "tokenizer-roberta"] {
        for text in &texts {
            let beginning: String = text.chars().take(8).collect();
            let start = Instant::now();
            let ids = small(kind).encode(text, 50).unwrap();
            println!("{kind} {beginning:?}: {} tokens in {:?}", ids.len(), start.elapsed());
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{kind} {beginning:?} took {:?}",
                start.elapsed()
            );
            assert!(ids.len() <= 50);
        }
    }
}

/// The error of a folder with `copied` fixture files and `written` ones.
fn error_of(kind: &str, copied: &[&str], written: Value) -> String {
    let dir = folder(&manifest().join("tests/fixtures").join(kind), copied, &object(written));
    match Tokenizer::from_folder(dir.path()) {
        Ok(_) => panic!("{kind} with {copied:?} was read"),
        Err(error) => error.to_string(),
    }
}

/// tokenizer.json of a fixture with one value replaced.
fn json_with(kind: &str, pointer: &str, value: Value) -> Value {
    let mut json = read_json(&manifest().join("tests/fixtures").join(kind).join("tokenizer.json"));
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    json
}

#[test]
fn faults_in_files_are_one_sentence_that_names_the_file() {
    let bert = "tokenizer-bert";
    let roberta = "tokenizer-roberta";
    let in_json = |kind: &str, pointer: &str, value: Value| {
        error_of(kind, &[], json!({"tokenizer.json": json_with(kind, pointer, value)}))
    };
    let cases = [
        (error_of(bert, &[], json!({})), "tokenizer.json, or vocab.txt, or vocab.json with merges.txt"),
        (
            error_of(roberta, &["vocab.json"], json!({})),
            "tokenizer.json, or vocab.txt, or vocab.json with merges.txt",
        ),
        (error_of(bert, &[], json!({"tokenizer.json": []})), "tokenizer.json: expected a JSON object"),
        (
            error_of(bert, &[], json!({"tokenizer.json": {}})),
            "tokenizer.json: expected a tokenizer with a \"model\"",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": 3})),
            "tokenizer_config.json: expected a JSON",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": {"do_lower_case": "yes"}})),
            "\"do_lower_case\" is \"yes\", expected true or false",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": {"model_max_length": -3}})),
            "\"model_max_length\" is -3, expected a positive number",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": {"mask_token": 7}})),
            "\"mask_token\" is 7, expected a token",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": {"unk_token": "<?>"}})),
            "vocab.txt: the vocabulary has no token \"<?>\"",
        ),
        (
            error_of(
                bert,
                &["vocab.txt"],
                json!({"tokenizer_config.json": {"tokenizer_class": "BertJapaneseTokenizer"}}),
            ),
            "\"BertJapaneseTokenizer\", which needs a tokenizer.json",
        ),
        (error_of(bert, &["vocab.txt"], json!({"added_tokens.json": {"new": 7000}})), "should have id 7000"),
        (
            error_of(bert, &["vocab.txt"], json!({"added_tokens.json": {"new": "x"}})),
            "added_tokens.json: the id of \"new\"",
        ),
        (
            error_of(bert, &["vocab.txt"], json!({"sentence_bert_config.json": {"max_seq_length": "long"}})),
            "sentence_bert_config.json: \"max_seq_length\" is \"long\"",
        ),
        (in_json(bert, "/model/vocab", json!({})), "the vocabulary is empty"),
        (in_json(bert, "/model/vocab", json!({"a": -1})), "\"a\" has the id -1"),
        (in_json(bert, "/model/vocab", json!({"a": u32::MAX})), "has the id 4294967295"),
        (in_json(bert, "/model/unk_token", json!("nope")), "no token \"nope\""),
        (
            in_json(bert, "/model/max_input_chars_per_word", json!(1_000_000)),
            "max_input_chars_per_word is 1000000",
        ),
        (in_json(bert, "/model/type", json!("Oracle")), "tokenizer.json: not a tokenizer that is known here"),
        (
            in_json(roberta, "/model/merges", json!([["a", "zzzzzzzzzzzzzzzzzz"]])),
            "which the vocabulary lacks",
        ),
        (in_json(roberta, "/model/merges", json!(["a"])), "merge 1 is \"a\", expected two tokens"),
        (
            error_of(roberta, &["vocab.json"], json!({"merges.txt": 3})),
            "merge 1 is \"3\", expected two tokens",
        ),
        (error_of(roberta, &["merges.txt"], json!({"vocab.json": {"a": 0}})), "which the vocabulary lacks"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

/// The Python class that reads a tokenizer.json as it is would leave sentences bare.
#[test]
fn a_tokenizer_without_special_tokens_is_an_error_unless_its_class_adds_them() {
    let bare = json_with("tokenizer-bert", "/post_processor", Value::Null);
    let with_class =
        |class: &str| json!({"tokenizer.json": bare, "tokenizer_config.json": {"tokenizer_class": class}});
    let error = error_of("tokenizer-bert", &[], with_class("PreTrainedTokenizerFast"));
    assert!(error.contains("tokenizer.json: adds no special tokens around a sentence"), "{error}");
    let dir = folder(&fixtures(), &[], &object(with_class("BertTokenizer")));
    assert_eq!(Tokenizer::from_folder(dir.path()).unwrap().encode("", 10).unwrap(), [2, 3]);
}

/// The library panics on a template whose special tokens are undefined.
#[test]
fn a_template_that_contradicts_itself_is_an_error() {
    let special = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let sentence = || json!({"Sequence": {"id": "A", "type_id": 0}});
    let template = |single: Value| {
        json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}})
    };
    let undefined = template(json!([special("[CLS]"), sentence(), special("[SEP]")]));
    let nested = json!({"type": "Sequence", "processors": [undefined.clone()]});
    let without = template(json!([special("[CLS]")]));
    let twice = template(json!([special("[CLS]"), sentence(), sentence()]));
    let cases = [
        (undefined, "its post_processor uses the token \"[SEP]\" without defining it"),
        (nested, "its post_processor uses the token \"[SEP]\" without defining it"),
        (without, "should hold the sentence exactly once"),
        (twice, "should hold the sentence exactly once"),
    ];
    for (post_processor, expected) in cases {
        let json = json_with("tokenizer-bert", "/post_processor", post_processor);
        let error = error_of("tokenizer-bert", &[], json!({"tokenizer.json": json}));
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_named_by_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), b"[PAD]\n[UNK]\n\xff\xfe\n").unwrap();
    let error = Tokenizer::from_folder(dir.path()).err().unwrap().to_string();
    assert!(error.contains("vocab.txt: not valid UTF-8 on line 3"), "{error}");
    std::fs::write(dir.path().join("tokenizer.json"), b"{\"model\": ").unwrap();
    let error = Tokenizer::from_folder(dir.path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json: not valid JSON"), "{error}");
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    std::fs::create_dir(dir.path().join("tokenizer.json")).unwrap();
    let error = Tokenizer::from_folder(dir.path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json: expected a regular file"), "{error}");
}

#[test]
fn ids_beyond_the_encoders_vocabulary_are_named_with_both_numbers() {
    let error = small("tokenizer-bert").fits(599).unwrap_err();
    assert!(matches!(error, TokenizeError::IdBeyondVocabulary { id: 599, vocab_size: 599, .. }));
    let error = error.to_string();
    assert!(error.contains("id 599") && error.contains("vocab_size 599"), "{error}");
    small("tokenizer-bert").fits(600).unwrap();
}

#[test]
fn a_length_without_room_for_special_tokens_is_an_error() {
    let tokenizer = small("tokenizer-bert");
    assert_eq!(tokenizer.encode("anything", 2).unwrap(), [2, 3]);
    let error = tokenizer.encode("anything", 1).unwrap_err().to_string();
    assert!(error.contains("maximum length of 1 tokens"), "{error}");
    assert!(tokenizer.write_to(tempfile::tempdir().unwrap().path(), 1).is_err());
}

#[test]
fn an_unwritable_folder_is_an_error_and_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tokenizer.json")).unwrap();
    let error = small("tokenizer-bert").write_to(dir.path(), 50).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: cannot be written"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
