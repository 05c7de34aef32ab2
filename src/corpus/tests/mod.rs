//! What the room promises as a whole: batches, faults, memory.

mod dealing;
mod files;
mod prefetching;

use super::*;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

fn batching(batch_size: usize, seed: u64) -> Batching {
    Batching { batch_size, seed, mask_span: 5, mask_token: "[MASK]".to_owned() }
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.txt");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(bytes: &[u8], format: Format) -> Result<Corpus, CorpusError> {
    let (_folder, path) = file(bytes);
    Corpus::open(&path, format)
}

/// A corpus of "sentence 0", "sentence 1", … in which sentence `i` occurs `occurrences[i]` times.
fn repeating(occurrences: &[usize]) -> Corpus {
    let line = |(i, &count): (usize, &usize)| format!("sentence {i}\n").repeat(count);
    let text: String = occurrences.iter().enumerate().map(line).collect();
    open(text.as_bytes(), Format::Sentences).unwrap()
}

fn deal(corpus: &Corpus, batch_size: usize, seed: u64) -> (Vec<Batch>, EpochSummary) {
    let mut batches = corpus.epoch(&batching(batch_size, seed), 0).unwrap();
    let all = batches.by_ref().map(Result::unwrap).collect();
    (all, batches.summary().unwrap())
}

/// Every batch is full and holds no sentence twice, no line is used twice, and the summary adds up.
fn check_epoch(corpus: &Corpus, batch_size: usize, batches: &[Batch], summary: EpochSummary) {
    let mut lines = HashSet::new();
    for (step, batch) in batches.iter().enumerate() {
        assert_eq!(batch.step, step as u64);
        assert_eq!((batch.lines.len(), batch.view2.len()), (batch_size, batch_size));
        let mut texts = HashSet::new();
        for i in 0..batch_size {
            assert!(lines.insert(batch.lines[i]), "line {} twice", batch.lines[i]);
            assert!(texts.insert(batch.view1[i].trim()), "{:?} twice in a batch", batch.view1[i]);
        }
    }
    assert_eq!(summary.steps, batches.len() as u64);
    assert_eq!(summary.used, lines.len() as u64);
    assert!(summary.partial < batch_size as u64);
    assert_eq!(summary.used + summary.partial + summary.surplus, corpus.len());
}
