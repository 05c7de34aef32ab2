//! Encoding: once each, sorted by length; what encoders may return; cosines.

use std::cell::RefCell;
use std::convert::Infallible;

use crate::synthetic::bag_of_words;
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;
use sts_eval::{Embeddings, Error, PairFormat, Progress, Task, cosine, evaluate, evaluate_task};

fn tasks() -> Vec<Task> {
    let first = "1\tbb\taaaa\n2\tbb\tccc\n3\t\tbb\n";
    let second = "1\tccc\tdd\n0\taaaa\taaaa\n";
    [("first", first), ("second", second)]
        .map(|(name, text)| Task::from_text(name, text, PairFormat::Tsv).unwrap())
        .to_vec()
}

#[test]
fn each_distinct_sentence_is_encoded_once_the_longest_first() {
    let blocks = RefCell::new(Vec::new());
    let encoder = |sentences: &[&str]| {
        blocks.borrow_mut().push(sentences.join("|"));
        bag_of_words(sentences)
    };
    let mut steps = Vec::new();
    evaluate(&tasks(), &encoder, 2, |progress| steps.push(progress)).unwrap();
    assert_eq!(*blocks.borrow(), ["aaaa|ccc", "bb|dd", ""]);
    assert_eq!(steps, [2, 4, 5].map(|encoded| Progress { encoded, total: 5 }));
}

#[test]
fn scores_keep_gold_and_cosines_beside_each_other() {
    let scored = evaluate(&tasks(), &bag_of_words, 3, |_| ()).unwrap();
    assert_eq!(scored[0].gold, [1.0, 2.0, 3.0]);
    assert_eq!(scored[1].cosines[1], 1.0);
    assert_eq!(scored[0].cosines[2], 0.0, "the empty sentence has no words, a zero vector");
    assert_eq!(scored[0].subsets, [("first".to_owned(), 0..3)]);
    let tasks = tasks();
    let embeddings = Embeddings::encode(&tasks, &bag_of_words, 9, |_| ()).unwrap();
    assert_eq!(embeddings.rows().dim(), (5, 256));
    assert_eq!(embeddings.get("bb").unwrap(), bag_of_words(&["bb"]).unwrap().row(0));
    assert!(embeddings.get("elsewhere").is_none());
}

#[test]
fn a_model_that_gives_one_vector_has_an_undefined_score() {
    let constant = |sentences: &[&str]| Ok::<_, Infallible>(Array2::ones((sentences.len(), 3)));
    let scored = evaluate_task(&tasks()[0], &constant).unwrap();
    assert_eq!(scored.spearman(), None);
    assert_eq!(scored.score().spearman, None);
}

#[test]
fn what_an_encoder_must_not_return() {
    let shape = |make: fn(&[&str]) -> Array2<f32>| {
        let encoder = move |sentences: &[&str]| Ok::<_, Infallible>(make(sentences));
        evaluate(&tasks(), &encoder, 2, |_| ()).unwrap_err().to_string()
    };
    let message = shape(|_| Array2::zeros((7, 4)));
    assert!(message.contains("shape [7, 4] for 2 sentences; expected [2, width above 0]"), "{message}");
    let message = shape(|sentences| Array2::zeros((sentences.len(), 0)));
    assert!(message.contains("shape [2, 0]"), "{message}");
    let message = shape(|sentences| Array2::zeros((sentences.len(), sentences[0].len())));
    assert!(message.contains("shape [2, 2] for 2 sentences; expected [2, 4]"), "{message}");
    let message = shape(|sentences| {
        let bad = |sentence: &&str| if *sentence == "dd" { f32::NAN } else { 1.0 };
        Array2::from_shape_fn((sentences.len(), 2), |(row, _)| bad(&sentences[row]))
    });
    assert!(message.starts_with("the embedding of the sentence \"dd\" holds a NaN"), "{message}");
}

#[test]
fn an_encoders_own_error_is_passed_on() {
    let encoder = |_: &[&str]| Err::<Array2<f32>, _>(std::io::Error::other("out of memory"));
    let error = evaluate(&tasks(), &encoder, 2, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the encoder failed on a block of 2 sentences: out of memory");
    assert!(matches!(evaluate(&tasks(), &bag_of_words, 0, |_| ()), Err(Error::Setting { .. })));
    let twice = [tasks().remove(0), tasks().remove(0)];
    assert!(matches!(evaluate(&twice, &bag_of_words, 2, |_| ()), Err(Error::DuplicateTask { .. })));
}

#[test]
fn a_megabyte_of_sentence_is_named_by_its_start() {
    let long = "ж".repeat(500_000);
    let task = Task::from_text("long", &format!("1\t{long}\tb\n2\tb\tb\n"), PairFormat::Tsv).unwrap();
    assert!(evaluate_task(&task, &bag_of_words).is_ok());
    let broken =
        |sentences: &[&str]| Ok::<_, Infallible>(Array2::from_elem((sentences.len(), 2), f32::INFINITY));
    let message = evaluate_task(&task, &broken).unwrap_err().to_string();
    assert!(message.len() < 400 && message.contains("жж"), "{message}");
}

#[test]
fn cosines_at_the_edges_of_f32() {
    let (huge, tiny) = (array![f32::MAX, f32::MAX], array![f32::from_bits(1), 0.0]);
    assert_eq!(cosine(huge.view(), huge.view()), 1.0);
    assert_eq!(cosine(tiny.view(), tiny.view()), 1.0);
    assert!((cosine(huge.view(), tiny.view()) - 0.5f64.sqrt()).abs() < 1e-12);
    assert_eq!(cosine(huge.view(), Array1::zeros(2).view()), 0.0);
}

proptest! {
    #[test]
    fn cosines_are_bounded_symmetric_and_exactly_one_of_a_vector_itself(
        values in prop::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 1..40),
        scale in 0.01f32..100.0,
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
        let (a, b) = (Array1::from(a), Array1::from(b));
        let got = cosine(a.view(), b.view());
        prop_assert!((-1.0..=1.0).contains(&got));
        prop_assert_eq!(got, cosine(b.view(), a.view()));
        prop_assert!((cosine((&a * scale).view(), b.view()) - got).abs() < 1e-5);
        if a.iter().any(|value| *value != 0.0) {
            prop_assert_eq!(cosine(a.view(), a.view()), 1.0);
        }
    }

    #[test]
    fn the_block_size_changes_nothing(block_size in 1usize..9) {
        let whole = evaluate(&tasks(), &bag_of_words, 100, |_| ()).unwrap();
        prop_assert_eq!(evaluate(&tasks(), &bag_of_words, block_size, |_| ()).unwrap(), whole);
    }
}
