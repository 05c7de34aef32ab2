//! A model folder's tokenizer, through the program: a trained or exported folder tokenises as the
//! folder that it was made from, and what is not computed is refused.

use std::path::{Path, PathBuf};

use mirror::tokenize::Tokenizer;
use serde_json::{Value, json};

use crate::models::Kind;
use crate::workspace::Workspace;

const TEXTS: &str = "A man plays the GUITAR.\n  two dogs\trun \nÜnïcödé Ça va? 北京 ﬁ\n\n\
    [MASK] dogs [SEP] and <mask> , </s> <s>x\nzero\u{200b}width and nbsp\u{a0}space\nword WORD Word's\n";

fn fixture(kind: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("tokenizer-{kind}")).join(file)
}

/// A model of the type `model_type` with these tokenizer files alone.
pub fn model(w: &Workspace, name: &str, model_type: &str, files: &[(&str, Vec<u8>)]) {
    let kind = match model_type {
        "bert" => Kind::Bert,
        "mpnet" => Kind::Mpnet,
        "distilbert" => Kind::DistilBert,
        _ => Kind::Roberta,
    };
    let model = w.model(kind, name);
    model.configure("model_type", model_type.into());
    for file in ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"] {
        let _ = std::fs::remove_file(w.path(name).join(file));
    }
    for (file, bytes) in files {
        model.write(file, bytes);
    }
}

/// A fixture's tokenizer.json, as it is or without the type of its model.
pub fn tokenizer_json(kind: &str, typed: bool) -> (&'static str, Vec<u8>) {
    let mut json: Value =
        serde_json::from_slice(&std::fs::read(fixture(kind, "tokenizer.json")).unwrap()).unwrap();
    if !typed {
        json["model"].as_object_mut().unwrap().remove("type");
    }
    ("tokenizer.json", json.to_string().into_bytes())
}

fn tokenizer_config(config: Value) -> (&'static str, Vec<u8>) {
    ("tokenizer_config.json", config.to_string().into_bytes())
}

/// Training that moves nothing: the rate is 0 in f32. (A weight of 0 that moves ever so little breaks ties of rounding.)
const STILL: &str = "--corpus corpus.txt --batch-size 16 --max-steps 1 --no-eval --lr 1e-60 --weight-decay 0";

#[test]
fn trained_and_exported_folders_tokenise_as_the_one_they_came_from() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.write("in.txt", TEXTS);
    let read = |kind: &str, file: &'static str| (file, std::fs::read(fixture(kind, file)).unwrap());
    let cased = || tokenizer_config(json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false}));
    let prefixed = || {
        tokenizer_config(
            json!({"tokenizer_class": "RobertaTokenizer", "mask_token": "<mask>", "pad_token": "<pad>",
                                "add_prefix_space": true}),
        )
    };
    let bare =
        || tokenizer_config(json!({"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": false}));
    let own = || {
        tokenizer_config(json!({"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "[MASK]",
                                         "pad_token": "[PAD]", "do_lower_case": true}))
    };
    let models = [
        ("bert", vec![tokenizer_json("bert", true), cased()]),
        ("bert", vec![tokenizer_json("bert", false), cased()]),
        ("bert", vec![tokenizer_json("bert", false)]),
        ("bert", vec![tokenizer_json("bert", true), own()]),
        ("bert", vec![read("bert", "vocab.txt"), cased()]),
        ("roberta", vec![tokenizer_json("roberta", true), prefixed()]),
        ("roberta", vec![tokenizer_json("roberta", false), prefixed()]),
        ("roberta", vec![read("roberta", "vocab.json"), read("roberta", "merges.txt")]),
        ("xlm-roberta", vec![tokenizer_json("unigram", true)]),
        ("xlm-roberta", vec![tokenizer_json("unigram", false), bare()]),
        ("camembert", vec![tokenizer_json("unigram", false)]),
        ("mpnet", vec![tokenizer_json("mpnet", true)]),
        ("mpnet", vec![read("mpnet", "vocab.txt")]),
        ("distilbert", vec![read("bert", "vocab.txt")]),
        ("distilbert", vec![tokenizer_json("bert", true), cased()]),
    ];
    for (index, (model_type, files)) in models.iter().enumerate() {
        let name = format!("m{index}");
        model(&w, &name, model_type, files);
        let encode = |folder: &str| w.run(&format!("encode --model {folder} --input in.txt")).stdout;
        let before = encode(&name);
        w.run(&format!("train --model {name} {STILL} --output {name}-trained"));
        assert_eq!(encode(&format!("{name}-trained")), before, "{model_type}, {index}");
        w.run(&format!("export --model {name} --output {name}-exported --no-verify"));
        let ids = |folder: &str| {
            let tokenizer = Tokenizer::from_folder(&w.path(folder)).unwrap();
            tokenizer.encode_batch(&TEXTS.lines().collect::<Vec<_>>(), 62).unwrap()
        };
        assert_eq!(ids(&format!("{name}-exported")), ids(&name), "{model_type}, {index}");
    }
}

