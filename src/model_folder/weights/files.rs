//! Which files hold a model's weights: one file or shards that an index names, safetensors before PyTorch's own
//! form, as transformers looks for them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::WeightsError;
use crate::json;
use crate::quote::{quoted, reason};

/// The safetensors file of a whole model, which is how weights are written here.
pub const WEIGHTS: &str = "model.safetensors";

/// PyTorch's own form of the same.
pub(super) const PICKLE: &str = "pytorch_model.bin";

/// What follows the file's name in that of an index of its shards.
const INDEX: &str = ".index.json";

/// In the order in which they are looked for: the first that is there is taken.
pub const FORMS: [&str; 4] =
    [WEIGHTS, "model.safetensors.index.json", PICKLE, "pytorch_model.bin.index.json"];

/// A shard index lists a handful of files; anything larger is no such list.
const LARGEST_INDEX: u64 = 64 << 20;
const MOST_SHARDS: usize = 1000;

/// Of a file, in bytes, on common file systems.
const LONGEST_NAME: usize = 255;

/// The file or index of a folder's weights, of the first form that is there.
pub fn weights_in(folder: &Path) -> Option<PathBuf> {
    FORMS.into_iter().map(|name| folder.join(name)).find(|path| path.exists())
}

/// The files that hold a folder's weights.
///
/// # Errors
/// There are none, the index is malformed, or it names a file that is not there.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let found = FORMS.into_iter().map(|name| (name, folder.join(name))).find(|(_, path)| path.is_file());
    let Some((name, path)) = found else { return Err(absent(folder)) };
    if !is_index(name) {
        return Ok(vec![path]);
    }
    let names = match shards(&path) {
        Ok(names) => names,
        Err(problem) => return Err(WeightsError::Corrupt { path, reason: format!("it {problem}") }),
    };
    let file = |shard: String| match folder.join(&shard) {
        file if file.is_file() => Ok(file),
        _ => Err(WeightsError::Shard { index: path.clone(), shard: quoted(&shard) }),
    };
    names.into_iter().map(file).collect()
}

/// Whether a file of this name lists shards, as opposed to being weights.
pub fn is_index(name: &str) -> bool {
    name.ends_with(INDEX)
}

/// The files that an index names, in order, or what is wrong with it.
pub fn shards(index: &Path) -> Result<BTreeSet<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let bytes = read(index).map_err(|error| format!("cannot be read ({error})"))?;
    if bytes.len() as u64 > LARGEST_INDEX {
        return Err(format!("is larger than {LARGEST_INDEX} bytes"));
    }
    let parsed: Index = json::from_slice(&bytes)
        .map_err(|error| format!("is not an index of weights ({})", reason(error)))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() || names.len() > MOST_SHARDS {
        return Err(format!("names {} files instead of 1 to {MOST_SHARDS}", names.len()));
    }
    // model.safetensors.index.json lists files that end as model.safetensors does.
    let kind = index.with_extension("").with_extension("");
    let fits = |name: &str| is_file_name(name) && Path::new(name).extension() == kind.extension();
    match names.iter().find(|name| !fits(name)) {
        Some(name) => Err(format!("names {}, which cannot be a file of weights in its folder", quoted(name))),
        None => Ok(names),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_INDEX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it can be a file of a folder, in that folder.
fn is_file_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && !name.contains(['/', '\\', ':'])
        && !name.starts_with('.')
        && !name.contains(char::is_control)
}

/// A folder without weights that are read here.
fn absent(folder: &Path) -> WeightsError {
    let folder = folder.to_owned();
    if folder.join("onnx").is_dir() {
        return WeightsError::Exported { folder };
    }
    match instead(&folder) {
        Some(form) => WeightsError::Foreign { folder, form },
        None => WeightsError::Absent { folder },
    }
}

/// What a folder without weights has instead, and what to do about it.
fn instead(folder: &Path) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 5] = [
        ("tf_model.h5", "TensorFlow's tf_model.h5"),
        ("flax_model.msgpack", "Flax's flax_model.msgpack"),
        ("model.ckpt.index", "a TensorFlow checkpoint, model.ckpt"),
        ("bert_model.ckpt.index", "a TensorFlow checkpoint, bert_model.ckpt"),
        ("rust_model.ot", "rust-bert's rust_model.ot"),
    ];
    OTHERS.into_iter().find(|(file, _)| folder.join(file).is_file()).map(|(_, name)| name)
}
