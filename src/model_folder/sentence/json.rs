//! JSON files of a bounded size, and typed entries of them.

use std::path::Path;

use serde_json::{Map, Value};

use super::SentenceFolderError;
use crate::quote::{reason, shortened};

/// These files are a few hundred bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) fn flag(file: &Path, key: &str, config: &Map<String, Value>) -> Result<bool, SentenceFolderError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => {
            let other = shortened(other);
            Err(SentenceFolderError::new(file, format!("{key:?} is {other}, expected true or false")))
        }
    }
}

pub(super) fn size(
    file: &Path,
    key: &str,
    config: &Map<String, Value>,
) -> Result<Option<usize>, SentenceFolderError> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(length) if length > 0 => Ok(usize::try_from(length).ok()),
            _ => Err(SentenceFolderError::new(
                file,
                format!("{key:?} is {}, expected a whole number above 0", shortened(value)),
            )),
        },
    }
}

pub(super) fn read_object(file: &Path) -> Result<Option<Map<String, Value>>, SentenceFolderError> {
    match read_json(file)? {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(SentenceFolderError::new(file, "expected a JSON object")),
    }
}

/// None where the file does not exist.
pub(super) fn read_json(file: &Path) -> Result<Option<Value>, SentenceFolderError> {
    let unreadable =
        |error: std::io::Error| SentenceFolderError::new(file, format!("cannot be read: {error}"));
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(SentenceFolderError::new(
            file,
            format!("expected a regular file of at most {MAX_FILE_BYTES} bytes"),
        ));
    }
    let text = std::fs::read(file).map_err(unreadable)?;
    let value = crate::json::from_slice(&text);
    value
        .map(Some)
        .map_err(|error| SentenceFolderError::new(file, format!("not valid JSON: {}", reason(error))))
}
