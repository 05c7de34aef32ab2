//! What folders written by sentence-transformers, old and new, say of themselves.

use mirror::model_folder::{ModuleKind, PoolingMode, SentenceFolder};
use mirror::modules::DenseActivation;
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

const DENSE: (&str, &str) = ("sentence_transformers.models.Dense", "2_Dense");

/// As sentence-transformers 6.2 puts them before texts, and writes them.
#[test]
fn prompts_are_read_and_chosen() {
    let settings = |config: Value| {
        let folder = json!({"modules.json": modules(&OLD[..2]), "config_sentence_transformers.json": config,
            "1_Pooling/config.json": {"include_prompt": false}});
        let read = read(folder).unwrap();
        assert!(read.leaves_prompt_out);
        read.settings
    };
    let all = settings(
        json!({"prompts": {"query": "q: ", "passage": "p: ", "none": null}, "default_prompt_name": "passage",
        "similarity_fn_name": "dot", "truncate_dim": 16, "own": [1]}),
    );
    assert_eq!((all.default_prompt(), all.query_prompt(), all.document_prompt()), ("p: ", "q: ", ""));
    assert_eq!((all.prompt("passage"), all.prompt("none")), (Ok("p: "), Ok("")));
    let unknown = all.prompt("document").unwrap_err().to_string();
    assert!(unknown.ends_with("which has \"query\", \"passage\", \"none\""), "{unknown}");
    assert_eq!(all.unused_document_prompt(), Some("passage"));
    assert_eq!((all.other_similarity.as_deref(), all.truncate_dim), (Some("dot"), Some(16)));
    assert_eq!(all.all["own"], json!([1]));

    let other =
        settings(json!({"prompts": {"document": "d: ", "passage": "p: "}, "similarity_fn_name": "maxsim"}));
    assert_eq!((other.default_prompt(), other.query_prompt(), other.document_prompt()), ("", "", "d: "));
    assert_eq!((other.unused_document_prompt(), other.other_similarity.as_deref()), (None, None));
    // These two every model has, if only empty.
    assert_eq!(settings(json!({"default_prompt_name": "query"})).default_prompt(), "");
    // Without modules.json sentence-transformers does not look for prompts.
    let plain = read(json!({"config_sentence_transformers.json": {"prompts": 3}})).unwrap();
    assert_eq!(plain, SentenceFolder::default());
}

#[test]
fn modules_after_pooling_are_read_in_their_order() {
    let classes = [
        OLD[0],
        OLD[1],
        ("sentence_transformers.models.Normalize", "2_Normalize"),
        ("sentence_transformers.models.LayerNorm", "3_LayerNorm"),
        ("sentence_transformers.base.modules.dense.Dense", "4_Dense"),
        ("sentence_transformers.models.Normalize", "5_Normalize"),
    ];
    let read = read(json!({
        "modules.json": modules(&classes), "1_Pooling/config.json": {}, "3_LayerNorm/config.json": {"dimension": 32},
        "4_Dense/config.json": {"in_features": 32, "out_features": 8, "bias": false, "activation_function": "torch.nn.modules.linear.Identity",
            "module_input_name": "sentence_embedding", "module_output_name": null, "use_residual": true, "own": 3},
    })).unwrap();
    let kinds: Vec<ModuleKind> = read.modules.iter().map(|module| module.kind).collect();
    let dense = ModuleKind::Dense {
        in_features: 32,
        out_features: 8,
        bias: false,
        activation: DenseActivation::Identity,
        residual: true,
    };
    assert_eq!(kinds, [ModuleKind::Normalize, ModuleKind::LayerNorm { dimension: 32 }, dense]);
    assert!(read.normalize);
    assert_eq!(read.width(32), 8);
}

