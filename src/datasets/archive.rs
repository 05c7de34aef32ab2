//! The manifest's files out of a tar archive that may be hostile.
//!
//! Entries are read raw, one after another: the tar crate would otherwise take a long name's or an extended header's
//! claimed length of memory. No path of the archive is ever joined to a folder: what is written has the manifest's name.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::{Entry, EntryType, PaxExtensions};

use super::manifest::ManifestFile;
use super::{DatasetsError, Manifest};
use crate::output::OutputError;
use crate::output::sums::hex;

/// Of a tar header, and of the zeros that end an archive.
const BLOCK: usize = 512;
/// A name in an entry of its own is longer than 100 bytes, and hardly longer than a path can be.
const LONGEST_NAME: u64 = 1 << 16;
/// No data set of SentEval has a file, or all together the size, of so many bytes.
const LARGEST_ENTRY: u64 = 4 << 30;
const LARGEST_ARCHIVE: u64 = 16 << 30;

/// Writes the manifest's files that the archive (a tar, or a tar in gzip) holds below the empty folder `into`, each
/// checked, and refuses the archive unless all are there. `name` is what errors call it. Memory is a few buffers.
///
/// An entry that is no plain file or folder, that would leave its folder, that comes twice or is absurdly large is
/// refused by name, whether or not it belongs to the manifest. After an error, `into` may hold some files.
pub fn unpack(archive: impl Read, name: &str, manifest: &Manifest, into: &Path) -> Result<(), DatasetsError> {
    let damaged =
        |source| DatasetsError::Damaged { archive: name.to_owned(), after: "its start".to_owned(), source };
    let mut reader = BufReader::new(archive);
    let zipped = reader.fill_buf().map_err(damaged)?.starts_with(&[0x1f, 0x8b]);
    let mut plain: Box<dyn Read + '_> =
        if zipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    let mut start = Vec::new();
    (&mut plain).take(BLOCK as u64).read_to_end(&mut start).map_err(damaged)?;
    if !is_header(&start) {
        let start: String = String::from_utf8_lossy(&start).chars().take(40).collect();
        return Err(DatasetsError::NotAnArchive { archive: name.to_owned(), start });
    }
    let mut unpacking = Unpacking {
        archive: name,
        manifest,
        into,
        done: HashSet::new(),
        long_name: None,
        after: "its start".to_owned(),
        total: 0,
    };
    let mut archive = tar::Archive::new(Cursor::new(start).chain(plain));
    let entries = archive.entries().map_err(|source| unpacking.damaged(source))?;
    for entry in entries.raw(true) {
        let entry = entry.map_err(|source| unpacking.damaged(source))?;
        unpacking.take(entry)?;
    }
    unpacking.finish()
}

/// Whether a block is a tar header by its own checksum, or the zeros of an empty archive.
fn is_header(block: &[u8]) -> bool {
    let Ok(bytes) = <&[u8; BLOCK]>::try_from(block) else { return false };
    let header = tar::Header::from_byte_slice(bytes);
    let checksum = 148..156;
    let unsigned = |(i, &byte): (usize, &u8)| u32::from(if checksum.contains(&i) { b' ' } else { byte });
    let sum: u32 = bytes.iter().enumerate().map(unsigned).sum();
    header.cksum().is_ok_and(|claimed| claimed == sum) || bytes.iter().all(|&byte| byte == 0)
}

struct Unpacking<'a> {
    archive: &'a str,
    manifest: &'a Manifest,
    into: &'a Path,
    /// Paths of the manifest that were written.
    done: HashSet<&'a str>,
    /// Of the next entry, where an extension entry gave it.
    long_name: Option<Vec<u8>>,
    /// The last entry that was there, for errors.
    after: String,
    /// Bytes that all entries claim.
    total: u64,
}