#[test]
fn what_a_typed_tokenizer_follows_an_untyped_one_follows_too() {
    let w = Workspace::new();
    w.write("in.txt", TEXTS);
    let encode = |typed: bool, kind: &str, model_type: &str, config: &Value| {
        model(&w, "m", model_type, &[tokenizer_json(kind, typed), tokenizer_config(config.clone())]);
        w.run("encode --model m --input in.txt").stdout
    };
    for (kind, model_type, one, other) in [
        ("bert", "bert", json!({"do_lower_case": false}), json!({"do_lower_case": true})),
        ("bert", "bert", json!({"strip_accents": false}), json!({"strip_accents": true})),
        ("bert", "bert", json!({"tokenize_chinese_chars": false}), json!({"tokenize_chinese_chars": true})),
        ("roberta", "roberta", json!({"add_prefix_space": false}), json!({"add_prefix_space": true})),
        ("unigram", "camembert", json!({"add_prefix_space": false}), json!({"add_prefix_space": true})),
    ] {
        let [first, second] = [&one, &other].map(|config| {
            let typed = encode(true, kind, model_type, config);
            assert_eq!(encode(false, kind, model_type, config), typed, "{kind} {config}");
            typed
        });
        assert_ne!(first, second, "{kind}: {one} changes nothing");
    }
}

#[test]
fn tokenizers_of_other_rules_are_refused() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let vocab = || ("vocab.txt", std::fs::read(fixture("bert", "vocab.txt")).unwrap());
    let config = |class: &str| {
        let mut config = Kind::Bert.config();
        config["tokenizer_class"] = class.into();
        ("config.json", config.to_string().into_bytes())
    };
    let refused = |says: &[&str]| {
        w.fails("encode --model m", says);
        w.fails(&format!("train --model m {STILL} --output out"), says);
        w.fails("export --model m --output out --no-verify", says);
        std::fs::remove_dir_all(w.path("m")).unwrap();
    };
    for class in ["BertJapaneseTokenizer", "HerbertTokenizerFast"] {
        model(&w, "m", "bert", &[vocab(), config(class)]);
        refused(&["m/config.json", class]);
        model(&w, "m", "bert", &[tokenizer_json("bert", true), config(class)]);
        refused(&["m/config.json", class, "PreTrainedTokenizerFast"]);
        model(&w, "m", "bert", &[vocab(), tokenizer_config(json!({"tokenizer_class": class}))]);
        refused(&["m/tokenizer_config.json", class]);
    }
    model(&w, "m", "roberta", &[vocab(), ("bpe.codes", b"a b 1\n".to_vec())]);
    refused(&["m/bpe.codes", "PhobertTokenizer"]);
    model(&w, "m", "camembert", &[("sentencepiece.bpe.model", b"\n\x0e".to_vec())]);
    refused(&["m/sentencepiece.bpe.model", "tokenizer.json", "save_pretrained"]);
}

/// Embeddings' first values from transformers 5.23 for the same weights (scripts/tokenizer-fixtures.py made the
/// tokenizer).
#[test]
fn xlm_roberta_and_camembert_are_computed_as_roberta() {
    let w = Workspace::new();
    w.write("in.txt", "A man plays the guitar.\nLes élèves <mask> mangent\n神奈川　猫\n");
    for typed in [true, false] {
        let encode = |model_type: &str| {
            model(&w, "m", model_type, &[tokenizer_json("unigram", typed)]);
            w.run("encode --model m --input in.txt").stdout
        };
        let rows = crate::workspace::jsonl(&encode("xlm-roberta"));
        assert_eq!(crate::workspace::jsonl(&encode("camembert")), rows);
        let first: Vec<Vec<f32>> = rows.iter().map(|row| row[..4].to_vec()).collect();
        let difference = crate::workspace::difference(&first, &XLM_ROBERTA.map(|row| row.to_vec()));
        assert!(difference < 1e-5, "{first:?}");
    }
}

const XLM_ROBERTA: [[f32; 4]; 3] = [
    [-1.155_548_9, 1.048_246_5, 1.495_589_5, -0.236_298_38],
    [-1.313_882_2, 0.685_071_5, 0.917_474_87, 0.111_930_18],
    [-1.260_669_3, 1.063_727_7, 1.683_562, -0.367_310_9],
];
