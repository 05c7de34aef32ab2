//! Text that a command reads: a file, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Done, Ending, failure};
use crate::corpus::{self, CorpusError, CorpusOptions, Lines, Texts, list};

/// Lines that are looked at together, and the bytes at which fewer are.
const LINES_AT_ONCE: usize = 2048;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Whether this names standard input.
pub fn is_stdin(path: Option<&Path>) -> bool {
    path.is_none_or(corpus::is_stdin)
}

/// The sentences of some files, or of standard input where none is named; and what messages call them.
pub fn texts(
    paths: &[PathBuf],
    flag: &'static str,
    options: &CorpusOptions,
) -> Result<(Texts, String), Ending> {
    let stdin = [PathBuf::from("-")];
    let listed = list(flag, if paths.is_empty() { &stdin } else { paths }, options)?;
    let name = listed.name();
    Ok((Texts::read(listed, options)?, name))
}

/// The lines of a file, or of standard input where there is none or it is `-`. `flag` is what took the path.
pub fn lines(path: Option<&Path>, flag: &str) -> Result<Lines<Box<dyn BufRead>>, Ending> {
    let Some(path) = path.filter(|path| !is_stdin(Some(path))) else {
        return Ok(Lines::new(Box::new(BufReader::new(io::stdin())), "standard input"));
    };
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| failure(format!("cannot read {name}: {e}")))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(failure(format!("{name} is a folder; {flag} takes a text file")));
    }
    Ok(Lines::new(Box::new(BufReader::new(file)), name))
}

/// Gives items, whose text has `bytes_of` bytes, to `look_at` a block at a time, so that memory does not grow
/// with the text.
pub fn in_blocks<T>(
    items: impl Iterator<Item = Result<T, CorpusError>>,
    bytes_of: impl Fn(&T) -> usize,
    mut look_at: impl FnMut(&[T]) -> Done,
) -> Done {
    let mut block = Vec::new();
    let mut bytes = 0;
    for item in items {
        let item = item?;
        bytes += bytes_of(&item);
        block.push(item);
        if block.len() >= LINES_AT_ONCE || bytes >= BYTES_AT_ONCE {
            look_at(&block)?;
            block.clear();
            bytes = 0;
        }
    }
    if block.is_empty() { Ok(()) } else { look_at(&block) }
}