impl<'a> Unpacking<'a> {
    fn take(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), DatasetsError> {
        let kind = entry.header().entry_type();
        let size = entry.header().entry_size().map_err(|source| self.damaged(source))?;
        if is_extension(kind) {
            return self.take_extension(&mut entry, kind, size);
        }
        let name = self.long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let shown = shown(&name);
        let refuse =
            |why| DatasetsError::Entry { archive: self.archive.to_owned(), entry: shown.clone(), why };
        let segments = segments(&name).map_err(refuse)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            EntryType::Symlink | EntryType::Link => return Err(refuse("is a link")),
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Err(refuse("is a device")),
            _ => return Err(refuse("is neither a file nor a folder")),
        }
        self.total = self.total.saturating_add(size);
        if size > LARGEST_ENTRY || self.total > LARGEST_ARCHIVE {
            return Err(refuse("is absurdly large"));
        }
        let wanted = self.manifest.find(&segments).filter(|_| kind != EntryType::Directory);
        if let Some(file) = wanted {
            if !self.done.insert(&file.path) {
                return Err(refuse("comes twice"));
            }
            self.write(file, size, &mut entry)?;
        }
        self.after = format!("its entry {shown:?}");
        Ok(())
    }

    /// Reads an extension entry, which describes the next one: only the name matters here.
    fn take_extension(
        &mut self,
        entry: &mut impl Read,
        kind: EntryType,
        size: u64,
    ) -> Result<(), DatasetsError> {
        let refuse = |why| DatasetsError::Entry {
            archive: self.archive.to_owned(),
            entry: "(a header of the next entry)".to_owned(),
            why,
        };
        if size > LONGEST_NAME {
            return Err(refuse("is absurdly large"));
        }
        let mut bytes = Vec::new();
        entry.take(size).read_to_end(&mut bytes).map_err(|source| self.damaged(source))?;
        match kind {
            EntryType::GNULongName => {
                bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
                self.long_name = Some(bytes);
            }
            EntryType::XHeader => {
                for extension in PaxExtensions::new(&bytes) {
                    let extension = extension.map_err(|source| self.damaged(source))?;
                    match extension.key_bytes() {
                        b"path" => self.long_name = Some(extension.value_bytes().to_owned()),
                        // It would move all that follows, and no file here is too large for a plain header.
                        b"size" => return Err(refuse("gives the next one another size")),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&self, file: &'a ManifestFile, size: u64, entry: &mut impl Read) -> Result<(), DatasetsError> {
        let (archive, name) = (self.archive.to_owned(), file.path.clone());
        if size != file.bytes {
            return Err(DatasetsError::Length { archive, file: name, expected: file.bytes, got: size });
        }
        let path = self.into.join(&file.path);
        let failed = |source| OutputError::Write { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(self.into)).map_err(failed)?;
        let mut output = File::create_new(&path).map_err(failed)?;
        let (mut sum, mut left, mut buffer) = (Sha256::new(), size, vec![0; 1 << 16]);
        while left > 0 {
            let count = match entry.read(&mut buffer) {
                Ok(0) => return Err(self.damaged(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(source) => return Err(self.damaged(source)),
            };
            sum.update(&buffer[..count]);
            output.write_all(&buffer[..count]).map_err(failed)?;
            left = left.saturating_sub(count as u64);
        }
        output.sync_all().map_err(failed)?;
        let got = hex(&sum.finalize());
        if got != file.sha256 {
            return Err(DatasetsError::Checksum { archive, file: name, expected: file.sha256.clone(), got });
        }
        Ok(())
    }

    fn damaged(&self, source: io::Error) -> DatasetsError {
        DatasetsError::Damaged { archive: self.archive.to_owned(), after: self.after.clone(), source }
    }

    fn finish(self) -> Result<(), DatasetsError> {
        let mut lacking = self.manifest.files.iter().filter(|file| !self.done.contains(file.path.as_str()));
        let Some(first) = lacking.next() else { return Ok(()) };
        Err(DatasetsError::Lacks {
            archive: self.archive.to_owned(),
            count: 1 + lacking.count(),
            total: self.manifest.files.len(),
            first: first.path.clone(),
        })
    }
}

/// Entries that describe the next one, or all that follow.
fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
    )
}

/// The segments of an entry's path, or why it is refused.
fn segments(name: &[u8]) -> Result<Vec<String>, &'static str> {
    let text = String::from_utf8_lossy(name);
    if text.starts_with('/') || text.starts_with('\\') || text.get(1..2) == Some(":") {
        return Err("has an absolute path");
    }
    if text.contains('\0') || text.contains('\\') {
        return Err("has an invalid path");
    }
    let segments: Vec<String> =
        text.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect();
    match segments.iter().any(|part| part == "..") {
        true => Err("would leave its folder"),
        false => Ok(segments),
    }
}

/// A name as error messages show it.
fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 100;
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
