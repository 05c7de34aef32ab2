//! What the room promises as a whole: batches, faults, memory.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

fn batching(batch_size: usize, seed: u64) -> Batching {
    Batching { batch_size, seed, mask_span: 5, mask_token: "[MASK]".to_owned() }
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corpus.txt");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(bytes: &[u8], format: Format) -> Result<Corpus, CorpusError> {
    let (_folder, path) = file(bytes);
    Corpus::open(&path, format)
}

/// A corpus of "sentence 0", "sentence 1", … in which sentence `i` occurs `occurrences[i]` times.
fn repeating(occurrences: &[usize]) -> Corpus {
    let line = |(i, &count): (usize, &usize)| format!("sentence {i}\n").repeat(count);
    let text: String = occurrences.iter().enumerate().map(line).collect();
    open(text.as_bytes(), Format::Sentences).unwrap()
}

fn deal(corpus: &Corpus, batch_size: usize, seed: u64) -> (Vec<Batch>, EpochSummary) {
    let mut batches = corpus.epoch(&batching(batch_size, seed), 0).unwrap();
    let all = batches.by_ref().map(Result::unwrap).collect();
    (all, batches.summary().unwrap())
}

/// Every batch is full and holds no sentence twice, no line is used twice, and the summary adds up.
fn check_epoch(corpus: &Corpus, batch_size: usize, batches: &[Batch], summary: EpochSummary) {
    let mut lines = HashSet::new();
    for (step, batch) in batches.iter().enumerate() {
        assert_eq!(batch.step, step as u64);
        assert_eq!((batch.lines.len(), batch.view2.len()), (batch_size, batch_size));
        let mut texts = HashSet::new();
        for i in 0..batch_size {
            assert!(lines.insert(batch.lines[i]), "line {} twice", batch.lines[i]);
            assert!(texts.insert(batch.view1[i].trim()), "{:?} twice in a batch", batch.view1[i]);
        }
    }
    assert_eq!(summary.steps, batches.len() as u64);
    assert_eq!(summary.used, lines.len() as u64);
    assert!(summary.partial < batch_size as u64);
    assert_eq!(summary.used + summary.partial + summary.surplus, corpus.len());
}

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
        prop_assert_eq!(summary.surplus, 0);
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

    #[test]
    fn arbitrary_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), pairs in any::<bool>()) {
        let format = if pairs { Format::Pairs } else { Format::Sentences };
        if let Ok(corpus) = open(&bytes, format) && let Ok(batches) = corpus.epoch(&batching(2, 1), 0) {
            let _ = batches.map(Result::unwrap).count();
        }
    }

    #[test]
    fn entries_are_the_lines_that_are_not_blank(text in "(\u{FEFF})?[ab\u{E9}\u{3000} \t\r\n]{1,80}") {
        let expected: Vec<(u64, &str)> = (1..)
            .zip(text.strip_prefix('\u{FEFF}').unwrap_or(&text).lines())
            .filter(|(_, line)| !line.trim().is_empty())
            .collect();
        match open(text.as_bytes(), Format::Sentences) {
            Err(error) => {
                prop_assert!(matches!(error, CorpusError::Empty { .. }), "{}", error);
                prop_assert!(expected.is_empty());
            }
            Ok(corpus) => {
                let found: Vec<Entry> = (0..corpus.len()).map(|i| corpus.entry(i).unwrap()).collect();
                let found: Vec<(u64, &str)> = found.iter().map(|e| (e.line, e.texts[0].as_str())).collect();
                prop_assert_eq!(found, expected);
            }
        }
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
fn what_cannot_be_trained_on_is_one_sentence_that_says_so() {
    let (folder, path) = file(b"");
    let message = |result: Result<Corpus, CorpusError>| result.unwrap_err().to_string();
    let says = |bytes: &[u8], format| {
        fs::write(&path, bytes).unwrap();
        message(Corpus::open(&path, format)).replace(&path.display().to_string(), "FILE")
    };
    let sentences = Format::Sentences;
    assert!(says(b"", sentences).starts_with("FILE has no sentences (0 blank lines)"));
    assert!(says(b" \n\r\n\t\n", sentences).starts_with("FILE has no sentences (3 blank lines)"));
    assert!(says(b"\xEF\xBB\xBF", sentences).starts_with("FILE has no sentences (0 blank lines)"));
    assert!(
        says(b"a\nb\nc\xC3\nd", sentences).starts_with("FILE, line 3: byte 2 of the line is not valid UTF-8")
    );
    assert!(says(b"\xFF\xFEa\0", sentences).starts_with("FILE, line 1: byte 1"));
    assert!(says(b"a\tb\n\nc\n", Format::Pairs).starts_with("FILE, line 3: found one column"));
    assert!(says(b"a\tb\nc\t \n", Format::Pairs).starts_with("FILE, line 2: found an empty second column"));
    assert!(message(Corpus::open(folder.path(), sentences)).contains("is a folder; give --corpus"));
    assert!(message(Corpus::open(&folder.path().join("none"), sentences)).starts_with("cannot read "));
    assert!(
        says(&vec![b'x'; 1 << 24], sentences).starts_with("FILE, line 1: the line is longer than 16 MiB")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_or_device_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = Corpus::open(path, Format::Sentences).unwrap_err().to_string();
        assert!(error.contains("is a pipe or a device"), "{error}");
    }
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
fn a_megabyte_sentence_is_read_whole() {
    let long = "\u{E9}t\u{E9} ".repeat(1 << 18);
    let corpus = open(format!("short\r\n{long}\r\nother").as_bytes(), Format::Sentences).unwrap();
    assert_eq!(corpus.entry(1).unwrap(), Entry { line: 2, texts: [long.clone(), long.clone()] });
    let batch = corpus.epoch(&batching(3, 1), 0).unwrap().next().unwrap().unwrap();
    let at = batch.lines.iter().position(|&line| line == 2).unwrap();
    assert_eq!(batch.view2[at].chars().count(), long.chars().count() - 5 + "[MASK]  ".len());
}

#[test]
fn the_hash_is_of_the_whole_file() {
    let corpus = open(b"\xEF\xBB\xBFabc\r\n\nd", Format::Sentences).unwrap();
    // printf '\xEF\xBB\xBFabc\r\n\nd' | sha256sum
    assert_eq!(corpus.sha256(), "10361e5ec6cad766d2c898ce3332bf918cd9a2ea1e825d751bab9da7c2f09c27");
    assert_eq!((corpus.bytes(), corpus.len(), corpus.blank_lines()), (10, 2, 1));
    let built_in = Corpus::from_text("abc\n").unwrap();
    // printf 'abc\n' | sha256sum
    assert_eq!(built_in.sha256(), "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb");
    assert_eq!(built_in.entry(0).unwrap().texts[0], "abc");
}

#[test]
fn a_file_that_changes_is_noticed_and_one_that_is_only_touched_is_not_refused() {
    let text: String = (0..100).map(|i| format!("sentence {i:04}\n")).collect();
    let (_folder, path) = file(text.as_bytes());
    let corpus = Corpus::open(&path, Format::Sentences).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let handle = || fs::OpenOptions::new().write(true).open(&path).unwrap();

    let mut batches = corpus.epoch(&batching(10, 1), 0).unwrap();
    batches.next().unwrap().unwrap();
    handle().set_modified(later).unwrap();
    batches.next().unwrap().unwrap();

    let (same_length, shorter) = (text.replace("sentence", "SENTENCE"), &text[..text.len() / 4]);
    for changed in [same_length.as_str(), shorter] {
        fs::write(&path, changed).unwrap();
        let error = batches.next().unwrap().unwrap_err();
        assert!(matches!(error, CorpusError::Changed { .. }), "{error}");
        assert!(batches.next().is_none(), "ends after an error");
        assert!(matches!(corpus.epoch(&batching(10, 1), 0).err().unwrap(), CorpusError::Changed { .. }));
        fs::write(&path, &text).unwrap();
        batches = corpus.epoch(&batching(10, 1), 0).unwrap();
    }
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
    all.extend(held_out.iter().chain(&held_out_again).cloned());
    assert_eq!(all.len(), 100);
    assert_ne!(corpus.split_holdout(30, 8).unwrap().1, held_out);
    assert!(corpus.split_holdout(99, 7).is_err() && corpus.split_holdout(u64::MAX, 7).is_err());
}

#[test]
fn a_prefetched_epoch_is_the_same_and_faults_come_out_in_their_place() {
    let corpus = repeating(&[2; 300]);
    let plain: Vec<Batch> = corpus.epoch(&batching(10, 1), 0).unwrap().map(Result::unwrap).collect();
    let epoch = || corpus.epoch(&batching(10, 1), 0).unwrap();
    let mut prefetch = Prefetch::new(epoch(), Ok::<_, CorpusError>).unwrap();
    let prefetched: Vec<Batch> = prefetch.by_ref().map(Result::unwrap).collect();
    assert_eq!(prefetched, plain);
    assert_eq!(prefetch.finish().unwrap().summary().unwrap().steps, 60);

    let faulty = |panics: bool| {
        move |batch: Batch| match (batch.step, panics) {
            (7, true) => panic!("token {} is unknown", batch.step),
            (7, false) => Err(anyhow::anyhow!("no token")),
            _ => Ok(batch.step),
        }
    };
    for (panics, expected) in [(true, "token 7 is unknown"), (false, "no token")] {
        let found: Vec<_> = Prefetch::new(epoch(), faulty(panics)).unwrap().collect();
        assert_eq!(found.len(), 8);
        assert!(found[..7].iter().enumerate().all(|(i, step)| *step.as_ref().unwrap() == i as u64));
        let error = found[7].as_ref().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn dropping_a_prefetch_ends_its_thread_after_at_most_three_batches() {
    let corpus = repeating(&[1; 2000]);
    let alive = Arc::new(());
    let (witness, made) = (Arc::clone(&alive), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let counter = Arc::clone(&made);
    let mut prefetch = Prefetch::new(corpus.epoch(&batching(2, 1), 0).unwrap(), move |batch| {
        let _ = &witness;
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, CorpusError>(batch)
    })
    .unwrap();
    prefetch.next().unwrap().unwrap();
    drop(prefetch);
    assert_eq!(Arc::strong_count(&alive), 1, "the thread has dropped what it held");
    // One taken, two waiting, one in the making, one begun as the first was taken.
    assert!(made.load(std::sync::atomic::Ordering::SeqCst) <= 5);
}

/// Peak resident memory of this process in bytes, and what it is now.
#[cfg(target_os = "linux")]
fn resident() -> [usize; 2] {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    ["VmHWM:", "VmRSS:"].map(|field| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    })
}

/// Run in a process of its own, so that other tests' memory does not count.
#[cfg(target_os = "linux")]
#[test]
fn a_million_lines_take_eight_bytes_each_and_a_fixed_buffer() {
    const CHILD: &str = "MIRROR_TEST_CORPUS_MEMORY";
    const LINES: usize = 1_000_000;
    if let Some(path) = std::env::var_os(CHILD) {
        let [_, before] = resident();
        let corpus = Corpus::open(Path::new(&path), Format::Sentences).unwrap();
        assert_eq!(corpus.len(), LINES as u64);
        assert!(corpus.memory() < 8 * LINES + (1 << 17));
        let mut batches = corpus.epoch(&batching(200, 42), 0).unwrap();
        batches.skip_to(4_800).unwrap();
        assert_eq!(batches.by_ref().map(Result::unwrap).count(), 200);
        let [peak, _] = resident();
        println!("grew by {} KiB", (peak - before) >> 10);
        assert!(peak - before < 8 * LINES + (8 << 20), "grew by {} bytes", peak - before);
        return;
    }
    let (_folder, path) = file(b"");
    let mut writer = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    for i in 0..LINES {
        writeln!(writer, "{i}: a sentence that makes the file far larger than what may be held of it")
            .unwrap();
    }
    drop(writer);
    assert!(fs::metadata(&path).unwrap().len() > 70_000_000);
    let name = "corpus::tests::a_million_lines_take_eight_bytes_each_and_a_fixed_buffer";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{:?}", output.stderr);
    print!("{text}");
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
