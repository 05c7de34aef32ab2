//! Everything that reads what others wrote, each as a function of bytes that must return: an error is one sentence.
//!
//! The tests here and the fuzz targets in fuzz/ call the same functions. Where a reader reads several files, the
//! first byte says which of them the rest becomes; the others are what they should be.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mirror::encoder::Architecture;
use mirror::encoder::layout::{Dimensions, Layout};
use tempfile::TempDir;

#[path = "surfaces/checkpoint.rs"]
mod checkpoint;
#[path = "surfaces/corpus.rs"]
mod corpus;
#[path = "surfaces/forms.rs"]
mod forms;
#[path = "surfaces/hub.rs"]
mod hub;
#[path = "surfaces/labels.rs"]
mod labels;
#[path = "surfaces/model.rs"]
pub mod model;
#[path = "surfaces/sts.rs"]
mod sts;
#[path = "surfaces/toml.rs"]
mod toml;
#[path = "surfaces/words.rs"]
mod words;

/// A reader of untrusted bytes.
pub struct Surface {
    pub name: &'static str,
    pub read: fn(&[u8]),
    /// Inputs that are right in all, to be damaged.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const SURFACES: [Surface; 12] = [
    Surface { name: "sts", read: sts::read_senteval, seeds: sts::senteval_seeds },
    Surface { name: "pairs", read: sts::read_pairs, seeds: sts::pair_seeds },
    Surface { name: "words", read: words::read, seeds: words::seeds },
    Surface { name: "corpus", read: corpus::read, seeds: corpus::seeds },
    Surface { name: "forms", read: forms::read, seeds: forms::seeds },
    Surface { name: "labels", read: labels::read, seeds: labels::seeds },
    Surface { name: "config", read: model::read_config, seeds: model::config_seeds },
    Surface { name: "weights", read: model::read_weights, seeds: model::weight_seeds },
    Surface { name: "tokenizer", read: model::read_tokenizer, seeds: model::tokenizer_seeds },
    Surface { name: "toml", read: toml::read, seeds: toml::seeds },
    Surface { name: "checkpoint", read: checkpoint::read, seeds: checkpoint::seeds },
    Surface { name: "hub", read: hub::read, seeds: hub::seeds },
];

/// The surface of that name.
pub fn surface(name: &str) -> &'static Surface {
    SURFACES.iter().find(|surface| surface.name == name).unwrap_or_else(|| panic!("no surface {name}"))
}

/// An error is one sentence, and not as long as the file that it is about.
fn is_a_sentence(error: impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1 && text.len() < 4000, "not one sentence: {text:?}");
}

/// That of the smallest encoder there is.
pub fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(
        Architecture::Bert,
        &Dimensions {
            vocab_size: 3,
            max_position_embeddings: 2,
            type_vocab_size: 1,
            hidden_size: 2,
            intermediate_size: 3,
            num_hidden_layers: 1,
            relative_bias: [0, 1],
        },
    ))
}

/// A folder with these files, the one that the first byte chooses being the rest of the bytes.
fn folder_with(files: &[(&str, Vec<u8>)], bytes: &[u8]) -> Option<TempDir> {
    let (&chosen, content) = bytes.split_first()?;
    let folder = tempfile::tempdir().unwrap();
    for (i, (name, right)) in files.iter().enumerate() {
        let content = if i == usize::from(chosen) % files.len() { content } else { &right[..] };
        write(&folder.path().join(name), content);
    }
    Some(folder)
}

/// A seed for each file of a folder.
fn seeds_of(files: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
    files.iter().enumerate().map(|(i, (_, right))| [&[i as u8], &right[..]].concat()).collect()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
