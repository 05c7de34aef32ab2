//! A folder's tokenizer files, of a bounded size.

use crate::json;
use crate::quote::{line_of, reason, shortened};
use crate::tokenize::TokenizeError;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No tokenizer file comes near this size; a larger one is not read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A folder, whose files are read when they are needed.
pub(super) struct Source {
    pub folder: PathBuf,
}

impl Source {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file's bytes, or None where the folder has no such file.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, TokenizeError> {
        read_bounded(&self.path(name))
    }

    /// The file as UTF-8 text.
    pub fn text(&self, name: &str) -> Result<Option<String>, TokenizeError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let line = line_of(error.as_bytes(), error.utf8_error().valid_up_to());
            TokenizeError::file(self.path(name), format!("not valid UTF-8 on line {line}"))
        })
    }

    /// The file as a JSON object.
    pub fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, TokenizeError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        match json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(TokenizeError::file(self.path(name), "expected a JSON object")),
            Err(error) => {
                Err(TokenizeError::file(self.path(name), format!("not valid JSON: {}", reason(error))))
            }
        }
    }
}

/// A setting whose value is not allowed.
pub(super) fn unexpected(
    source: &Source,
    file: &str,
    key: &str,
    value: &Value,
    expected: &str,
) -> TokenizeError {
    let shown = shortened(value);
    TokenizeError::file(source.path(file), format!("{key:?} is {shown}, expected {expected}"))
}

/// Reads a regular file of at most [`MAX_FILE_BYTES`]; None where it does not exist.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, TokenizeError> {
    let unreadable = |error: std::io::Error| TokenizeError::file(path, format!("cannot be read: {error}"));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // A named pipe would block forever, and a device never end.
    if !metadata.is_file() {
        return Err(TokenizeError::file(path, "expected a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        let problem =
            format!("is {} bytes long, more than the {MAX_FILE_BYTES} that are read", metadata.len());
        return Err(TokenizeError::file(path, problem));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    File::open(path).map_err(unreadable)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Some(bytes))
}
