//! The tokenizer against its peers: ids recorded from transformers' AutoTokenizer and sentence-transformers
//! (scripts/tokenizer-fixtures.py), properties, and faults.

mod classes;
mod faults;
mod pairs;
mod peers;
mod properties;
mod written;

use mirror::tokenize::Tokenizer;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
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

/// The fixture folders.
const KINDS: [&str; 4] = ["tokenizer-bert", "tokenizer-mpnet", "tokenizer-roberta", "tokenizer-unigram"];

/// The tokenizers that look no further than a word to cut a long text.
const WORDWISE: [&str; 2] = ["tokenizer-bert", "tokenizer-roberta"];

fn small(kind: &str) -> &'static Tokenizer {
    static BERT: OnceLock<Tokenizer> = OnceLock::new();
    static MPNET: OnceLock<Tokenizer> = OnceLock::new();
    static ROBERTA: OnceLock<Tokenizer> = OnceLock::new();
    static UNIGRAM: OnceLock<Tokenizer> = OnceLock::new();
    let (cell, files): (_, &[&str]) = match kind {
        "tokenizer-bert" => (&BERT, &["vocab.txt"]),
        "tokenizer-mpnet" => (&MPNET, &["tokenizer.json"]),
        "tokenizer-roberta" => (&ROBERTA, &["vocab.json", "merges.txt"]),
        _ => (&UNIGRAM, &["tokenizer.json"]),
    };
    cell.get_or_init(|| {
        let dir = folder(&manifest().join("tests/fixtures").join(kind), files, &Map::new());
        Tokenizer::from_folder(dir.path()).unwrap()
    })
}
