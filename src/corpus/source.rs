//! The bytes of a corpus: a file that is read by position and never held, or a text in the program.

use super::CorpusError;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const SCAN_BUFFER: usize = 256 << 10;

#[derive(Debug)]
pub(super) enum Source {
    /// `stamp` is the file's at a time when it was known to hold the bytes that were scanned.
    File {
        file: File,
        path: PathBuf,
        stamp: Mutex<Stamp>,
    },
    /// A temporary file without a name, to which nobody else can write.
    Spool {
        file: File,
        /// Of what was copied there.
        name: String,
    },
    BuiltIn(&'static str),
}

/// What tells cheaply whether a file was written to: its length and its time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Source {
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let cannot_read = |source| CorpusError::Read { name: path.display().to_string(), source };
        let file = File::open(path).map_err(cannot_read)?;
        let metadata = file.metadata().map_err(cannot_read)?;
        Ok(Source::File { file, path: path.to_owned(), stamp: Mutex::new(Stamp::of(&metadata)) })
    }

    /// What errors call this corpus.
    pub fn name(&self) -> String {
        match self {
            Source::File { path, .. } => path.display().to_string(),
            Source::Spool { name, .. } => name.clone(),
            Source::BuiltIn(_) => "the built-in corpus".to_owned(),
        }
    }

    /// All bytes from the start, hashed as they are read.
    pub fn scan(&self) -> BufReader<HashingReader<PositionReader<'_>>> {
        let reader = HashingReader { inner: PositionReader { source: self, offset: 0 }, hash: Sha256::new() };
        BufReader::with_capacity(SCAN_BUFFER, reader)
    }

    /// Fills `buffer` with the bytes from `offset`; `UnexpectedEof` where there are fewer.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut reader = PositionReader { source: self, offset };
        reader.read_exact(buffer)
    }

    /// Whether the bytes still have this SHA-256. They are only read again where the file's stamp is a
    /// new one.
    pub fn is_still(&self, sha256: &str) -> io::Result<bool> {
        let Source::File { file, stamp, .. } = self else { return Ok(true) };
        let now = Stamp::of(&file.metadata()?);
        let mut known = stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return Ok(true);
        }
        let mut reader = self.scan();
        io::copy(&mut reader, &mut io::sink())?;
        let same = reader.into_inner().sha256() == sha256;
        if same {
            *known = now;
        }
        Ok(same)
    }
}

/// Refuses devices, such as /dev/zero. What is not there is somebody else's error.
pub(super) fn check_no_device(path: &Path) -> Result<(), CorpusError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_char_device(&metadata.file_type())
        || std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type())
    {
        return Err(CorpusError::Device { path: path.to_owned() });
    }
    let _ = metadata;
    Ok(())
}

/// Reads a source onwards from a position of its own, so that threads do not disturb each other.
pub(super) struct PositionReader<'a> {
    source: &'a Source,
    offset: u64,
}

impl Read for PositionReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.source {
            Source::File { file, .. } | Source::Spool { file, .. } => {
                read_file_at(file, buffer, self.offset)?
            }
            Source::BuiltIn(text) => {
                let start = usize::try_from(self.offset).map_or(text.len(), |o| o.min(text.len()));
                (&text.as_bytes()[start..]).read(buffer)?
            }
        };
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// In lower-case hexadecimal digits.
pub(super) fn hex(hash: Sha256) -> String {
    crate::output::sums::hex(&hash.finalize())
}

/// Passes bytes through and takes their SHA-256.
pub(super) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R> HashingReader<R> {
    /// In lower-case hexadecimal digits.
    pub fn sha256(self) -> String {
        hex(self.hash)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Refuses a path that means something else to the next process: settings are saved, so that a run can be repeated.
///
/// # Errors
/// [`CorpusError::Passing`], which names the flag.
pub fn check_lasting(flag: &'static str, path: &Path) -> Result<(), CorpusError> {
    let passing = ["/dev/stdin", "/dev/fd", "/proc/self"];
    if passing.iter().any(|folder| path.starts_with(folder)) {
        return Err(CorpusError::Passing { flag, path: path.to_owned() });
    }
    Ok(())
}
