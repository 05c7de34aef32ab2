//! Compressed files, known by their first bytes whatever they are called.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// What reads a file, forwards.
pub type Bytes = Box<dyn BufRead>;

/// Bytes that are looked at to know a file by.
const LOOKED_AT: usize = 512;

const BUFFER: usize = 256 << 10;

/// The first bytes of a reader, and a reader of all of them.
pub fn peek(mut reader: impl Read + 'static) -> io::Result<(Vec<u8>, Bytes)> {
    let mut first = Vec::new();
    (&mut reader).take(LOOKED_AT as u64).read_to_end(&mut first)?;
    let all = Cursor::new(first.clone()).chain(reader);
    Ok((first, Box::new(BufReader::with_capacity(BUFFER, all))))
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// By a file's first bytes.
    pub fn of(first: &[u8]) -> Option<Self> {
        // Zstandard's frames, and those to be skipped that may stand before them.
        let skippable = first.len() > 4 && first[1..4] == [0x2A, 0x4D, 0x18] && first[0] & 0xF0 == 0x50;
        match first {
            [0x1F, 0x8B, ..] => Some(Compression::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Compression::Zstd),
            _ if skippable => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// What is compressed. Where it is damaged or ends too early, reading is an error that says so.
    pub fn decode(self, reader: Bytes) -> io::Result<Decoded> {
        let inner: Box<dyn Read> = match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(reader)?),
        };
        Ok(Decoded { inner, compression: self })
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// A decoder whose errors say what to do.
pub struct Decoded {
    inner: Box<dyn Read>,
    compression: Compression,
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let name = self.compression.name();
            let message = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    format!(
                        "its {name} data ends too early, so the file is not whole; copy or download it again"
                    )
                }
                // The system's own errors are not the file's.
                _ if error.raw_os_error().is_some() => return error,
                _ if error.to_string().contains("too much memory") => {
                    format!(
                        "its {name} data needs a window of more than 128 MB; compress it again without --long"
                    )
                }
                _ => format!(
                    "its {name} data is damaged ({}); copy or download it again",
                    crate::quote::reason(&error)
                ),
            };
            io::Error::new(error.kind(), message)
        })
    }
}
