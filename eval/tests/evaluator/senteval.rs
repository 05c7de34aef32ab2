//! The SentEval folder: what is read from it, and the scores of a bag of words on the real one beside scipy's.

use crate::synthetic::{Synthetic, bag_of_words, real_data};
use serde_json::Value;
use sts_eval::{Benchmark, Convention, Report, SEVEN, SentEval, Task, TaskScore, evaluate, evaluate_task};

/// Made by golden/make.py with readers and an encoder of its own.
fn golden() -> Value {
    serde_json::from_str(include_str!("golden/bag_of_words.json")).unwrap()
}

fn assert_score(name: &str, score: &TaskScore, expected: &Value) {
    let close = |got: Option<f64>, expected: &Value, what: &str| {
        let (got, expected) = (got.unwrap(), expected["spearman"].as_f64().unwrap());
        assert!((got - expected).abs() < 1e-9, "{what}: {got}, scipy has {expected}");
    };
    close(score.spearman, expected, name);
    assert_eq!(score.pairs as u64, expected["pairs"], "{name}");
    for (subset, score) in score.subsets.iter() {
        let expected = &expected["subsets"][subset];
        close(score.spearman, expected, subset);
        assert_eq!(score.pairs as u64, expected["pairs"], "{subset}");
    }
    let subsets = expected["subsets"].as_object().unwrap().len();
    assert_eq!(score.subsets.len(), if subsets > 1 { subsets } else { 0 }, "{name}");
}

#[test]
fn real_scores_are_those_of_scipy_in_both_conventions() {
    let Some(folder) = real_data() else { return };
    let (data, golden) = (SentEval::open(folder).unwrap(), golden());
    assert_eq!(data.missing(), []);
    let sick_pairs = [(Convention::MirrorBert, 4927), (Convention::SimCse, 9927)];
    for (convention, sick_pairs) in sick_pairs {
        let tasks = data.tasks(convention).unwrap();
        let pairs: Vec<usize> = tasks.iter().map(Task::pair_count).collect();
        assert_eq!(pairs, [3108, 1500, 3750, 3000, 1186, 1379, sick_pairs]);

        let scored = evaluate(&tasks, &bag_of_words, 512, |_| ()).unwrap();
        let report = Report::new("bag of words", convention, &scored, &data.missing());
        for (task, score) in scored.iter().zip(report.tasks.iter()) {
            let sick = &golden["SICKR"][convention.name()];
            let expected = if task.name == "SICKR" { sick } else { &golden["tasks"][&task.name] };
            assert_score(&task.name, score.1, expected);
            let pearson = task.pearson().unwrap() * 100.0;
            assert!((pearson - expected["pearson"].as_f64().unwrap()).abs() < 1e-9, "{}", task.name);
        }
        let average = golden["average"][convention.name()].as_f64().unwrap();
        assert!((report.average.unwrap() - average).abs() < 1e-9);
        assert!(report.is_complete());
    }
}

#[test]
fn the_real_development_split_of_sts_b_is_scored_alone() {
    let Some(folder) = real_data() else { return };
    let dev = SentEval::open(folder).unwrap().sts_b_dev().unwrap();
    let scored = evaluate_task(&dev, &bag_of_words).unwrap();
    assert_eq!((scored.name.as_str(), scored.gold.len()), ("STSB-dev", 1500));
    assert_score("STSB-dev", &scored.score(), &golden()["STSB-dev"]);
}

#[test]
fn the_folder_downstream_and_the_one_above_are_the_same() {
    let synthetic = Synthetic::new();
    let above = SentEval::open(synthetic.parent()).unwrap();
    let itself = SentEval::open(synthetic.path("")).unwrap();
    let tasks = above.tasks(Convention::MirrorBert).unwrap();
    assert_eq!(tasks, itself.tasks(Convention::MirrorBert).unwrap());
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, SEVEN.map(Benchmark::key));
}

#[test]
fn sentences_are_verbatim_and_pairs_without_a_score_are_left_out() {
    let synthetic = Synthetic::new();
    let input = "\"an open quote\tit\u{2019}s  two spaces \n\
                 never rated\tat all\n\
                 \u{85}next line\u{2028}\ta\"b\"\tan attribution\n";
    synthetic.write("STS/STS13-en-test/STS.input.FNWN.txt", input);
    synthetic.write("STS/STS13-en-test/STS.gs.FNWN.txt", "1.5\n \n0\n");
    let data = SentEval::open(synthetic.parent()).unwrap();
    let task = data.task(Benchmark::Sts13, Convention::MirrorBert).unwrap();
    let read: Vec<_> = task.subsets[0]
        .pairs
        .iter()
        .map(|pair| (pair.gold, pair.first.as_str(), pair.second.as_str()))
        .collect();
    let expected =
        [(1.5, "\"an open quote", "it\u{2019}s  two spaces "), (0.0, "\u{85}next line\u{2028}", "a\"b\"")];
    assert_eq!(read, expected);
    assert_eq!((task.subsets[0].name.as_str(), task.pair_count(), task.without_gold), ("FNWN", 8, 1));
}

#[test]
fn the_conventions_differ_in_sick_r_alone() {
    let synthetic = Synthetic::new();
    let data = SentEval::open(synthetic.parent()).unwrap();
    let [mirror_bert, simcse] = Convention::ALL.map(|convention| data.tasks(convention).unwrap());
    assert_eq!(mirror_bert[..6], simcse[..6]);
    let splits = |tasks: &[Task]| -> Vec<String> {
        tasks[6].subsets.iter().map(|subset| format!("{} {}", subset.name, subset.pairs.len())).collect()
    };
    assert_eq!(splits(&mirror_bert), ["test 2"]);
    assert_eq!(splits(&simcse), ["train 2", "trial 2", "test 2"]);
    assert_eq!(mirror_bert[6].subsets[0].pairs[0].gold, 4.5, "a carriage return is no part of a column");
    let genres: Vec<_> = mirror_bert[5].subsets.iter().map(|subset| subset.name.as_str()).collect();
    assert_eq!(genres, ["captions", "news"]);
}

#[test]
fn what_is_there_is_scored_and_the_rest_is_named() {
    let synthetic = Synthetic::new();
    for folder in ["STS/STS12-en-test", "STS/STSBenchmark", "SICK"] {
        synthetic.remove(folder);
    }
    let data = SentEval::open(synthetic.parent()).unwrap();
    assert_eq!(data.missing(), [Benchmark::Sts12, Benchmark::StsB, Benchmark::SickR]);
    let scored = evaluate(&data.tasks(Convention::MirrorBert).unwrap(), &bag_of_words, 2, |_| ()).unwrap();
    let report = Report::new("m", Convention::MirrorBert, &scored, &data.missing());
    assert_eq!(report.averaged, ["STS13", "STS14", "STS15", "STS16"]);
    assert_eq!(report.missing, ["STS12", "STSB", "SICKR"]);
    assert!(report.average.is_some() && !report.is_complete());
}
