//! A model's folder: what it says of itself, its weights and its tokenizer.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use mirror::encoder::{Encoder, EncoderConfig, Pooling};
use mirror::model_folder::SentenceFolder;
use mirror::model_folder::read_parameters;
use mirror::tokenize::Tokenizer;

use super::{folder_with, is_a_sentence, layout, seeds_of, write};

const CONFIG: &str = r#"{"model_type":"bert","vocab_size":120,"hidden_size":32,"num_hidden_layers":2,
    "num_attention_heads":4,"intermediate_size":64,"hidden_act":"gelu","max_position_embeddings":64,
    "type_vocab_size":2,"layer_norm_eps":1e-12,"pad_token_id":0}"#;

const SETTINGS: &str = r#"{"prompts":{"query":"query: "},"default_prompt_name":"query",
    "similarity_fn_name":"cosine","truncate_dim":4}"#;

fn described() -> Vec<(&'static str, Vec<u8>)> {
    let modules = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
        {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
        {"idx":2,"name":"2","path":"2_Dense","type":"sentence_transformers.models.Dense"},
        {"idx":3,"name":"3","path":"3_Normalize","type":"sentence_transformers.models.Normalize"}]"#;
    let pooling =
        r#"{"word_embedding_dimension":32,"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true}"#;
    [
        ("config.json", CONFIG),
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("sentence_bert_config.json", r#"{"max_seq_length":50,"do_lower_case":false}"#),
        ("config_sentence_transformers.json", SETTINGS),
        (
            "2_Dense/config.json",
            r#"{"in_features":32,"out_features":8,"activation_function":"torch.nn.Tanh"}"#,
        ),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .to_vec()
}

pub fn read_config(bytes: &[u8]) {
    let Some(folder) = folder_with(&described(), bytes) else { return };
    match EncoderConfig::from_folder(folder.path()) {
        // Where a size is accepted, what follows from it costs little.
        Ok(config) => assert!(Encoder::new(config, Pooling::Mean).layout().groups.len() <= 1025),
        Err(error) => is_a_sentence(error),
    }
    if let Err(error) = SentenceFolder::read(folder.path()) {
        is_a_sentence(error);
    }
}

pub fn config_seeds() -> Vec<Vec<u8>> {
    seeds_of(&described())
}

const WEIGHT_FILES: [&str; 3] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];

/// A weights file that is right in all.
pub fn tensors() -> Vec<u8> {
    let layout = layout();
    let data: Vec<Vec<u8>> = layout.tensors().map(|(_, spec)| vec![0; 4 * spec.len()]).collect();
    let views = layout.tensors().zip(&data).map(|((_, spec), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, spec.shape.clone(), bytes);
        (spec.name.clone(), view.unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Weights that are these bytes, alone, or, for an index, beside the shard that it may name.
pub fn read_weights(bytes: &[u8]) {
    let Some((&file, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("shard.safetensors"), &tensors());
    write(&folder.path().join(WEIGHT_FILES[usize::from(file) % 3]), content);
    if let Err(error) = read_parameters(folder.path(), &layout(), DType::F32, &Device::Cpu) {
        is_a_sentence(error);
    }
}

pub fn weight_seeds() -> Vec<Vec<u8>> {
    let layout = layout();
    let names = layout.tensors().map(|(_, spec)| format!("{:?}:\"shard.safetensors\"", spec.name));
    let index = format!("{{\"weight_map\":{{{}}}}}", names.collect::<Vec<_>>().join(","));
    let pickle = |name: &str| fs::read(fixtures().join("weights").join(name)).unwrap();
    let (zip, legacy) = (pickle("offset.bin"), pickle("legacy.bin"));
    [(0u8, tensors()), (1, index.into_bytes()), (2, zip), (2, legacy)]
        .iter()
        .map(|(file, right)| [&[*file], &right[..]].concat())
        .collect()
}

fn fixtures() -> PathBuf {
    // From the fuzz targets' folder as from the program's own.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = here.join("tests/fixtures");
    if fixtures.is_dir() { fixtures } else { here.join("../tests/fixtures") }
}

/// The three forms in which a folder describes its tokenizer.
fn tokenizers() -> Vec<(&'static str, Vec<u8>)> {
    let file = |path: &str| fs::read(fixtures().join(path)).unwrap();
    let special = br#"{"unk_token":"[UNK]","mask_token":{"content":"[MASK]","lstrip":false,"rstrip":false}}"#;
    vec![
        ("json-bert/tokenizer.json", file("tokenizer-bert/tokenizer.json")),
        ("json-bert/tokenizer_config.json", br#"{"do_lower_case":true,"model_max_length":512}"#.to_vec()),
        ("json-bert/special_tokens_map.json", special.to_vec()),
        ("json-roberta/tokenizer.json", file("tokenizer-roberta/tokenizer.json")),
        ("vocab/vocab.txt", file("tokenizer-bert/vocab.txt")),
        ("vocab/added_tokens.json", br#"{"[NEW]":300}"#.to_vec()),
        ("merges/vocab.json", file("tokenizer-roberta/vocab.json")),
        ("merges/merges.txt", file("tokenizer-roberta/merges.txt")),
    ]
}

pub fn read_tokenizer(bytes: &[u8]) {
    let files = tokenizers();
    let Some(folder) = folder_with(&files, bytes) else { return };
    let changed = files[usize::from(bytes[0]) % files.len()].0.split_once('/').unwrap().0;
    match Tokenizer::from_folder(&folder.path().join(changed)) {
        Ok(tokenizer) => tokenize(&tokenizer),
        Err(error) => is_a_sentence(error),
    }
}

fn tokenize(tokenizer: &Tokenizer) {
    for text in ["", "A [MASK] of <mask> 北京, don't", "\u{301}\u{200b}", &"word ".repeat(40)] {
        match tokenizer.encode(text, 16) {
            Ok(ids) => assert!(ids.len() <= 16),
            Err(error) => is_a_sentence(error),
        }
    }
}

pub fn tokenizer_seeds() -> Vec<Vec<u8>> {
    seeds_of(&tokenizers())
}
