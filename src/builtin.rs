//! The small model, corpus and scored pairs that are compiled into the program, so that it does its
//! job in an empty folder. data/README.md describes how they were made and what they are not.

use std::io;
use std::path::Path;

use sts_eval::{PairFormat, Task};

/// Sentences to train the built-in model on, one a line.
pub const CORPUS: &str = include_str!("../data/builtin/corpus.txt");

/// Pairs with a graded score: score, sentence, sentence.
const PAIRS: &str = include_str!("../data/builtin/pairs.tsv");

/// What reports call the scored pairs.
pub const PAIRS_NAME: &str = "built-in pairs";

macro_rules! model_files {
    ($($name:literal),*) => {
        &[$(($name, include_bytes!(concat!("../data/builtin/model/", $name)) as &[u8])),*]
    };
}

const MODEL: &[(&str, &[u8])] = model_files!(
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt"
);

/// Writes the built-in model's files into a folder.
pub fn unpack(folder: &Path) -> io::Result<()> {
    MODEL.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
}

/// The scored pairs as a task of the evaluator.
pub fn pairs() -> Result<Task, sts_eval::Error> {
    Task::from_text(PAIRS_NAME, PAIRS, PairFormat::Tsv)
}
