//! Files: what is read of them, what is refused, and in how much memory.

use super::*;
use proptest::prelude::*;
use std::io::Write;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
            Err(CorpusError::NotText(error)) => {
                prop_assert!(error.to_string().contains("carriage returns alone"), "{}", error);
                prop_assert!(text.contains('\r'));
            }
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
fn what_cannot_be_trained_on_is_one_sentence_that_says_so() {
    let (folder, path) = file(b"");
    let message = |result: Result<Corpus, CorpusError>| result.unwrap_err().to_string();
    let says = |bytes: &[u8], format| {
        fs::write(&path, bytes).unwrap();
        message(Corpus::open(&path, format)).replace(&path.display().to_string(), "FILE")
    };
    let sentences = Format::Sentences;
    assert!(says(b"", sentences).starts_with("FILE has no sentences; write one"));
    assert!(
        says(b" \n\r\n\t\n", sentences).starts_with("FILE has no sentences; all 3 lines are blank; write")
    );
    assert!(says(b"\xEF\xBB\xBF", sentences).starts_with("FILE has no sentences; write one"));
    assert!(
        says(b"a\nb\nc\xC3\nd", sentences).starts_with("FILE, line 3: byte 2 of the line is not valid UTF-8")
    );
    assert!(says(b"\n", sentences).starts_with("FILE has no sentences; its only line is blank; write"));
    assert!(says("\u{200B}\n\u{1}\u{FEFF}".as_bytes(), sentences).contains("all 2 lines are blank"));
    assert!(
        says(b"\xFF\xFEa\0", sentences).starts_with("FILE is UTF-16, not UTF-8; convert it: iconv -f UTF-16")
    );
    assert!(says(b"a\0b\n", sentences).starts_with("FILE, line 1: the line holds NUL bytes"));
    assert!(says(b"a\rb\rc\n", sentences).contains("carriage returns alone"));
    assert!(says(b"{\"anchor\": \"a, b\"}\n", Format::Pairs).contains("holds a JSON value a line"));
    assert!(says(b"a\tb\n\nc\n", Format::Pairs).starts_with("FILE, line 3: found one column"));
    assert!(says(b"a\tb\nc\t \n", Format::Pairs).starts_with("FILE, line 2: found an empty second column"));
    fs::rename(&path, folder.path().join("corpus.md")).unwrap();
    assert!(message(Corpus::open(folder.path(), sentences)).contains("is a folder without text files"));
    assert!(message(Corpus::open(&folder.path().join("none"), sentences)).starts_with("cannot read "));
    assert!(
        says(&vec![b'x'; 1 << 24], sentences).starts_with("FILE, line 1: the line is longer than 16 MiB")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_once_and_a_device_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, "one\n\ntwo\n").unwrap()
    });
    let corpus = Corpus::open(&pipe, Format::Sentences).unwrap();
    writer.join().unwrap();
    assert_eq!(corpus.entry(1).unwrap(), Entry { line: 3, texts: ["two".into(), "two".into()] });
    assert!(corpus.remarks()[0].contains("copied once to"), "{:?}", corpus.remarks());
    let error = Corpus::open(Path::new("/dev/zero"), Format::Sentences).unwrap_err().to_string();
    assert!(error.contains("is a device"), "{error}");
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
    let name = "corpus::tests::files::a_million_lines_take_eight_bytes_each_and_a_fixed_buffer";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{:?}", output.stderr);
    print!("{text}");
}

#[test]
fn what_lines_hold_is_counted_without_those_held_out() {
    let long = "a sentence of more than thirty characters, number";
    let text: String =
        (0..40).map(|i| if i % 4 == 0 { format!("short {i}\n") } else { format!("{long} {i}\n") }).collect();
    let corpus = open(text.as_bytes(), Format::Sentences).unwrap();
    assert_eq!((corpus.equal_views(5).unwrap(), corpus.equal_views(0).unwrap()), (10, 40));
    assert_eq!((corpus.equal_views(51).unwrap(), corpus.equal_views(52).unwrap()), (17, 40));
    let (_folder, path) = file(text.as_bytes());
    let (rest, held_out) = Corpus::open(&path, Format::Sentences).unwrap().split_holdout(12, 7).unwrap();
    let short = held_out.iter().filter(|entry| entry.texts[0].starts_with("short")).count() as u64;
    assert_eq!(rest.equal_views(5).unwrap(), 10 - short);
    assert!(short > 0 && corpus.remarks().is_empty());

    let pairs = open(b"a\tb\nc\tc\nd||d\n", Format::Pairs).unwrap();
    assert_eq!(pairs.equal_views(5).unwrap(), 2);
    let remarks = open("a\tb\n\nc\rc\td\r\n".as_bytes(), Format::Sentences).unwrap().remarks();
    assert_eq!(remarks.len(), 3, "{remarks:?}");
    for (remark, says) in
        remarks.iter().zip([": 1 blank line left out", ": 1 line holds a lone", ": every line has a tab"])
    {
        assert!(remark.contains(says), "{remark}");
    }
}
