//! What is trained on, and what is encoded.

use mirror::corpus::{Batching, Corpus, Format, Lines};

use super::{is_a_sentence, write};

pub fn read(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.txt");
    write(&path, bytes);
    for format in [Format::Sentences, Format::Pairs] {
        match Corpus::open(&path, format) {
            Ok(corpus) => walk(&corpus),
            Err(error) => is_a_sentence(error),
        }
    }
    for line in Lines::new(bytes, "corpus.txt") {
        if let Err(error) = line {
            return is_a_sentence(error);
        }
    }
}

/// What could be opened can be trained on: nothing is refused in the middle of a run.
fn walk(corpus: &Corpus) {
    for i in 0..corpus.len() {
        assert!(corpus.entry(i).is_ok(), "entry {i}");
    }
    let batching = Batching { batch_size: 2, seed: 1, mask_span: 5, mask_token: "[MASK]".to_owned() };
    match corpus.epoch(&batching, 0) {
        Ok(batches) => batches.for_each(|batch| assert!(batch.is_ok())),
        Err(error) => is_a_sentence(error),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "A sentence that is long enough to be masked somewhere.\nÄnother one\r\n\nA sentence that is long enough\n",
        "first view\tsecond view\na || b\nx\ty\n",
        "\u{feff}one\u{2028}line\u{85}\n犬が走る\n\u{301}\u{301}\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
