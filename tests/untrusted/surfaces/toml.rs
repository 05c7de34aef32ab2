//! A configuration: train.toml.

use mirror::cli::configuration::options;

use super::{is_a_sentence, write};

pub fn read(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.toml");
    write(&path, bytes);
    if let Err(error) = options(&path) {
        is_a_sentence(error);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![b"seed = 42\nreg = \"delta-sam,r3f\"\nno-eval = true\nlearning-rate = 2e-5\n".to_vec()]
}
