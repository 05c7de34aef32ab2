//! Epochs: full batches of different sentences, repeatable from any step.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_epoch_in_the_pool_has_as_many_batches_as_can_be(
        occurrences in proptest::collection::vec(1usize..12, 4..40), batch_size in 2usize..5, seed in any::<u64>(),
    ) {
        let n: usize = occurrences.iter().sum();
        prop_assume!(n <= deal::LOOKAHEAD * batch_size);
        let corpus = repeating(&occurrences);
        let (batches, summary) = deal(&corpus, batch_size, seed);
        check_epoch(&corpus, batch_size, &batches, summary);
        // b batches can hold at most min(occurrences, b) of a sentence.
        let usable = |b: usize| occurrences.iter().map(|&count| count.min(b)).sum::<usize>();
        let most = (0..=n).rev().find(|&b| usable(b) >= b * batch_size).unwrap();
        prop_assert_eq!(batches.len(), most);
    }

    #[test]
    fn a_longer_epoch_loses_none_where_no_sentence_is_too_frequent(
        occurrences in proptest::collection::vec(1usize..deal::LOOKAHEAD, 10..60), seed in any::<u64>(),
    ) {
        let batch_size = 3;
        let corpus = repeating(&occurrences);
        let too_frequent = occurrences.iter().any(|&count| count as u64 > corpus.steps_per_epoch(batch_size));
        prop_assume!(!too_frequent);
        let (batches, summary) = deal(&corpus, batch_size, seed);
        check_epoch(&corpus, batch_size, &batches, summary);
        prop_assert_eq!(summary.steps, corpus.steps_per_epoch(batch_size));
        // Less than a batch is left; two of one sentence may be among it, and count as surplus.
        prop_assert!(summary.partial + summary.surplus < batch_size as u64);
    }

    #[test]
    fn a_sentence_that_is_most_of_the_corpus_is_left_out_and_counted(
        frequent in 300usize..900, others in 30usize..300, seed in any::<u64>(),
    ) {
        let mut occurrences = vec![1; others];
        occurrences.push(frequent);
        let corpus = repeating(&occurrences);
        let (batches, summary) = deal(&corpus, 4, seed);
        check_epoch(&corpus, 4, &batches, summary);
        // At best each batch holds it once; the pool sees too little of the epoch to do so at the start.
        prop_assert!(batches.len() >= others / 4);
        prop_assert!(summary.surplus > 0);
    }

    #[test]
    fn a_resumed_epoch_goes_on_as_it_would_have(
        occurrences in proptest::collection::vec(1usize..6, 60..200), seed in any::<u64>(), part in 0.0..1.0f64,
    ) {
        let corpus = repeating(&occurrences);
        let whole: Vec<Batch> = corpus.epoch(&batching(4, seed), 3).unwrap().map(Result::unwrap).collect();
        let step = (whole.len() as f64 * part) as usize;
        let mut resumed = corpus.epoch(&batching(4, seed), 3).unwrap();
        resumed.skip_to(step as u64).unwrap();
        let rest: Vec<Batch> = resumed.by_ref().map(Result::unwrap).collect();
        prop_assert_eq!(&rest[..], &whole[step..]);
        resumed.skip_to(0).unwrap();
        prop_assert_eq!(resumed.next().unwrap().unwrap(), whole[0].clone());
        resumed.skip_to(whole.len() as u64).unwrap();
        prop_assert!(resumed.next().is_none());
        prop_assert!(resumed.skip_to(whole.len() as u64 + 1).is_err());
    }

    #[test]
    fn pairs_of_a_batch_share_no_text(
        pairs in proptest::collection::vec((0u8..40, 0u8..40), 60..300), seed in any::<u64>(),
    ) {
        let text: String = pairs.iter().map(|(a, b)| format!("text {a}\ttext {b}\n")).collect();
        let corpus = open(text.as_bytes(), Format::Pairs).unwrap();
        let mut batches = corpus.epoch(&batching(3, seed), 0).unwrap();
        let mut lines = HashSet::new();
        for batch in batches.by_ref().map(Result::unwrap) {
            let mut texts = HashSet::new();
            for i in 0..3 {
                let (a, b) = pairs[batch.lines[i] as usize - 1];
                prop_assert_eq!(&batch.view1[i], &format!("text {a}"));
                prop_assert_eq!(&batch.view2[i], &format!("text {b}"));
                prop_assert!(lines.insert(batch.lines[i]));
                prop_assert!([a, b].iter().all(|text| !texts.contains(text)));
                texts.extend([a, b]);
            }
        }
        let summary = batches.summary().unwrap();
        prop_assert_eq!(summary.used + summary.partial + summary.surplus, corpus.len());
        // Repeats of 40 texts in up to 300 pairs cost some batches at the end at most.
        prop_assert!(summary.steps * 10 >= corpus.steps_per_epoch(3) * 8, "{:?} of {}", summary, corpus.len());
    }
}

