//! `.mirror.json`: the files of a folder that this program wrote, with their sums. What is in the list and
//! unchanged may be replaced by a later run; everything else in the folder is the user's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sums::FileSum;
use super::{OutputError, write_json};

/// The list's name in a folder.
pub const LIST: &str = ".mirror.json";

const FORMAT: u32 = 1;

/// Some dozens of files with a hundred bytes each; a larger one was not written by mirror.
const LARGEST_LIST: u64 = 1 << 22;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    format: u32,
    version: String,
    /// By their paths below the folder, with `/` between names.
    files: BTreeMap<String, FileSum>,
}

impl Written {
    /// Takes the sums of files, given by their paths below the folder.
    pub fn of(folder: &Path, files: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut sums = BTreeMap::new();
        for file in files {
            // A name that is no text cannot be listed; this program writes none.
            if let Some(name) = listed(&file) {
                sums.insert(name, FileSum::of(&folder.join(&file))?);
            }
        }
        Ok(Written { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), files: sums })
    }

    /// Lists what `other` lists, too.
    pub fn add(&mut self, other: Written) {
        self.files.extend(other.files);
    }

    /// The folder's list; none where it has none that can be understood.
    pub fn read(folder: &Path) -> Option<Self> {
        let path = folder.join(LIST);
        let metadata = path.symlink_metadata().ok()?;
        if !metadata.is_file() || metadata.len() > LARGEST_LIST {
            return None;
        }
        let written: Written = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (written.format == FORMAT).then_some(written)
    }

    pub fn save(&self, folder: &Path) -> Result<(), OutputError> {
        write_json(&folder.join(LIST), self)
    }

    /// The files that are still as they were written, and the list itself.
    pub fn unchanged(&self, folder: &Path) -> BTreeSet<PathBuf> {
        let files = self.files.iter().filter_map(|(name, sum)| {
            let path = PathBuf::from(name);
            let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
            (inside && sum.is_of(&folder.join(&path))).then_some(path)
        });
        files.chain([PathBuf::from(LIST)]).collect()
    }
}

/// A path as the list has it.
fn listed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// All files below a folder, and links, which are not followed, by their paths below it.
pub fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fn walk(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => walk(folder, &path, found)?,
                false => found.push(path),
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(folder, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}
