//! STS12 to STS16: two parallel files for each subset, `STS.input.X.txt` (two sentences and a tab between them)
//! and `STS.gs.X.txt` (a score, or a blank line for a pair that was never rated).

use std::path::Path;

use super::read_member;
use crate::task::ReadPairs;
use crate::{Benchmark, Error, Subset, Task, text};

/// The subsets that are scored, as SentEval has them. SMT of STS13 is not among them: its sentences are not
/// free to distribute, so the folder holds only its scores.
fn subset_names(year: Benchmark) -> &'static [&'static str] {
    match year {
        Benchmark::Sts12 => &["MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"],
        Benchmark::Sts13 => &["FNWN", "headlines", "OnWN"],
        Benchmark::Sts14 => &["deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"],
        Benchmark::Sts15 => &["answers-forums", "answers-students", "belief", "headlines", "images"],
        Benchmark::Sts16 => &["answer-answer", "headlines", "plagiarism", "postediting", "question-question"],
        Benchmark::StsB | Benchmark::SickR => &[],
    }
}

pub(super) fn read(year: Benchmark, folder: &Path) -> Result<Task, Error> {
    let mut task = Task { name: year.key().to_owned(), subsets: Vec::new(), without_gold: 0 };
    for name in subset_names(year) {
        let input = folder.join(format!("STS.input.{name}.txt"));
        let gold = folder.join(format!("STS.gs.{name}.txt"));
        let read = read_subset(year.key(), &input, &gold)?;
        task.without_gold += read.without_gold;
        task.subsets.push(Subset { name: (*name).to_owned(), pairs: read.pairs });
    }
    Ok(task)
}

fn read_subset(data_set: &'static str, input: &Path, gold: &Path) -> Result<ReadPairs, Error> {
    let input_text = read_member(data_set, input)?;
    let gold_text = read_member(data_set, gold)?;
    let (input_lines, gold_lines) = (input_text.lines().count(), gold_text.lines().count());
    if input_lines != gold_lines {
        let (input, gold) = (input.to_owned(), gold.to_owned());
        return Err(Error::LineCounts { input, input_lines, gold, gold_lines });
    }

    let mut read = ReadPairs::default();
    for ((line, sentences), score) in text::numbered_lines(&input_text).zip(gold_text.lines()) {
        // Columns after the second (sources, in some releases of STS16) do not count, and quotes are text.
        let mut columns = sentences.split('\t');
        let (Some(first), Some(second)) = (columns.next(), columns.next()) else {
            let needed = "two are needed: sentence, tab, sentence";
            return Err(Error::Columns { path: input.to_owned(), line, found: 1, needed });
        };
        read.push(text::gold(gold, line, score)?, first, second);
    }
    Ok(read)
}
