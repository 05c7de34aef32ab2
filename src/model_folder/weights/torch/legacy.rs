//! What torch.save wrote before version 1.6, and many models of the hub still are: five pickles (a magic number, a
//! version, the machine, the dictionary, the storages' keys), then each storage in the order of the keys, its number of
//! elements (i64) before it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Mutex;

use super::pickle::{self, Pickle, Value};
use super::state::{Stored, tensors};
use super::{LARGEST_PICKLE, Storages};
use crate::quote::quoted;

/// The pickle of the magic number 0x1950a86a20f9469cfc6c, with which all these files begin.
pub const MAGIC: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

pub struct Legacy {
    file: Mutex<File>,
    /// Where each storage's values begin, and how many bytes it has.
    places: HashMap<String, (u64, u64)>,
}

impl Legacy {
    pub fn open(mut file: File) -> Result<(Self, HashMap<String, Stored>), String> {
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut bytes = Vec::new();
        let begun = file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string());
        begun.and_then(|_| {
            Read::by_ref(&mut file).take(LARGEST_PICKLE).read_to_end(&mut bytes).map_err(|e| e.to_string())
        })?;
        let mut at = MAGIC.len();
        let mut next = || -> Result<Pickle, String> {
            let pickle = pickle::read(&bytes[at..])?;
            at += pickle.len;
            Ok(pickle)
        };
        let (_version, _machine, state, keys) = (next()?, next()?, next()?, next()?);
        let Value::List(keys) = keys.value else { return Err("it does not list its storages".to_owned()) };
        let places = places(&mut file, (at as u64, length), &keys, &element_sizes(&state))?;
        Ok((Legacy { file: Mutex::new(file), places }, tensors(state.value)?))
    }
}

/// Bytes of an element of each storage that the dictionary refers to.
fn element_sizes(state: &Pickle) -> HashMap<String, u64> {
    let size_of = |class: &str| {
        Some(match class.rsplit(' ').next()? {
            "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
            "FloatStorage" | "IntStorage" => 4,
            "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
            "ByteStorage" | "CharStorage" | "BoolStorage" => 1,
            _ => return None,
        })
    };
    let sizes = state.references.iter().filter_map(|reference| match &**reference {
        Value::Tuple(parts) => match &parts[..] {
            [_, Value::Class(class), Value::Text(key), ..] => Some((key.to_string(), size_of(class)?)),
            _ => None,
        },
        _ => None,
    });
    sizes.collect()
}

/// Walks over the storages, from `at` to the file's end.
fn places(
    file: &mut File,
    (mut at, length): (u64, u64),
    keys: &[Value],
    element_sizes: &HashMap<String, u64>,
) -> Result<HashMap<String, (u64, u64)>, String> {
    let mut places = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err("a storage in it has no name".to_owned()) };
        let size = element_sizes
            .get(&**key)
            .ok_or_else(|| format!("no tensor gives the type of storage {}", quoted(key)))?;
        let mut elements = [0; 8];
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut elements));
        read.map_err(|_| format!("it ends before storage {}", quoted(key)))?;
        let bytes = u64::from_le_bytes(elements).checked_mul(*size);
        let end = bytes.and_then(|bytes| (at + 8).checked_add(bytes)).filter(|&end| end <= length);
        let end = end.ok_or_else(|| format!("it ends in storage {}", quoted(key)))?;
        places.insert(key.to_string(), (at + 8, end - at - 8));
        at = end;
    }
    Ok(places)
}

impl Legacy {
    /// Where a storage's values begin, and how many bytes they are.
    fn place(&self, key: &str) -> Result<(u64, u64), String> {
        self.places.get(key).copied().ok_or_else(|| format!("there is no storage {}", quoted(key)))
    }
}

impl Storages for Legacy {
    fn size(&self, key: &str) -> Result<u64, String> {
        self.place(key).map(|(_, bytes)| bytes)
    }

    fn read(&self, key: &str, start: u64, len: u64) -> Result<Vec<u8>, String> {
        let (place, _) = self.place(key)?;
        let mut file = self.file.lock().unwrap_or_else(|e| e.into_inner());
        let mut bytes = vec![0; len as usize];
        let read = file.seek(SeekFrom::Start(place + start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|e| format!("storage {}: {e}", quoted(key)))?;
        Ok(bytes)
    }
}
