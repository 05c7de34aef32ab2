//! STS-B: tab-separated in spite of its name, with no quoting: genre, file, year, id, score, sentence, sentence
//! and at times two columns of sources.

use std::path::Path;

use super::read_member;
use crate::task::ReadPairs;
use crate::{Error, Subset, Task, text};

const GENRE: usize = 0;
const SCORE: usize = 4;
const FIRST: usize = 5;
const SECOND: usize = 6;

/// Reads a split; its genres (captions, forums, news) become the subsets, in order of appearance.
pub(super) fn read(name: &str, path: &Path) -> Result<Task, Error> {
    let split = read_member("STSB", path)?;
    let mut genres: Vec<(&str, ReadPairs)> = Vec::new();
    for (line, row) in text::numbered_lines(&split) {
        let columns: Vec<&str> = row.split('\t').collect();
        if columns.len() <= SECOND {
            let needed = "at least seven are needed: genre, file, year, id, score, sentence, sentence";
            return Err(Error::Columns { path: path.to_owned(), line, found: columns.len(), needed });
        }
        let genre = genres.iter().position(|(genre, _)| *genre == columns[GENRE]).unwrap_or_else(|| {
            genres.push((columns[GENRE], ReadPairs::default()));
            genres.len() - 1
        });
        genres[genre].1.push(text::gold(path, line, columns[SCORE])?, columns[FIRST], columns[SECOND]);
    }

    let without_gold = genres.iter().map(|(_, read)| read.without_gold).sum();
    let subsets = genres
        .into_iter()
        .map(|(genre, read)| Subset { name: genre.to_owned(), pairs: read.pairs })
        .collect();
    Ok(Task { name: name.to_owned(), subsets, without_gold })
}
