//! Files that are missing, malformed or contradict themselves.

use super::*;
use mirror::tokenize::TokenizeError;
use serde_json::json;

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
            "\"BertJapaneseTokenizer\", whose rules are not known here",
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
    assert!(error.starts_with("cannot write to") && error.contains("tokenizer.json"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
