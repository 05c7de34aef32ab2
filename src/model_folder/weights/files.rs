//! Which files hold a model's weights: one file or shards that an index names, safetensors before PyTorch's own
//! form, as transformers looks for them. The one place that knows, for a folder on disk and for what a hub has.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::json;
use crate::quote::{quoted, reason};

/// A way in which weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of them in this file.
    Whole(&'static str),
    /// In files that this index names, all of which end as given.
    Sharded { index: &'static str, ending: &'static str },
}

/// In the order in which they are looked for: the first that is there is taken.
pub const FORMS: [Form; 4] = [
    Form::Whole("model.safetensors"),
    Form::Sharded { index: "model.safetensors.index.json", ending: ".safetensors" },
    Form::Whole("pytorch_model.bin"),
    Form::Sharded { index: "pytorch_model.bin.index.json", ending: ".bin" },
];

/// A shard index lists a handful of files; anything larger is no such list.
const LARGEST_INDEX: u64 = 64 << 20;
const MOST_SHARDS: usize = 1000;

/// Of a file, in bytes, on the file systems that there are.
const LONGEST_NAME: usize = 255;

/// Why weights were not found whole.
#[derive(Debug)]
pub enum Lack<E> {
    /// What `obtain` said.
    Obtain(E),
    /// The index is none, or names what cannot be a file of weights.
    Index { index: PathBuf, problem: String },
    /// The index names a file that is not there.
    Shard { index: PathBuf, shard: String },
}

impl<E> From<E> for Lack<E> {
    fn from(error: E) -> Self {
        Lack::Obtain(error)
    }
}

/// The file or index of a folder's weights, of the first form that is there.
pub fn weights_in(folder: &Path) -> Option<PathBuf> {
    let names = FORMS.map(|form| match form {
        Form::Whole(name) | Form::Sharded { index: name, .. } => name,
    });
    names.into_iter().map(|name| folder.join(name)).find(|path| path.exists())
}

/// Asks `obtain` for the files of each form in turn, until one form is there, and gives their places; it answers
/// with a file's place, or none where there is no such file. None where no form is there at all.
pub fn gather<E>(
    mut obtain: impl FnMut(&str) -> Result<Option<PathBuf>, E>,
) -> Result<Option<Vec<PathBuf>>, Lack<E>> {
    for form in FORMS {
        match form {
            Form::Whole(name) => {
                if let Some(file) = obtain(name)? {
                    return Ok(Some(vec![file]));
                }
            }
            Form::Sharded { index, ending } => {
                let Some(index) = obtain(index)? else { continue };
                let names = match shards(&index, ending) {
                    Ok(names) => names,
                    Err(problem) => return Err(Lack::Index { index, problem }),
                };
                let mut files = Vec::with_capacity(names.len());
                for shard in names {
                    match obtain(&shard)? {
                        Some(file) => files.push(file),
                        None => return Err(Lack::Shard { index, shard }),
                    }
                }
                return Ok(Some(files));
            }
        }
    }
    Ok(None)
}

/// The files that an index names, in order, or what is wrong with it.
fn shards(index: &Path, ending: &str) -> Result<BTreeSet<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let bytes = read(index).map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST_INDEX {
        return Err("it is too large for an index".into());
    }
    let parsed: Index = json::from_slice(&bytes).map_err(reason)?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() || names.len() > MOST_SHARDS {
        return Err(format!("it names {} files instead of 1 to {MOST_SHARDS}", names.len()));
    }
    match names.iter().find(|name| !is_file_name(name) || !name.ends_with(ending)) {
        Some(name) => {
            Err(format!("it names {}, which cannot be a file of weights in this folder", quoted(name)))
        }
        None => Ok(names),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_INDEX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it can be a file of a folder, in that folder.
fn is_file_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && !name.contains(['/', '\\', ':'])
        && !name.starts_with('.')
        && !name.contains(char::is_control)
}

/// What a folder without weights has instead, and what to do about it.
pub(super) fn instead(folder: &Path) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 5] = [
        ("tf_model.h5", "TensorFlow's tf_model.h5"),
        ("flax_model.msgpack", "Flax's flax_model.msgpack"),
        ("model.ckpt.index", "a TensorFlow checkpoint, model.ckpt"),
        ("bert_model.ckpt.index", "a TensorFlow checkpoint, bert_model.ckpt"),
        ("rust_model.ot", "rust-bert's rust_model.ot"),
    ];
    OTHERS.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, name)| name)
}
