//! A graph file's metadata, read without its graph: who made it, and from what.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use prost::Message;

use super::proto::{MODEL_GRAPH, Model};

/// Who made it, in a graph of this program.
pub const PRODUCER: &str = "mirror";

/// The key of the sum of the weights that a graph was made from.
pub const WEIGHTS_SHA256: &str = "weights_sha256";

/// All but the graph takes a few hundred bytes; other tools write more.
const LARGEST_HEADER: u64 = 1 << 24;

/// What a graph's file holds beside the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// The program that wrote it; empty where it does not name itself.
    pub producer: String,
    /// The version of ONNX's own operators; `None` where it names none.
    pub opset: Option<u32>,
    /// Its `metadata_props`.
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    /// Reads a file's header; None where it is not a graph.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let length = path.metadata()?.len();
        let mut file = BufReader::new(File::open(path)?);
        let Some(bytes) = without_graph(&mut file, length)? else { return Ok(None) };
        let Ok(model) = Model::decode(bytes.as_slice()) else { return Ok(None) };
        let opset = model.opset_import.iter().find(|set| set.domain.as_deref().unwrap_or("").is_empty());
        let entries = model.metadata_props.into_iter();
        Ok(Some(Header {
            producer: model.producer_name.unwrap_or_default(),
            opset: opset.and_then(|set| u32::try_from(set.version?).ok()),
            metadata: entries.filter_map(|entry| Some((entry.key?, entry.value?))).collect(),
        }))
    }

    /// Whether mirror wrote it.
    pub fn is_ours(&self) -> bool {
        self.producer == PRODUCER
    }
}

/// A protobuf message's fields without the graph, which is skipped. None where it is not such a message.
fn without_graph(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < length {
        let start = bytes.len();
        let Some(key) = varint(file, &mut bytes)? else { return Ok(None) };
        let mut graph = false;
        let rest = match key & 7 {
            0 => varint(file, &mut bytes)?.map(|_| 0),
            1 => Some(8),
            2 => {
                graph = key >> 3 == u64::from(MODEL_GRAPH);
                varint(file, &mut bytes)?
            }
            5 => Some(4),
            _ => None,
        };
        at += (bytes.len() - start) as u64;
        let Some(rest) = rest.filter(|rest| *rest <= length - at.min(length)) else { return Ok(None) };
        if graph {
            bytes.truncate(start);
            file.seek(SeekFrom::Current(rest as i64))?;
        } else {
            if bytes.len() as u64 + rest > LARGEST_HEADER {
                return Ok(None);
            }
            file.take(rest).read_to_end(&mut bytes)?;
        }
        at += rest;
    }
    Ok(Some(bytes))
}

/// Reads a varint, whose bytes go to `bytes`, too.
fn varint(file: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if file.read(&mut byte)? == 0 {
            return Ok(None);
        }
        bytes.push(byte[0]);
        value |= u64::from(byte[0] & 127) << shift;
        if byte[0] < 128 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proto::{Entry, Graph, OperatorSet};
    use super::*;

    fn header(bytes: &[u8]) -> Option<Header> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Header::read(file.path()).unwrap()
    }

    /// The graph may come before or after what is read.
    #[test]
    fn the_graph_is_skipped() {
        let entry = Entry { key: Some(WEIGHTS_SHA256.into()), value: Some("ab".into()) };
        let said = Model {
            producer_name: Some("mirror".into()),
            opset_import: vec![OperatorSet { domain: Some(String::new()), version: Some(17) }],
            metadata_props: vec![entry],
            ..Model::default()
        };
        let graph = Graph { name: Some("x".repeat(300)), ..Graph::default() };
        let graph = Model { graph: Some(graph), ..Model::default() }.encode_to_vec();
        let said = said.encode_to_vec();
        for bytes in [[said.clone(), graph.clone()].concat(), [graph, said].concat()] {
            let header = header(&bytes).unwrap();
            assert!(header.is_ours() && header.opset == Some(17));
            assert_eq!(header.metadata[WEIGHTS_SHA256], "ab");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            header(&bytes);
        }
    }
}
