//! SICK-R: tab-separated files with a header, one for each split.

use std::path::Path;

use super::read_member;
use crate::task::ReadPairs;
use crate::{Benchmark, Convention, Error, Subset, Task, text};

const COLUMNS: &str = "sentence_A, sentence_B, relatedness_score";

pub(super) fn read(folder: &Path, convention: Convention) -> Result<Task, Error> {
    let splits: &[(&str, &str)] = match convention {
        Convention::MirrorBert => &[("test", "SICK_test_annotated.txt")],
        Convention::SimCse => {
            &[("train", "SICK_train.txt"), ("trial", "SICK_trial.txt"), ("test", "SICK_test_annotated.txt")]
        }
    };
    let mut task = Task { name: Benchmark::SickR.key().to_owned(), subsets: Vec::new(), without_gold: 0 };
    for (split, file) in splits {
        let read = read_split(&folder.join(file))?;
        task.without_gold += read.without_gold;
        task.subsets.push(Subset { name: (*split).to_owned(), pairs: read.pairs });
    }
    Ok(task)
}

fn read_split(path: &Path) -> Result<ReadPairs, Error> {
    let split = read_member(Benchmark::SickR.key(), path)?;
    let mut lines = text::numbered_lines(&split);
    let header: Vec<&str> = lines.next().map(|(_, line)| line.split('\t').collect()).unwrap_or_default();
    let column = |name: &'static str| {
        let found = header.iter().position(|column| *column == name);
        found.ok_or_else(|| Error::Header { path: path.to_owned(), column: name, known: COLUMNS })
    };
    let (first, second, score) = (column("sentence_A")?, column("sentence_B")?, column("relatedness_score")?);

    let mut read = ReadPairs::default();
    for (line, row) in lines {
        let columns: Vec<&str> = row.split('\t').collect();
        if columns.len() != header.len() {
            let needed = "the header has another number";
            return Err(Error::Columns { path: path.to_owned(), line, found: columns.len(), needed });
        }
        read.push(text::gold(path, line, columns[score])?, columns[first], columns[second]);
    }
    Ok(read)
}
