//! The data sets that models are scored on.

use sts_eval::{Convention, SentEval, Task, UserSet};

use super::{folder_with, is_a_sentence, seeds_of, write};

const YEAR: [&str; 5] = ["MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"];

fn senteval() -> Vec<(String, Vec<u8>)> {
    let sts_b = b"main-captions\tMSRvid\t2012test\t0001\t2.500\tA girl sits.\tA child \"sits\".\n\
        main-news\tMSRpar\t2012test\t0002\t0.0\tIt rains.\tA dog runs.\n";
    let sick = b"pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n\
        6\tThere is no boy\tA group of kids\t3.3\tN\n7\tA man stands\tA man sits\t1\tN\n";
    let mut files = Vec::new();
    for subset in YEAR {
        let input = "A girl sits.\tA child sits.\nIt rains, 北京.\tA dog runs.\n";
        files.push((format!("STS/STS12-en-test/STS.input.{subset}.txt"), input.into()));
        files.push((format!("STS/STS12-en-test/STS.gs.{subset}.txt"), b"4.250\n0.5\n".to_vec()));
    }
    for name in ["STS/STSBenchmark/sts-test.csv", "STS/STSBenchmark/sts-dev.csv"] {
        files.push((name.to_owned(), sts_b.to_vec()));
    }
    for name in ["SICK_test_annotated.txt", "SICK_train.txt", "SICK_trial.txt"] {
        files.push((format!("SICK/{name}"), sick.to_vec()));
    }
    files
}

fn check(task: Result<Task, sts_eval::Error>) {
    match task {
        Ok(task) => assert!(task.pairs().all(|pair| pair.gold.is_finite()) && task.pair_count() > 0),
        Err(error) => is_a_sentence(error),
    }
}

pub fn read_senteval(bytes: &[u8]) {
    let files = senteval();
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
    let Some(folder) = folder_with(&files, bytes) else { return };
    let data = SentEval::open(folder.path()).unwrap();
    for benchmark in data.present() {
        check(data.task(benchmark, Convention::MirrorBert));
        check(data.task(benchmark, Convention::SimCse));
    }
    check(data.sts_b_dev());
}

pub fn senteval_seeds() -> Vec<Vec<u8>> {
    let files = senteval();
    seeds_of(&files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect::<Vec<_>>())
}

const FORMATS: [&str; 3] = ["tsv", "csv", "jsonl"];

pub fn read_pairs(bytes: &[u8]) {
    let Some((&format, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("pairs.{}", FORMATS[usize::from(format) % FORMATS.len()]));
    write(&path, content);
    check(UserSet { name: "mine".to_owned(), path }.read());
}

pub fn pair_seeds() -> Vec<Vec<u8>> {
    let tsv = "score\tsentence1\tsentence2\n4.5\tA girl sits.\tA child sits.\n0\tIt rains.\t犬が走る\n";
    let csv = "sentence1,score,sentence2\n\"A girl, \"\"sits\"\".\",4.5,A child sits.\n\nIt rains.,0,x\n";
    let jsonl = "{\"score\": 4.5, \"sentence1\": \"a\", \"sentence2\": \"b\\u00e9\", \"more\": [1, {}]}\n";
    [tsv, csv, jsonl].iter().enumerate().map(|(i, text)| [&[i as u8], text.as_bytes()].concat()).collect()
}
