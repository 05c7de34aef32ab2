//! What a full report has beyond scores: against numpy and scipy, and whatever the number of threads.

use std::convert::Infallible;

use crate::synthetic::{Synthetic, bag_of_words, real_data};
use ndarray::Array2;
use serde_json::Value;
use sts_eval::details::positive_above;
use sts_eval::format::{Format, Html, Json, Latex, Markdown};
use sts_eval::{
    Bootstrap, Convention, Examined, Pair, Report, ScoredTask, SentEval, Subset, Task, compare, examine,
};

fn close(got: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() < tolerance, "{got} where numpy has {expected}");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn details_are_those_of_numpy_and_scipy() {
    let golden: Value = serde_json::from_str(include_str!("golden/details.json")).unwrap();
    let rows: Vec<Vec<f64>> = golden["embeddings"].as_array().unwrap().iter().map(numbers).collect();
    let pair = |(index, gold): (usize, f64)| Pair {
        first: (2 * index).to_string(),
        second: (2 * index + 1).to_string(),
        gold,
    };
    let pairs: Vec<Pair> = numbers(&golden["gold"]).into_iter().enumerate().map(pair).collect();
    let subsets = vec![Subset { name: "only".to_owned(), pairs }];
    let task = Task { name: "mine".to_owned(), subsets, without_gold: 0 };
    let encoder = |sentences: &[&str]| -> Result<Array2<f32>, Infallible> {
        let row =
            |sentence: &&str| rows[sentence.parse::<usize>().unwrap()].iter().map(|&value| value as f32);
        Ok(Array2::from_shape_vec((sentences.len(), 5), sentences.iter().flat_map(row).collect()).unwrap())
    };
    let examined = examine(std::slice::from_ref(&task), &encoder, 7, |_| ()).unwrap();
    let details = &examined.details[0];
    close(details.alignment.unwrap(), &golden["alignment"], 1e-12);
    close(details.uniformity.unwrap(), &golden["uniformity"], 1e-6);
    close(details.pearson.unwrap(), &golden["pearson"], 1e-9);
    for (got, name) in
        [(&details.similarities.euclidean, "euclidean"), (&details.similarities.manhattan, "manhattan")]
    {
        close(got.pearson.unwrap(), &golden[name]["pearson"], 1e-12);
        close(got.spearman.unwrap(), &golden[name]["spearman"], 1e-12);
    }
    assert_eq!(Some(details.positive_pairs as u64), golden["positive_pairs"].as_u64());
    assert_eq!((details.distinct_sentences, examined.width), (24, 5));
    let expected = golden["most_wrong"].as_array().unwrap();
    assert_eq!(details.most_wrong.len(), expected.len());
    for (wrong, index) in details.most_wrong.iter().zip(expected) {
        let index = index.as_u64().unwrap() as usize;
        assert_eq!(wrong.first, (2 * index).to_string());
        close(wrong.gold_percentile, &golden["gold_places"][index], 1e-9);
        close(wrong.cosine_percentile, &golden["cosine_places"][index], 1e-9);
    }
}

#[test]
fn a_pair_is_positive_above_four_of_five_or_four_fifths() {
    let above = |gold: &[f64]| positive_above(gold.iter().copied());
    assert_eq!((above(&[0.0, 5.0]), above(&[1.0, 4.86]), above(&[0.1, 1.0])), (4.0, 4.0, 0.8));
    assert_eq!(above(&[2.0, f64::NAN, 100.0]), 80.0);
}

/// All findings of two encoders on a task folder.
fn reports(data: &SentEval) -> (Vec<Report>, Vec<Vec<ScoredTask>>) {
    let tasks = data.tasks(Convention::MirrorBert).unwrap();
    let lengths = |sentences: &[&str]| -> Result<Array2<f32>, Infallible> {
        Ok(Array2::from_shape_fn((sentences.len(), 9), |(row, column)| {
            sentences[row].bytes().filter(|&byte| usize::from(byte) % 9 == column).count() as f32
        }))
    };
    let examined: [Examined; 2] =
        [examine(&tasks, &bag_of_words, 64, |_| ()).unwrap(), examine(&tasks, &lengths, 64, |_| ()).unwrap()];
    let mut reports: Vec<Report> = ["words", "letters & <more>"]
        .iter()
        .zip(&examined)
        .map(|(name, examined)| Report::full(*name, Convention::MirrorBert, examined, &data.missing()))
        .collect();
    let scored: Vec<Vec<ScoredTask>> = examined.into_iter().map(|examined| examined.scored).collect();
    let borrowed: Vec<&[ScoredTask]> = scored.iter().map(Vec::as_slice).collect();
    compare(&mut reports, &borrowed, &Bootstrap { resamples: 300, ..Bootstrap::default() }).unwrap();
    (reports, scored)
}

fn written(form: &dyn Format, reports: &[Report]) -> String {
    let mut output = Vec::new();
    form.write(reports, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn forms_have_the_same_bits_on_any_number_of_threads() {
    let synthetic = Synthetic::new();
    let data = SentEval::open(synthetic.parent()).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [&Html as &dyn Format, &Json, &Markdown, &Latex].map(|form| written(form, &reports(&data).0))
        })
    };
    let one = on(1);
    assert!(on(4) == one);
    assert!(one[0].contains("letters &amp; &lt;more&gt;"));
    let read: Vec<Report> = serde_json::from_str(&one[1]).unwrap();
    assert_eq!(written(&Markdown, &read), one[2], "reports can be read back");
    // Read back, a report lacks what JSON has not, and is a page all the same.
    assert!(written(&Html, &read).contains("id=\"intervals\""));
}

#[test]
fn intervals_and_differences_are_the_bootstraps_own() {
    let synthetic = Synthetic::new();
    let (reports, scored) = reports(&SentEval::open(synthetic.parent()).unwrap());
    let bootstrap = reports[1].bootstrap.unwrap();
    let (first, second) = (&scored[0], &scored[1]);
    assert_eq!(reports[0].average_interval, bootstrap.average_interval(first).unwrap());
    assert_eq!(reports[1].tasks.get("STS14").unwrap().interval, bootstrap.interval(&second[2]).unwrap());
    let [comparison] = reports[1].differences.as_slice() else { panic!("{:?}", reports[1].differences) };
    assert_eq!(comparison.against, "words");
    assert_eq!(comparison.average, bootstrap.average_difference(first, second).unwrap());
    assert_eq!(comparison.tasks.get("SICKR").unwrap(), &bootstrap.difference(&first[6], &second[6]).unwrap());
}

#[test]
fn a_page_of_the_real_sets_is_small() {
    let Some(folder) = real_data() else { return };
    let (reports, _) = reports(&SentEval::open(folder).unwrap());
    let page = written(&Html, &reports);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    for (name, task) in reports[0].tasks.iter() {
        let details = task.details.as_ref().unwrap();
        assert!(details.positive_pairs > 100 && details.alignment.is_some(), "{name}: {details:?}");
        let counted: u32 = details.density.cells().map(|(_, _, count)| count).sum();
        assert_eq!(counted as usize, task.pairs, "{name}");
    }
}
