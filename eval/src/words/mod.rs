//! Sets of word pairs, scored as sentences are: a word is a short text. Found in a folder by their published forms,
//! whichever of them are there.
//!
//! | set | published as |
//! |---|---|
//! | Multi-SimLex, English (Vulić et al. 2020) | `translation.csv` and `scores.csv` of all languages, `ENG-SimLex.csv` with a column an annotator, or one table |
//! | SimLex-999 (Hill et al. 2015) | `SimLex-999.txt` with a header of ten columns, or word, word, score (`EN-SIMLEX-999.txt` of eval-word-vectors) |
//! | SimVerb-3500 (Gerz et al. 2016) | `SimVerb-3500.txt`: word, word, part of speech, score, relation, or word, word, score |

mod columns;
mod table;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::columns::Columns;
use self::table::Table;
use crate::task::ReadPairs;
use crate::{Error, Subset, Task, text};

/// A public set of word pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WordSet {
    /// Multi-SimLex's English pairs (Vulić et al. 2020).
    MultiSimLex,
    /// SimLex-999 (Hill et al. 2015).
    SimLex999,
    /// SimVerb-3500 (Gerz et al. 2016).
    SimVerb3500,
}

impl WordSet {
    /// All three, in the order of tables.
    pub const ALL: [Self; 3] = [Self::MultiSimLex, Self::SimLex999, Self::SimVerb3500];

    /// The key in JSON, the name of the task and the heading in tables.
    pub fn key(self) -> &'static str {
        match self {
            Self::MultiSimLex => "Multi-SimLex",
            Self::SimLex999 => "SimLex-999",
            Self::SimVerb3500 => "SimVerb-3500",
        }
    }

    /// The set that [`WordSet::key`] names.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.key() == key)
    }

    /// Pairs of the published set; scores on others compare with no published one.
    pub fn pairs(self) -> usize {
        match self {
            Self::MultiSimLex => 1888,
            Self::SimLex999 => 999,
            Self::SimVerb3500 => 3500,
        }
    }

    /// By a file's name without its ending: the set's name in whatever writing, with `en`, `eng` or `english` before
    /// or after it. Any other word in it would say that this is a part of the set, or another language's.
    fn of_name(stem: &str) -> Option<Self> {
        let stem = stem.to_ascii_lowercase();
        let words: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        // So is Multi-SimLex's file of a language called.
        if words == ["eng", "simlex"] {
            return Some(Self::MultiSimLex);
        }
        let name: String =
            words.into_iter().filter(|word| !["en", "eng", "english"].contains(word)).collect();
        match name.as_str() {
            "multisimlex" => Some(Self::MultiSimLex),
            "simlex999" => Some(Self::SimLex999),
            "simverb3500" | "simverb" => Some(Self::SimVerb3500),
            _ => None,
        }
    }
}

/// What is looked for, for messages.
const KNOWN: &str = "Multi-SimLex (multisimlex-en.tsv, ENG-SimLex.csv, or translation.csv with scores.csv), SimLex-999 \
                     (SimLex-999.txt, EN-SIMLEX-999.txt) and SimVerb-3500 (SimVerb-3500.txt, EN-SimVerb-3500.txt)";

/// How many folders deep files are looked for: an archive has its files in one.
const DEEPEST: usize = 2;

/// Files beyond which a folder is something else.
const MOST_FILES: usize = 10_000;

/// A folder that holds at least one of the sets.
#[derive(Debug, Clone, PartialEq)]
pub struct WordFolder {
    sets: Vec<(WordSet, Source)>,
    unknown: Vec<PathBuf>,
}

/// Where a set's pairs are.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    Table(PathBuf),
    /// Words and scores in the same order.
    Apart {
        words: PathBuf,
        scores: PathBuf,
    },
}

/// The halves of Multi-SimLex where words and scores are apart.
#[derive(Default)]
struct Halves {
    words: Option<PathBuf>,
    scores: Option<PathBuf>,
}

