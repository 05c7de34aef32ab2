//! A folder's tokenizer class and rules are followed or refused, whichever file has them.

use super::*;
use serde_json::json;

fn read(kind: &str, copied: &[&str], written: Value) -> Result<Tokenizer, String> {
    let dir = folder(&manifest().join("tests/fixtures").join(kind), copied, &object(written));
    Tokenizer::from_folder(dir.path()).map_err(|error| error.to_string())
}

fn error_of(kind: &str, copied: &[&str], written: Value) -> String {
    match read(kind, copied, written.clone()) {
        Ok(_) => panic!("{kind} with {copied:?} and {written} was read"),
        Err(error) => {
            assert!(!error.contains('\n'), "{error:?}");
            error
        }
    }
}

fn ids(tokenizer: &Tokenizer) -> Vec<u32> {
    tokenizer.encode("A man", 9).unwrap()
}

#[test]
fn classes_of_other_rules_are_refused_by_name_wherever_they_are_named() {
    for class in [
        "BertJapaneseTokenizer",
        "PhobertTokenizer",
        "BertweetTokenizer",
        "HerbertTokenizer",
        "HerbertTokenizerFast",
        "BarthezTokenizer",
        "FlaubertTokenizer",
        "T5Tokenizer",
        "BertGenerationTokenizer",
        "MBartTokenizer",
        "GPT2TokenizerFast",
        "KoBertTokenizer",
        "BertTokenizerx",
        "",
    ] {
        for vocabulary in ["vocab.txt", "tokenizer.json"] {
            let in_config = json!({"config.json": {"model_type": "bert", "tokenizer_class": class},
                                   "tokenizer_config.json": {"do_lower_case": false}});
            let error = error_of("tokenizer-bert", &[vocabulary], in_config);
            assert!(error.contains(&format!("config.json: \"tokenizer_class\" is {class:?}")), "{error}");
            let in_tokenizer_config = json!({"config.json": {"model_type": "bert"},
                                             "tokenizer_config.json": {"tokenizer_class": class}});
            let error = error_of("tokenizer-bert", &[vocabulary], in_tokenizer_config);
            assert!(
                error.contains(&format!("tokenizer_config.json: \"tokenizer_class\" is {class:?}")),
                "{error}"
            );
            assert_eq!(
                error.contains("PreTrainedTokenizerFast instead"),
                vocabulary == "tokenizer.json",
                "{error}"
            );
        }
    }
    let named = json!({"tokenizer_config.json": {"tokenizer_class": ["BertTokenizer", null]}});
    assert!(error_of("tokenizer-bert", &["vocab.txt"], named).contains("expected a name"));
}

/// transformers asks tokenizer_config.json first.
#[test]
fn the_first_file_that_names_a_class_decides() {
    let written = |class: &str| {
        json!({"config.json": {"model_type": "bert", "tokenizer_class": "PhobertTokenizer"},
               "tokenizer_config.json": {"tokenizer_class": class}})
    };
    for class in ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast"] {
        let tokenizer = read("tokenizer-bert", &["vocab.txt"], written(class)).unwrap();
        assert_eq!(ids(&tokenizer), ids(small("tokenizer-bert")), "{class}");
    }
    assert!(error_of("tokenizer-bert", &["vocab.txt"], written("T5Tokenizer")).contains("T5Tokenizer"));
}

#[test]
fn code_of_the_models_own_is_not_run() {
    for auto_map in [
        json!(["tokenization_x.XTokenizer", null]),
        json!({"AutoTokenizer": [null, "tokenization_x.XTokenizer"]}),
        json!({"AutoTokenizer": "tokenization_x.XTokenizer"}),
    ] {
        let written =
            json!({"tokenizer_config.json": {"auto_map": auto_map, "tokenizer_class": "BertTokenizer"}});
        let error = error_of("tokenizer-bert", &["vocab.txt", "tokenizer.json"], written);
        assert!(error.contains("tokenizer_config.json: \"auto_map\" names a tokenizer"), "{error}");
        assert!(error.contains("tokenization_x.XTokenizer"), "{error}");
    }
    let written =
        json!({"tokenizer_config.json": {"auto_map": {"AutoTokenizer": null, "AutoProcessor": "a.B"}}});
    read("tokenizer-bert", &["vocab.txt"], written).unwrap();
}

