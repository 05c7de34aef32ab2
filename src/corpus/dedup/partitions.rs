//! Pairs of a key and a place, on disk, to be looked at key by key.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::corpus::CorpusError;
use crate::corpus::reading::{ReadingError, spool_folder};

/// Parts, by the upper bits of a key: each is sorted in memory by itself.
const PARTS: usize = 256;

/// Pairs of a part that are written together.
const BLOCK: usize = 512;

/// A key and the place that it is of.
type Pair = [u64; 2];

#[derive(Default)]
struct Part {
    waiting: Vec<Pair>,
    /// Where its blocks begin in the file; each has [`BLOCK`] pairs.
    blocks: Vec<u64>,
}

/// Pairs in a temporary file, a chain of blocks for each part.
pub struct Partitions {
    file: File,
    end: u64,
    parts: Vec<Part>,
}

impl Partitions {
    pub fn new() -> Result<Self, CorpusError> {
        let file = tempfile::tempfile_in(spool_folder()).map_err(failed)?;
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Ok(Partitions { file, end: 0, parts })
    }

    pub fn push(&mut self, key: u64, place: u64) -> Result<(), CorpusError> {
        let part = &mut self.parts[(key >> 56) as usize];
        part.waiting.push([key, place]);
        if part.waiting.len() == BLOCK {
            let bytes: Vec<u8> = part.waiting.drain(..).flatten().flat_map(u64::to_le_bytes).collect();
            self.file.write_all(&bytes).map_err(failed)?;
            part.blocks.push(self.end);
            self.end += bytes.len() as u64;
        }
        Ok(())
    }

    /// Calls `look_at` with the places of each key that has several: ascending, each once.
    pub fn into_groups(
        self,
        mut look_at: impl FnMut(&[u64]) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let mut file = self.file;
        let mut places = Vec::new();
        for part in self.parts {
            let mut pairs = part.waiting;
            pairs.reserve_exact(part.blocks.len() * BLOCK);
            for &start in &part.blocks {
                read_block(&mut file, start, &mut pairs).map_err(failed)?;
            }
            pairs.sort_unstable();
            pairs.dedup();
            for group in pairs.chunk_by(|a, b| a[0] == b[0]).filter(|group| group.len() > 1) {
                places.clear();
                places.extend(group.iter().map(|pair| pair[1]));
                look_at(&places)?;
            }
        }
        Ok(())
    }
}

fn read_block(file: &mut File, start: u64, pairs: &mut Vec<Pair>) -> io::Result<()> {
    let mut bytes = [0; BLOCK * size_of::<Pair>()];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    let word = |bytes: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    pairs.extend(bytes.chunks_exact(16).map(|pair| [word(&pair[..8]), word(&pair[8..])]));
    Ok(())
}

fn failed(source: io::Error) -> CorpusError {
    ReadingError::Spool { folder: spool_folder(), source }.into()
}
