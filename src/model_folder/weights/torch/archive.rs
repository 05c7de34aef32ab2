//! The zip archive that torch.save writes since version 1.6: `NAME/data.pkl` and `NAME/data/KEY`.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::{Mutex, MutexGuard};

use zip::ZipArchive;

use super::state::{Stored, tensors};
use super::{LARGEST_PICKLE, Storages, pickle};
use crate::quote::quoted;

pub struct Archive {
    zip: Mutex<ZipArchive<BufReader<File>>>,
    /// `NAME/data/`
    prefix: String,
}

impl Archive {
    pub fn open(file: File) -> Result<(Self, HashMap<String, Stored>), String> {
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| e.to_string())?;
        let name = zip
            .file_names()
            .filter_map(|name| name.ok().map(|name| name.into_owned()))
            .find(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
            .ok_or("there is no data.pkl in it")?;
        let mut bytes = Vec::new();
        let entry = zip.by_name(&name).map_err(|e| of_entry(&name, e))?;
        entry.take(LARGEST_PICKLE + 1).read_to_end(&mut bytes).map_err(|e| of_entry(&name, e))?;
        if bytes.len() as u64 > LARGEST_PICKLE {
            return Err(format!("{} is larger than any dictionary of tensors", quoted(&name)));
        }
        let read = pickle::read(&bytes).and_then(|pickle| tensors(pickle.value));
        let tensors = read.map_err(|problem| of_entry(&name, problem))?;
        let prefix = format!("{}data/", name.trim_end_matches("data.pkl"));
        Ok((Archive { zip: Mutex::new(zip), prefix }, tensors))
    }

    fn zip(&self) -> MutexGuard<'_, ZipArchive<BufReader<File>>> {
        self.zip.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// What is wrong with an entry.
fn of_entry(name: &str, problem: impl Display) -> String {
    format!("{}: {problem}", quoted(name))
}

impl Storages for Archive {
    fn size(&self, key: &str) -> Result<u64, String> {
        let name = format!("{}{key}", self.prefix);
        let mut zip = self.zip();
        let entry = zip.by_name(&name).map_err(|e| of_entry(&name, e))?;
        // Compressed entries are refused, so that the entry is a part of the file as it is.
        Ok(entry.size().min(entry.compressed_size()))
    }

    fn read(&self, key: &str, start: u64, len: u64) -> Result<Vec<u8>, String> {
        let name = format!("{}{key}", self.prefix);
        let mut zip = self.zip();
        let mut entry = zip.by_name(&name).map_err(|e| of_entry(&name, e))?;
        let skipped = std::io::copy(&mut entry.by_ref().take(start), &mut std::io::sink());
        let mut bytes = Vec::new();
        skipped.and_then(|_| entry.take(len).read_to_end(&mut bytes)).map_err(|e| of_entry(&name, e))?;
        if bytes.len() as u64 != len {
            return Err(format!("{} ends early", quoted(&name)));
        }
        Ok(bytes)
    }
}