/// Where no class is named, the files that are there and the model's type say which it would be.
#[test]
fn a_vocabulary_of_another_class_is_refused_by_its_name() {
    let bert = "tokenizer-bert";
    let roberta = json!({"model_type": "roberta"});
    let codes = json!({"config.json": roberta, "bpe.codes": "a b 1"});
    let error = error_of(bert, &["vocab.txt"], codes.clone());
    assert!(error.contains("bpe.codes") && error.contains("PhobertTokenizer"), "{error}");
    // A tokenizer.json goes before all others.
    read(bert, &["tokenizer.json"], codes).unwrap();
    let error = error_of(bert, &["vocab.txt"], json!({"config.json": roberta}));
    assert!(error.contains("no vocabulary of \"RobertaTokenizer\""), "{error}");
    let files = ["vocab.json", "merges.txt"];
    let error = error_of("tokenizer-roberta", &files, json!({"config.json": {"model_type": "bert"}}));
    assert!(error.contains("no vocabulary of \"BertTokenizer\""), "{error}");
    for class in ["XLMRobertaTokenizer", "PreTrainedTokenizerFast"] {
        let error =
            error_of(bert, &["vocab.txt"], json!({"tokenizer_config.json": {"tokenizer_class": class}}));
        assert!(error.contains(&format!("no vocabulary of {class:?}")), "{error}");
    }
    for file in ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model"] {
        let error =
            error_of(bert, &[], json!({"config.json": {"model_type": "xlm-roberta"}, file: "binary"}));
        assert!(error.contains(file) && error.contains("save_pretrained"), "{error}");
        let error =
            error_of(bert, &["vocab.txt"], json!({"config.json": {"model_type": "bert"}, file: "binary"}));
        assert!(error.contains(file), "{error}");
    }
}

#[test]
fn switches_that_are_not_computed_are_refused() {
    for (key, value) in [
        ("split_special_tokens", json!(true)),
        ("word_tokenizer_type", json!("mecab")),
        ("subword_tokenizer_type", json!("character")),
        ("do_basic_tokenize", json!(false)),
        ("never_split", json!(["one"])),
        ("padding_side", json!("left")),
        ("padding_side", json!("middle")),
        ("truncation_side", json!("both")),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.json", "tokenizer.json"])),
    ] {
        let written = json!({"tokenizer_config.json": {"tokenizer_class": "BertTokenizer", key: value}});
        let error = error_of("tokenizer-bert", &["vocab.txt", "tokenizer.json"], written);
        assert!(error.contains(&format!("tokenizer_config.json: {key:?} is {value}, expected")), "{error}");
    }
    let harmless = json!({"tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "split_special_tokens": false,
        "word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece", "do_basic_tokenize": true,
        "never_split": null, "padding_side": "right", "fast_tokenizer_files": ["tokenizer.json"],
        "clean_up_tokenization_spaces": true, "add_bos_token": true, "use_fast": false}});
    let tokenizer = read("tokenizer-bert", &["vocab.txt"], harmless).unwrap();
    assert_eq!(ids(&tokenizer), ids(small("tokenizer-bert")));
}

/// WordLevel has no class of its own: it is read as it is.
#[test]
fn any_type_of_model_is_told_without_its_name() {
    let template = json!({"type": "TemplateProcessing", "pair": [], "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [1], "tokens": ["[SEP]"]}},
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]});
    let words = json!({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "a": 3, "man": 4, "##n": 5, "ma": 6});
    let pieces = json!([["[CLS]", 0.0], ["[SEP]", 0.0], ["[UNK]", 0.0], ["a", -1.0], ["man", -1.5]]);
    let models = [
        ("WordLevel", json!({"vocab": words, "unk_token": "[UNK]"})),
        (
            "WordPiece",
            json!({"vocab": words, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                             "max_input_chars_per_word": 100}),
        ),
        ("BPE", json!({"vocab": words, "unk_token": "[UNK]", "merges": []})),
        ("Unigram", json!({"vocab": pieces, "unk_id": 2})),
    ];
    for (name, untyped) in models {
        let ids = |model: Value| {
            let file = json!({"version": "1.0", "added_tokens": [], "normalizer": null, "decoder": null,
                "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": template, "model": model});
            let tokenizer = read("tokenizer-bert", &[], json!({"tokenizer.json": file})).unwrap();
            let written = tempfile::tempdir().unwrap();
            tokenizer.write_to(written.path(), 33).unwrap();
            assert_eq!(read_json(&written.path().join("tokenizer.json"))["model"]["type"], name);
            tokenizer.encode("a man walks", 33).unwrap()
        };
        let mut typed = untyped.clone();
        typed["type"] = name.into();
        assert_eq!(ids(untyped), ids(typed), "{name}");
    }
}

#[test]
fn a_byte_order_mark_before_json_is_passed_over() {
    let base = manifest().join("tests/fixtures/tokenizer-bert");
    let written = object(json!({"config.json": {"model_type": "bert"},
                                "tokenizer_config.json": {"do_lower_case": false}}));
    let dir = folder(&base, &["tokenizer.json"], &written);
    let ids = || Tokenizer::from_folder(dir.path()).unwrap().encode("A Man", 20).unwrap();
    let expected = ids();
    for file in ["config.json", "tokenizer_config.json", "tokenizer.json"] {
        let path = dir.path().join(file);
        let marked = [b"\xEF\xBB\xBF", &std::fs::read(&path).unwrap()[..]].concat();
        std::fs::write(path, marked).unwrap();
        assert_eq!(ids(), expected, "{file}");
    }
}
