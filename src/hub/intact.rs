//! Whether a file in the cache, which any program may have written, is intact.
//!
//! What has the sum that its blob is named after is whole. Of the rest, what has a structure must be complete by that:
//! hashing weights with every start would take seconds.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::IgnoredAny;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::output::sums::hex;

/// What can be known of a file without asking the hub.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    Sound,
    /// It does not have the sum that it is named after, which a mirror may have made in its own way.
    Doubtful,
    /// It cannot be what it should be.
    Damaged(&'static str),
}

/// Above this a file is weights, and not read.
const SMALL: u64 = 32 << 20;
/// Of a safetensors header, as the format has it.
const LONGEST_HEADER: u64 = 100 << 20;
/// The end of a zip archive: its last record with the longest comment.
const ZIP_END: u64 = 22 + (1 << 16);

/// Judges a file that can be read; one that cannot is for its reader to complain of.
pub(super) fn judge(path: &Path) -> Soundness {
    judge_open(path).unwrap_or(Soundness::Sound)
}

fn judge_open(path: &Path) -> std::io::Result<Soundness> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sum = blob_name(path);
    if length > SMALL || name.ends_with(".safetensors") || name.ends_with(".bin") {
        return structure(&mut file, &name, length);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let is_json = name.ends_with(".json");
    let named = sum.is_some_and(|sum| has_sum(&bytes, &sum));
    Ok(match named {
        true => Soundness::Sound,
        false if bytes.is_empty() => Soundness::Damaged("it is empty"),
        false if is_json && !is_json_text(&bytes) => Soundness::Damaged("it is not valid JSON"),
        false if is_json || blob_name(path).is_none() => Soundness::Sound,
        false => Soundness::Doubtful,
    })
}

/// The sum that the blob behind a link is named after.
fn blob_name(path: &Path) -> Option<String> {
    let blob = std::fs::read_link(path).ok()?;
    let name = blob.file_name()?.to_str()?.to_ascii_lowercase();
    let is_sum = matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then_some(name)
}

/// The hub names files by git's sum and large ones by SHA-256; some mirrors by SHA-1.
fn has_sum(bytes: &[u8], sum: &str) -> bool {
    if sum.len() == 64 {
        return hex(&Sha256::digest(bytes)) == sum;
    }
    let git = Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize();
    hex(&git) == sum || hex(&Sha1::digest(bytes)) == sum
}

fn is_json_text(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Whether weights end where their header claims.
fn structure(file: &mut File, name: &str, length: u64) -> std::io::Result<Soundness> {
    if length == 0 {
        return Ok(Soundness::Damaged("it is empty"));
    }
    let is_whole = match name.rsplit('.').next() {
        Some("safetensors") => safetensors_length(file)?.is_none_or(|stated| stated == length),
        Some("bin") => !begins_as_zip(file)? || ends_as_zip(file, length)?,
        _ => true,
    };
    Ok(if is_whole { Soundness::Sound } else { Soundness::Damaged("its end is missing") })
}

/// The length that a safetensors header states; none where it states none, which its reader will find.
fn safetensors_length(file: &mut File) -> std::io::Result<Option<u64>> {
    let mut length = [0; 8];
    if file.read_exact(&mut length).is_err() {
        return Ok(Some(8));
    }
    let header = u64::from_le_bytes(length);
    if header > LONGEST_HEADER {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(header).read_to_end(&mut text)?;
    if (text.len() as u64) < header {
        return Ok(Some(8 + header));
    }
    let json: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(&text) {
        Ok(json) => json,
        Err(_) => return Ok(None),
    };
    let ends = json.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    Ok(ends.max().and_then(|end| (8 + header).checked_add(end)))
}

fn begins_as_zip(file: &mut File) -> std::io::Result<bool> {
    let mut magic = [0; 4];
    Ok(file.read_exact(&mut magic).is_ok() && &magic == b"PK\x03\x04")
}

fn ends_as_zip(file: &mut File, length: u64) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(length.saturating_sub(ZIP_END)))?;
    let mut end = Vec::new();
    file.take(ZIP_END).read_to_end(&mut end)?;
    Ok(end.windows(4).any(|bytes| bytes == b"PK\x05\x06"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// A file in a cache whose blob has this name.
    fn judged(name: &str, blob: Option<&str>, bytes: &[u8]) -> Soundness {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        match blob {
            None => std::fs::write(&path, bytes).unwrap(),
            Some(blob) => {
                std::fs::create_dir(folder.path().join("blobs")).unwrap();
                std::fs::write(folder.path().join("blobs").join(blob), bytes).unwrap();
                std::os::unix::fs::symlink(format!("blobs/{blob}"), &path).unwrap();
            }
        }
        judge(&path)
    }

    fn safetensors() -> Vec<u8> {
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat()
    }

    #[test]
    fn a_file_with_the_sum_of_its_name_is_sound() {
        // From `git hash-object`.
        let git = "7d59d1552e25259c1631f1f59a861832f3137588";
        assert_eq!(judged("vocab.txt", Some(git), b"[PAD]\n"), Soundness::Sound);
        assert_eq!(judged("vocab.txt", Some(&"0".repeat(40)), b"[PAD]\n"), Soundness::Doubtful);
        for sum in [
            hex(&Sha1::digest(b"blob 6\0[PAD]\n")),
            hex(&Sha1::digest(b"[PAD]\n")),
            hex(&Sha256::digest(b"[PAD]\n")),
        ] {
            assert_eq!(judged("vocab.txt", Some(&sum), b"[PAD]\n"), Soundness::Sound);
            assert_eq!(judged("vocab.txt", Some(&sum), b"[PA"), Soundness::Doubtful);
            assert_eq!(judged("vocab.txt", Some(&sum), b""), Soundness::Damaged("it is empty"));
        }
        // What git makes of nothing; the file is as it should be.
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(judged("merges.txt", Some(empty), b""), Soundness::Sound);
    }

    #[test]
    fn what_is_cut_off_is_damaged() {
        let whole = safetensors();
        assert_eq!(judged("model.safetensors", None, &whole), Soundness::Sound);
        for length in 0..whole.len() {
            assert!(
                matches!(judged("m.safetensors", None, &whole[..length]), Soundness::Damaged(_)),
                "{length}"
            );
        }
        let json = br#"{"a": [1, 2], "b": {"c": null}}"#;
        assert_eq!(judged("config.json", None, json), Soundness::Sound);
        assert_eq!(judged("config.json", None, &[b"\xef\xbb\xbf", &json[..]].concat()), Soundness::Sound);
        for length in 0..json.len() {
            assert!(
                matches!(judged("config.json", None, &json[..length]), Soundness::Damaged(_)),
                "{length}"
            );
        }
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("a/data.pkl", zip::write::SimpleFileOptions::default()).unwrap();
        let zip = zip.finish().unwrap().into_inner();
        assert_eq!(judged("pytorch_model.bin", None, &zip), Soundness::Sound);
        assert!(matches!(judged("pytorch_model.bin", None, &zip[..zip.len() - 30]), Soundness::Damaged(_)));
    }
}
