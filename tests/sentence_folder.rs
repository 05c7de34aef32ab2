//! What folders written by sentence-transformers, old and new, say of themselves.

use mirror::sentence_folder::{PoolingMode, SentenceFolder};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

fn folder(files: Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in files.as_object().unwrap() {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, value.to_string()).unwrap();
    }
    dir
}

fn read(files: Value) -> Result<SentenceFolder, String> {
    SentenceFolder::read(folder(files).path()).map_err(|error| error.to_string())
}

fn modules(classes: &[(&str, &str)]) -> Value {
    let module = |(index, (class, path)): (usize, &(&str, &str))| json!({"idx": index, "name": index.to_string(), "path": path, "type": class});
    classes.iter().enumerate().map(module).collect::<Vec<_>>().into()
}

const OLD: [(&str, &str); 3] = [
    ("sentence_transformers.models.Transformer", ""),
    ("sentence_transformers.models.Pooling", "1_Pooling"),
    ("sentence_transformers.models.Normalize", "2_Normalize"),
];
const NEW: [(&str, &str); 3] = [
    ("sentence_transformers.base.modules.transformer.Transformer", ""),
    ("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
    ("sentence_transformers.base.modules.normalize.Normalize", "2_Normalize"),
];

#[test]
fn old_and_new_folders_say_the_same() {
    let old = json!({
        "modules.json": modules(&OLD),
        "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false},
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": false},
    });
    let new = json!({
        "modules.json": modules(&NEW),
        "1_Pooling/config.json": {"embedding_dimension": 384, "pooling_mode": "mean", "include_prompt": true},
        "sentence_bert_config.json": {"max_seq_length": 256, "transformer_task": "feature-extraction"},
    });
    let expected = SentenceFolder {
        pooling: Some(PoolingMode::Mean),
        normalize: true,
        max_seq_length: Some(256),
        do_lower_case: false,
        transformer: "".into(),
    };
    assert_eq!(read(old), Ok(expected.clone()));
    assert_eq!(read(new), Ok(expected));
}

#[test]
fn cls_lower_casing_and_the_oldest_layout_are_read() {
    let files = json!({
        "modules.json": modules(&[("sentence_transformers.models.Transformer", "0_Transformer"), OLD[1]]),
        "1_Pooling/config.json": {"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false},
        "0_Transformer/sentence_roberta_config.json": {"max_seq_length": 128, "do_lower_case": true},
    });
    let read = read(files).unwrap();
    assert_eq!(read.pooling, Some(PoolingMode::Cls));
    assert!(!read.normalize && read.do_lower_case);
    assert_eq!((read.max_seq_length, read.transformer.as_path()), (Some(128), Path::new("0_Transformer")));
}

#[test]
fn a_plain_folder_says_nothing_and_a_lone_pooling_counts() {
    assert_eq!(read(json!({})), Ok(SentenceFolder::default()));
    let lone = read(json!({"1_Pooling/config.json": {"pooling_mode": ["cls"]}})).unwrap();
    assert_eq!(lone.pooling, Some(PoolingMode::Cls));
    // No mode at all is the mean in sentence-transformers.
    let none = read(json!({"modules.json": modules(&OLD[..2]), "1_Pooling/config.json": {}})).unwrap();
    assert_eq!((none.pooling, none.normalize), (Some(PoolingMode::Mean), false));
}

#[test]
fn minilm_says_what_its_files_say() {
    let Some(folder) = std::env::var_os("MIRROR_MINILM") else {
        eprintln!("skipped: MIRROR_MINILM names no all-MiniLM-L6-v2 folder");
        return;
    };
    let read = SentenceFolder::read(Path::new(&folder)).unwrap();
    assert_eq!(
        (read.pooling, read.normalize, read.max_seq_length),
        (Some(PoolingMode::Mean), true, Some(256))
    );
}

#[test]
fn unsupported_and_malformed_folders_are_errors_that_name_file_and_value() {
    let pooling =
        |config: Value| read(json!({"modules.json": modules(&OLD[..2]), "1_Pooling/config.json": config}));
    let with = |classes: &[(&str, &str)]| {
        read(json!({"modules.json": modules(classes), "1_Pooling/config.json": {}}))
    };
    let cases = [
        (
            pooling(json!({"pooling_mode_max_tokens": true})),
            "1_Pooling/config.json: asks for the pooling \"max\"",
        ),
        (pooling(json!({"pooling_mode": "weightedmean"})), "asks for the pooling \"weightedmean\""),
        (pooling(json!({"pooling_mode": ["mean", "cls"]})), "asks for the pooling \"mean + cls\""),
        (pooling(json!({"pooling_mode": 3})), "\"pooling_mode\" is 3"),
        (pooling(json!({"pooling_mode_cls_token": "yes"})), "\"pooling_mode_cls_token\" is \"yes\""),
        (pooling(json!([])), "expected a JSON object"),
        (
            with(&[OLD[0], OLD[1], ("sentence_transformers.models.Dense", "2_Dense")]),
            "sentence_transformers.models.Dense",
        ),
        (with(&[("sentence_transformers.models.StaticEmbedding", "")]), "modules.json: module 0 is"),
        (
            with(&[OLD[0], ("sentence_transformers.models.Pooling", "../../secret")]),
            "expected one inside the folder",
        ),
        (read(json!({"modules.json": modules(&OLD)})), "is missing, but modules.json names it"),
        (read(json!({"modules.json": {}})), "modules.json: expected a list of modules"),
        (read(json!({"modules.json": [{"type": 3}]})), "module 0 has no text \"type\""),
        (read(json!({"sentence_bert_config.json": {"max_seq_length": 0}})), "\"max_seq_length\" is 0"),
        (read(json!({"sentence_bert_config.json": {"do_lower_case": 1}})), "\"do_lower_case\" is 1"),
    ];
    for (result, expected) in cases {
        let error = result.expect_err(expected);
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
    let dir = folder(json!({}));
    std::fs::write(dir.path().join("modules.json"), b"[{").unwrap();
    let error = SentenceFolder::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("modules.json: not valid JSON"), "{error}");
}
