//! The files that belong to the data sets, with their sizes and SHA-256.

use std::io;
use std::path::Path;

use crate::output::sums::sha256_of;

const STS: &str = include_str!("../../data/sts.manifest");

/// A list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// In the order of the list.
    pub files: Vec<ManifestFile>,
}

/// A file that belongs to a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// The data set's key, such as STS12.
    pub set: String,
    /// The file's length.
    pub bytes: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
    /// Below the folder of all data sets, with slashes.
    pub path: String,
}

/// How a file on disk compares with what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Complete,
    Altered,
    Missing,
}

impl Manifest {
    /// The files of STS12–16, STS-B and SICK-R that the evaluator reads.
    pub fn sts() -> Manifest {
        // A damaged manifest would be a damaged program; the tests read it.
        Manifest::parse(STS).unwrap_or(Manifest { files: Vec::new() })
    }

    /// Reads lines of set, bytes, SHA-256 and path, separated by tabs; a line that begins with # is a comment.
    pub fn parse(text: &str) -> Option<Manifest> {
        let files = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let mut columns = line.split('\t');
            let mut next = || columns.next().map(str::to_owned);
            let (set, bytes) = (next()?, next()?.parse().ok()?);
            Some(ManifestFile { set, bytes, sha256: next()?, path: next()? })
        });
        Some(Manifest { files: files.collect::<Option<_>>()? })
    }

    /// The data sets' keys, in order.
    pub fn sets(&self) -> Vec<&str> {
        let mut sets: Vec<&str> = self.files.iter().map(|file| file.set.as_str()).collect();
        sets.dedup();
        sets
    }

    /// The file that an entry of an archive is, whatever folders the archive has above it.
    pub(super) fn find(&self, segments: &[String]) -> Option<&ManifestFile> {
        self.files.iter().find(|file| {
            let path: Vec<&str> = file.path.split('/').collect();
            segments.len() >= path.len() && segments[segments.len() - path.len()..] == path
        })
    }
}

impl ManifestFile {
    /// Compares the file below `folder`. A file of another length is not read.
    pub(super) fn state(&self, folder: &Path) -> io::Result<FileState> {
        let path = folder.join(&self.path);
        let metadata = match path.metadata() {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(FileState::Missing);
            }
            metadata => metadata?,
        };
        let same = metadata.is_file() && metadata.len() == self.bytes && sha256_of(&path)? == self.sha256;
        Ok(if same { FileState::Complete } else { FileState::Altered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_of_the_program_is_whole() {
        let manifest = Manifest::sts();
        assert_eq!(manifest.sets(), ["STS12", "STS13", "STS14", "STS15", "STS16", "STSB", "SICKR"]);
        assert_eq!(manifest.files.len(), 53);
        for file in &manifest.files {
            assert!(file.bytes > 0 && file.sha256.len() == 64, "{file:?}");
            let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
            assert!(file.path.split('/').all(plain), "{file:?}");
            let parts: Vec<String> = file.path.split('/').map(str::to_owned).collect();
            assert_eq!(manifest.find(&parts), Some(file));
            let below: Vec<String> = [&["senteval".to_owned()], &parts[..]].concat();
            assert_eq!(manifest.find(&below), Some(file));
            assert_eq!(manifest.find(&parts[1..]), None);
        }
    }

    #[test]
    fn what_is_no_manifest_is_none() {
        for text in ["STS12", "STS12\tmany\tab\tx", "STS12\t1\tab", ""] {
            assert!(Manifest::parse(text).is_none_or(|manifest| manifest.files.is_empty()), "{text:?}");
        }
    }
}