/// What changes no embedding is no reason to refuse.
#[test]
fn harmless_settings_of_the_transformer_are_passed_over() {
    let settings = json!({"max_seq_length": 256, "do_lower_case": null, "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings", "unpad_inputs": false, "processing_kwargs": {}, "query_length": null,
        "model_args": {"torch_dtype": "float16", "attn_implementation": "sdpa"}, "config_args": {},
        "tokenizer_args": {"use_fast": true, "model_max_length": 64}});
    let read =
        read(json!({"modules.json": modules(&OLD[..1]), "sentence_bert_config.json": settings})).unwrap();
    assert_eq!(read.max_seq_length, Some(64), "the tokenizer's own wins");
}

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
        ..SentenceFolder::default()
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
    let dense = |config: Value| {
        read(
            json!({"modules.json": modules(&[OLD[0], OLD[1], DENSE]), "1_Pooling/config.json": {}, "2_Dense/config.json": config}),
        )
    };
    let settings = |config: Value| {
        read(json!({"modules.json": modules(&OLD[..2]), "1_Pooling/config.json": {},
            "config_sentence_transformers.json": config}))
    };
    let transformer = |config: Value| {
        read(json!({"modules.json": modules(&OLD[..1]), "sentence_bert_config.json": config}))
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
        (with(&[OLD[0], OLD[1], DENSE]), "2_Dense/config.json: is missing, but modules.json names it"),
        (with(&[OLD[0], DENSE, OLD[1]]), "module 1 is \"sentence_transformers.models.Dense\""),
        (with(&[OLD[0], OLD[1], ("own_code.Dense", "2_Dense")]), "module 2 is \"own_code.Dense\""),
        (with(&[OLD[0], OLD[1], ("sentence_transformers.models.Dropout", "2_Dropout")]), "models.Dropout\""),
        (
            with(&[OLD[0], ("sentence_transformers.models.WeightedLayerPooling", "1_W"), OLD[1]]),
            "module 1 is \"sentence_transformers.models.WeightedLayerPooling\"",
        ),
        (with(&[("sentence_transformers.base.modules.router.Router", "")]), "router.Router\", expected"),
        (pooling(json!({"include_prompt": null})), "\"include_prompt\" is null"),
        (dense(json!({})), "has no \"in_features\""),
        (dense(json!({"in_features": 0, "out_features": 8})), "\"in_features\" is 0"),
        (
            dense(
                json!({"in_features": 32, "out_features": 8, "activation_function": "torch.nn.modules.activation.Softmax"}),
            ),
            "has the activation_function \"torch.nn.modules.activation.Softmax\"; known are torch.nn.Identity",
        ),
        (
            dense(json!({"in_features": 32, "out_features": 8, "activation_function": "own_code.Tanh"})),
            "own_code.Tanh",
        ),
        (
            dense(json!({"in_features": 32, "out_features": 8, "module_input_name": "token_embeddings"})),
            "\"module_input_name\" is \"token_embeddings\"",
        ),
        (
            settings(json!({"prompts": ["query: "]})),
            "\"prompts\" is [\"query: \"], expected names and their texts",
        ),
        (settings(json!({"prompts": {"query": 3}})), "the prompt \"query\" is 3, expected a text"),
        (
            settings(json!({"prompts": {"query": "q: ", "passage": ""}, "default_prompt_name": "qwery"})),
            "\"default_prompt_name\" is \"qwery\", but the prompts there are \"query\", \"passage\"",
        ),
        (settings(json!({"default_prompt_name": 3})), "\"default_prompt_name\" is 3, expected a text"),
        (settings(json!({"model_type": "CrossEncoder"})), "is that of a \"CrossEncoder\""),
        (settings(json!({"truncate_dim": -3})), "\"truncate_dim\" is -3"),
        (settings(json!([])), "config_sentence_transformers.json: expected a JSON object"),
        (transformer(json!({"transformer_task": "fill-mask"})), "sets \"transformer_task\" to \"fill-mask\""),
        (transformer(json!({"query_length": 32})), "sets \"query_length\" to 32"),
        (
            transformer(json!({"tokenizer_args": {"strip_accents": true}})),
            "sets \"tokenizer_args.strip_accents\" to true",
        ),
        (transformer(json!({"config_kwargs": {"position_embedding_type": "relative_key"}})), "relative_key"),
        (
            transformer(json!({"processing_kwargs": {"text": {"max_length": 8}}})),
            "sets \"processing_kwargs\"",
        ),
        (
            transformer(json!({"modality_config": {"message": {"method": "forward"}}})),
            "sets \"modality_config\"",
        ),
        (transformer(json!({"module_output_name": "sentence_embedding"})), "sets \"module_output_name\""),
        (
            read(
                json!({"modules.json": [{"type": "sentence_transformers.models.Transformer", "path": "", "kwargs": ["task"]}]}),
            ),
            "module 0 asks for \"kwargs\"",
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