#[test]
fn batches_are_a_function_of_seed_epoch_and_step() {
    let text: String = (0..500).map(|i| format!("sentence number {i} is long enough to mask\n")).collect();
    let corpus = open(text.as_bytes(), Format::Sentences).unwrap();
    let epoch = |seed, epoch| -> Vec<Batch> {
        corpus.epoch(&batching(10, seed), epoch).unwrap().map(Result::unwrap).collect()
    };
    let first = epoch(42, 0);
    assert_eq!(first, epoch(42, 0));
    for other in [epoch(42, 1), epoch(43, 0)] {
        let same = first.iter().zip(&other).filter(|(a, b)| a.lines == b.lines).count();
        assert_eq!(same, 0);
    }
    // Masks differ between epochs too, and within a batch.
    let mask_of = |batches: &[Batch]| -> HashMap<u64, String> {
        batches.iter().flat_map(|b| b.lines.iter().copied().zip(b.view2.iter().cloned())).collect()
    };
    let (a, b) = (mask_of(&first), mask_of(&epoch(42, 1)));
    assert!(a.iter().filter(|(line, text)| b[line] == **text).count() < 50);
    let places: HashSet<usize> = first[0].view2.iter().map(|text| text.find(" [MASK] ").unwrap()).collect();
    assert!(places.len() > 3, "{places:?}");
    // The order is a shuffle: the mean line of the first batch is nowhere near the start.
    assert!(first[0].lines.iter().sum::<u64>() / 10 > 50);
}

#[test]
fn batch_sizes_that_do_not_fit_are_refused_with_both_numbers() {
    let corpus = repeating(&[3, 3, 1]);
    let refused = |batch_size| corpus.epoch(&batching(batch_size, 1), 0).err().unwrap().to_string();
    assert!(refused(4).starts_with("--batch-size 4 is more than the 3 different sentences of "));
    assert!(refused(4).ends_with("(7 lines); use --batch-size 3 or less"));
    assert!(refused(200).starts_with("--batch-size 200 is more than the 3 different"));
    assert!(refused(1).starts_with("--batch-size 1 "));
    assert!(refused(0).starts_with("--batch-size 0 "));
    assert!(corpus.epoch(&batching(3, 1), 0).is_ok());
    let same = repeating(&[500]).epoch(&batching(2, 1), 0).err().unwrap().to_string();
    assert!(same.contains("has only one different sentence (500 lines)"), "{same}");
}

#[test]
fn sentences_that_differ_in_outer_white_space_are_the_same_to_a_batch() {
    let corpus = open("one\none \n\u{A0}one\ntwo\ntwo\ntwo".as_bytes(), Format::Sentences).unwrap();
    let (batches, summary) = deal(&corpus, 2, 5);
    check_epoch(&corpus, 2, &batches, summary);
    assert_eq!(summary.steps, 3);
    assert!(corpus.epoch(&batching(3, 5), 0).is_err());
}