impl WordFolder {
    /// Finds the sets of a folder.
    ///
    /// # Errors
    /// No folder, none of the sets in it, one of them twice or by half.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(Error::NoWordFolder { folder: folder.to_owned(), known: KNOWN });
        }
        let mut files = Vec::new();
        list(folder, DEEPEST, &mut files)?;
        let mut found = Self { sets: Vec::new(), unknown: Vec::new() };
        let mut halves = Halves::default();
        for path in files {
            found.place(path, &mut halves)?;
        }
        match halves {
            Halves { words: Some(words), scores: Some(scores) } => {
                found.add(WordSet::MultiSimLex, Source::Apart { words, scores })?;
            }
            Halves { words: Some(words), scores: None } => return Err(missing_half(&words, "scores.csv")),
            Halves { words: None, scores: Some(scores) } => {
                return Err(missing_half(&scores, "translation.csv"));
            }
            Halves { words: None, scores: None } => {}
        }
        if found.sets.is_empty() {
            return Err(Error::NoWordSets { folder: folder.to_owned(), known: KNOWN });
        }
        found.sets.sort_by_key(|(set, _)| WordSet::ALL.iter().position(|other| other == set));
        Ok(found)
    }

    /// Which sets are there, in the order of [`WordSet::ALL`].
    pub fn sets(&self) -> impl Iterator<Item = WordSet> {
        self.sets.iter().map(|(set, _)| *set)
    }

    /// Files whose names sound like one of the sets and are none: other languages, parts, other scores.
    pub fn unknown(&self) -> &[PathBuf] {
        &self.unknown
    }

    /// Reads the sets that are there. Where a set has several parts of speech, these are its subsets.
    ///
    /// # Errors
    /// A file that is no text or no such table, with the line.
    pub fn tasks(&self) -> Result<Vec<Task>, Error> {
        self.sets.par_iter().map(|(set, source)| source.read(set.key())).collect()
    }

    /// Takes a file for what its name or else its header says it is.
    fn place(&mut self, path: PathBuf, halves: &mut Halves) -> Result<(), Error> {
        let name = |part: Option<&std::ffi::OsStr>| {
            part.and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_ascii_lowercase()
        };
        let (stem, ending) = (name(path.file_stem()), name(path.extension()));
        if !["txt", "tsv", "csv"].contains(&ending.as_str()) {
            return Ok(());
        }
        if let Some(set) = WordSet::of_name(&stem) {
            return self.add(set, Source::Table(path));
        }
        let sounds_known = stem.contains("simlex") || stem.contains("simverb");
        let header = Columns::named_in(&table::first_row(&path)?);
        match header {
            Some(Columns { eng: [true, true], .. }) => self.add(WordSet::MultiSimLex, Source::Table(path))?,
            Some(Columns { eng: [true, false], .. }) if stem.contains("translation") => {
                halves.words.get_or_insert(path);
            }
            Some(Columns { eng: [false, true], .. }) if stem.contains("score") => {
                halves.scores.get_or_insert(path);
            }
            Some(Columns { simlex_999: true, .. }) if !sounds_known || stem == "simlex" => {
                self.add(WordSet::SimLex999, Source::Table(path))?;
            }
            _ if sounds_known => self.unknown.push(path),
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, set: WordSet, source: Source) -> Result<(), Error> {
        if let Some((_, other)) = self.sets.iter().find(|(known, _)| *known == set) {
            let (first, second) = (other.path().to_owned(), source.path().to_owned());
            return Err(Error::WordSetTwice { set: set.key(), first, second });
        }
        self.sets.push((set, source));
        Ok(())
    }
}

fn missing_half(path: &Path, other: &str) -> Error {
    Error::MissingFile { data_set: WordSet::MultiSimLex.key(), path: path.with_file_name(other) }
}

/// All files of a folder and of those below it, in the order of their names.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || files.len() >= MOST_FILES {
            continue;
        }
        if path.is_file() {
            files.push(path);
        } else if path.is_dir() && depth > 1 {
            list(&path, depth - 1, files)?;
        }
    }
    Ok(())
}

impl Source {
    /// A path by which a message names it.
    fn path(&self) -> &Path {
        match self {
            Self::Table(path) | Self::Apart { words: path, .. } => path,
        }
    }

    fn read(&self, name: &str) -> Result<Task, Error> {
        let rows = match self {
            Self::Table(path) => Table::parse(&text::read(path)?, path)?.pairs()?,
            Self::Apart { words, scores } => {
                let [words, scores] = [words, scores].map(|path| Table::parse(&text::read(path)?, path));
                table::joined(&words?, &scores?)?
            }
        };
        if rows.is_empty() {
            return Err(Error::NoPairs { path: self.path().to_owned() });
        }
        let mut subsets: Vec<(&'static str, ReadPairs)> = Vec::new();
        for row in &rows {
            let part = row.part_of_speech.unwrap_or(name_of_all(name));
            let place = subsets.iter().position(|(known, _)| *known == part).unwrap_or_else(|| {
                subsets.push((part, ReadPairs::default()));
                subsets.len() - 1
            });
            subsets[place].1.push(Some(row.score), &row.words[0], &row.words[1]);
        }
        let subset = |(name, read): (&str, ReadPairs)| Subset { name: name.to_owned(), pairs: read.pairs };
        Ok(Task {
            name: name.to_owned(),
            subsets: subsets.into_iter().map(subset).collect(),
            without_gold: 0,
        })
    }
}

/// What the one subset of a set without parts of speech is called.
fn name_of_all(name: &str) -> &'static str {
    WordSet::from_key(name).map_or("all", WordSet::key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_known_by_their_published_names() {
        for (set, names) in [
            (
                WordSet::SimLex999,
                &["simlex-999", "en-simlex-999", "simlex999", "SimLex_999.en", "english simlex 999"]
                    as &[_],
            ),
            (WordSet::SimVerb3500, &["simverb-3500", "en-simverb-3500", "simverb", "SimVerb3500"]),
            (WordSet::MultiSimLex, &["multisimlex-en", "Multi-SimLex", "ENG-SimLex", "multi_simlex_eng"]),
        ] {
            names.iter().for_each(|name| assert_eq!(WordSet::of_name(name), Some(set), "{name}"));
        }
        for name in [
            "simlex-english",
            "rosimlex-999",
            "simlex999-hu",
            "simverb-500-dev",
            "fra-simlex",
            "multisimlex-fr",
        ] {
            assert_eq!(WordSet::of_name(name), None, "{name}");
        }
    }
}