#[test]
fn held_out_lines_are_not_trained_on() {
    let text: String = (0..100).map(|i| format!("\nsentence {i}\n")).collect();
    let corpus = open(text.as_bytes(), Format::Sentences).unwrap();
    let (rest, held_out) = corpus.split_holdout(30, 7).unwrap();
    let (rest, held_out_again) = rest.split_holdout(20, 7).unwrap();
    assert_eq!((rest.len(), held_out.len(), held_out_again.len()), (50, 30, 20));
    let (batches, summary) = deal(&rest, 10, 1);
    check_epoch(&rest, 10, &batches, summary);
    let mut all: HashSet<String> = batches.iter().flat_map(|b| b.view1.iter().cloned()).collect();
    for batch in &batches {
        for (line, text) in batch.lines.iter().zip(&batch.view1) {
            assert_eq!(*text, format!("sentence {}", line / 2 - 1));
        }
    }
    all.extend(held_out.iter().chain(&held_out_again).map(|entry| entry.texts[0].clone()));
    for entry in held_out.iter().chain(&held_out_again) {
        assert_eq!(entry.texts[0], format!("sentence {}", entry.line / 2 - 1));
    }
    assert_eq!(all.len(), 100);
    assert_ne!(corpus.split_holdout(30, 8).unwrap().1, held_out);
    assert!(corpus.split_holdout(99, 7).is_err() && corpus.split_holdout(u64::MAX, 7).is_err());
}

/// A line held out is trained on under no other number, and lines that nothing repeats are preferred.
#[test]
fn repeats_of_a_held_out_line_are_left_out_too() {
    let occurrences: Vec<usize> = (0..60).map(|i| if i % 2 == 0 { 1 } else { 3 }).collect();
    let corpus = repeating(&occurrences);
    for count in [5, 30, 40] {
        let (rest, held_out) = corpus.split_holdout(count, 7).unwrap();
        let repeated = |text: &str| text.split(' ').next_back().unwrap().parse::<usize>().unwrap() % 2 == 1;
        let of_repeated = held_out.iter().filter(|entry| repeated(&entry.texts[0])).count();
        assert_eq!(of_repeated, (count as usize).saturating_sub(30));
        assert_eq!(rest.len(), corpus.len() - count - 2 * of_repeated as u64);
        let held_out: HashSet<&str> = held_out.iter().map(|entry| entry.texts[0].as_str()).collect();
        assert_eq!(held_out.len(), count as usize);
        for i in 0..rest.len() {
            let entry = rest.entry(i).unwrap();
            assert!(!held_out.contains(entry.texts[0].as_str()), "line {} is held out", entry.line);
        }
    }
    assert!(corpus.split_holdout(61, 7).is_err());
    let drawn = corpus.draw(100, 7).unwrap();
    let texts: HashSet<&str> = drawn.iter().map(|entry| entry.texts[0].as_str()).collect();
    assert_eq!((drawn.len(), texts.len()), (60, 60));
    assert_eq!(corpus.draw(20, 7).unwrap(), drawn[..20]);
    assert_ne!(corpus.draw(20, 8).unwrap(), drawn[..20]);
}

/// The corpus of Mirror-BERT: 10,000 lines, 719 of them repeats, one sentence 34 times.
#[test]
fn the_corpus_of_the_paper_gives_its_fifty_batches() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus/mirror-10k.txt");
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return;
    }
    let corpus = Corpus::open(&path, Format::Sentences).unwrap();
    assert_eq!((corpus.len(), corpus.blank_lines()), (10_000, 0));
    for seed in 42..47 {
        let (batches, summary) = deal(&corpus, 200, seed);
        check_epoch(&corpus, 200, &batches, summary);
        assert_eq!(summary, EpochSummary { steps: 50, used: 10_000, partial: 0, surplus: 0 });
    }
}
