//! Bad input: each fault is one sentence that names the file and the line.

use crate::synthetic::Synthetic;
use sts_eval::not_text::{NotText, Reason};
use sts_eval::{Convention, Error, PairFormat, SentEval, Task, UserSet};

/// The error of reading a folder in which one thing is wrong, with the folder's own path cut out.
fn fault(break_it: impl FnOnce(&Synthetic)) -> String {
    let synthetic = Synthetic::new();
    break_it(&synthetic);
    let result = SentEval::open(synthetic.parent()).and_then(|data| data.tasks(Convention::SimCse));
    let message = result.expect_err("the fault should be found").to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    let parent = synthetic.parent().display().to_string();
    message.replace(&format!("{parent}/downstream/"), "").replace(&parent, "FOLDER")
}

#[test]
fn a_line_without_its_second_sentence() {
    let message = fault(|data| data.write("STS/STS14-en-test/STS.input.images.txt", "a\tb\nc d\ne\tf\n"));
    assert!(message.starts_with("STS/STS14-en-test/STS.input.images.txt, line 2: 1 column"), "{message}");
    let message = fault(|data| data.write("STS/STSBenchmark/sts-test.csv", "g\tf\ty\t1\t2.0\tonly one\n"));
    assert!(message.starts_with("STS/STSBenchmark/sts-test.csv, line 1: 6 columns"), "{message}");
    let header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n";
    let message = fault(|data| data.write("SICK/SICK_trial.txt", format!("{header}1\ta\tb\t2\n2\ta\tb\n")));
    assert!(message.starts_with("SICK/SICK_trial.txt, line 3: 3 columns"), "{message}");
}

#[test]
fn a_gold_score_that_is_no_finite_number() {
    for text in ["four", "1,5", "nan", "inf", "1e999"] {
        let message =
            fault(|data| data.write("STS/STS12-en-test/STS.gs.MSRvid.txt", format!("1\n\n{text}\n")));
        let expected = format!("STS/STS12-en-test/STS.gs.MSRvid.txt, line 3: the gold score {text:?}");
        assert!(message.starts_with(&expected), "{message}");
    }
    let message = fault(|data| data.write("STS/STSBenchmark/sts-test.csv", "g\tf\ty\t1\tx\ta\tb\n"));
    assert!(message.starts_with("STS/STSBenchmark/sts-test.csv, line 1: the gold score \"x\""), "{message}");
    let header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n";
    let message = fault(|data| data.write("SICK/SICK_train.txt", format!("{header}1\ta\tb\tx\n")));
    assert!(message.starts_with("SICK/SICK_train.txt, line 2: the gold score \"x\""), "{message}");
}

#[test]
fn invalid_utf8_anywhere() {
    let files = [
        "STS/STS15-en-test/STS.input.belief.txt",
        "STS/STS15-en-test/STS.gs.belief.txt",
        "SICK/SICK_train.txt",
    ];
    for file in files {
        let message = fault(|data| data.write(file, b"a\tb\nc\t\xff\n"));
        assert!(
            message.starts_with(&format!("{file}, line 2: byte 3 of the line is not valid UTF-8")),
            "{message}"
        );
    }
}

#[test]
fn an_unequal_number_of_lines() {
    let message = fault(|data| data.write("STS/STS16-en-test/STS.gs.plagiarism.txt", "1\n2\n"));
    assert!(message.contains("STS.input.plagiarism.txt has 3 lines but"), "{message}");
    assert!(message.contains("STS.gs.plagiarism.txt has 2;"), "{message}");
}

#[test]
fn a_missing_file_a_missing_column_and_no_scores_at_all() {
    let message = fault(|data| data.remove("STS/STS12-en-test/STS.input.MSRpar.txt"));
    assert!(
        message.starts_with("STS12 is incomplete: STS/STS12-en-test/STS.input.MSRpar.txt is missing"),
        "{message}"
    );
    let message = fault(|data| data.remove("SICK/SICK_train.txt"));
    assert!(message.starts_with("SICKR is incomplete: SICK/SICK_train.txt is missing"), "{message}");
    let message = fault(|data| data.write("SICK/SICK_train.txt", "pair_ID\tsentence_A\trelatedness_score\n"));
    assert!(
        message.starts_with("SICK/SICK_train.txt, line 1: the header has no column sentence_B"),
        "{message}"
    );
    let message = fault(|data| data.write("SICK/SICK_train.txt", ""));
    assert!(message.contains("has no column sentence_A"), "{message}");
    let message = fault(|data| data.write("STS/STSBenchmark/sts-test.csv", ""));
    assert!(message.ends_with("holds no pair with a gold score"), "{message}");
}

#[test]
fn a_folder_with_nothing_in_it_or_that_is_not_there() {
    let message = fault(|data| {
        data.remove("STS");
        data.remove("SICK");
    });
    assert!(message.starts_with("FOLDER holds none of the seven STS data sets"), "{message}");
    assert!(
        message.contains("STS/STS12-en-test, ") && message.contains("STS/STSBenchmark, SICK in it"),
        "{message}"
    );
    let missing = tempfile::tempdir().unwrap().path().join("nowhere");
    assert!(matches!(SentEval::open(&missing), Err(Error::NoFolder { folder }) if folder == missing));
}

#[test]
fn unknown_names_say_what_is_known() {
    let message = "senteval".parse::<Convention>().unwrap_err().to_string();
    assert_eq!(message, "unknown convention \"senteval\"; known are mirror-bert, simcse");
}

/// The error of a user's pairs, which are called `p`.
fn pairs_fault(format: PairFormat, text: &str) -> String {
    Task::from_text("p", text, format).expect_err(text).to_string()
}

#[test]
fn faults_of_a_users_columns() {
    for (format, tab) in [(PairFormat::Tsv, "\t"), (PairFormat::Csv, ",")] {
        let text = |rows: &str| rows.replace('|', tab);
        let message = pairs_fault(format, &text("1|a|b\n\n2|a\n"));
        assert!(message.starts_with("p, line 3: 2 columns where three are needed"), "{message}");
        let message = pairs_fault(format, &text("1|a|b\n2|a|b|c\n"));
        assert!(message.starts_with("p, line 2: 4 columns where three are needed"), "{message}");
        let message = pairs_fault(format, &text("1|a|b\r\n\r\nhigh|a|b\r\n"));
        assert!(message.starts_with("p, line 3: the gold score \"high\""), "{message}");
        let message = pairs_fault(format, &text("gold|a|b\n1|a|b\n"));
        assert!(message.starts_with("p, line 1: the gold score \"gold\""), "no header of ours: {message}");
        let message = pairs_fault(format, &text("score|sentence1|sentence2|id\n1|a|b\n"));
        assert!(message.starts_with("p, line 2: 3 columns where the header has another number"), "{message}");
        for nothing in ["", "\n\n", "score|sentence1|sentence2\n", "|a|b\n"] {
            assert_eq!(pairs_fault(format, &text(nothing)), "p holds no pair with a gold score");
        }
    }
}

/// What is wrong is said with what was probably meant.
#[test]
fn columns_that_are_separated_or_ordered_otherwise() {
    let (tsv, csv) = (PairFormat::Tsv, PairFormat::Csv);
    for (format, text, says) in [
        (tsv, "4.5,a,b\n", "line 1: 1 column where three are needed, with tabs between them; where commas"),
        (csv, "4.5\ta\tb\n", "with commas between them; where tabs are between them, call the file .tsv"),
        (csv, "4.5;a;b\n", "with commas between them, not semicolons"),
        (
            tsv,
            "a\tb\t4.5\n",
            "line 1: the gold score \"a\" is not a finite number; the columns are score, sentence",
        ),
        (tsv, "label\ta\tb\n4.5\ta\tb\n", "\"label\" is not a finite number; a header in line 1 names"),
        (tsv, "4,5\ta\tb\n", "\"4,5\" is not a finite number; write it with a decimal point"),
        (tsv, "1\ta\tb\nhigh\tc\td\n", "line 2: the gold score \"high\" is not a finite number"),
    ] {
        let message = pairs_fault(format, text);
        assert!(message.contains(says), "{says:?} in {message:?}");
    }
}

/// A file that is no text is called what it is, whatever its name says.
#[test]
fn files_of_pairs_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    for (file, content, says) in [
        ("p.tsv", &b"\x1f\x8b\x08\0"[..], "is compressed (gzip)"),
        ("p.tsv.gz", b"\x1f\x8b\x08\0", "is compressed (gzip); unpack it first: zcat"),
        ("p.xlsx", b"PK\x03\x04\x14\0", "is a zip archive"),
        ("p.parquet", b"PAR1\x15\x04", "is a Parquet file"),
        ("p.csv", b"\xff\xfe4\0,\0", "is UTF-16, not UTF-8; convert it: iconv -f UTF-16"),
        ("p.csv", b"4\0,\0a\0,\0b\0\n\0", "is UTF-16LE"),
        ("p.tsv", b"4\ta\tb\r5\tc\td\r", "carriage returns alone"),
        ("p.txt", b"4\ta\tb\n", "does not end in .tsv, .csv or .jsonl"),
    ] {
        let path = folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        let message = UserSet { name: "mine".to_owned(), path }.read().unwrap_err().to_string();
        assert!(message.contains(says) && !message.contains('\n'), "{says:?} in {message:?}");
    }
}

#[test]
fn an_open_quote_in_csv_does_not_swallow_the_rest() {
    let message = pairs_fault(PairFormat::Csv, "1,a,b\n\n2,\"x\ny\",b\n3,a,\"b\n4,a,b\n5,a,b\n");
    assert!(message.starts_with("p, line 5: a quoted field"), "{message}");
}

#[test]
fn faults_of_json_lines() {
    let good = r#"{"score": 1, "sentence1": "a", "sentence2": "b"}"#;
    for bad in [
        r#"{"score": "1", "sentence1": "a", "sentence2": "b"}"#,
        r#"{"score": 1e999, "sentence1": "a", "sentence2": "b"}"#,
        r#"{"sentence1": "a", "sentence2": "b"}"#,
        r#"{"score": 1, "sentence1": "a"}"#,
        r#"{"score": 1, "sentence1": null, "sentence2": "b"}"#,
        r#"{"score": 1, "sentence1": "a", "sentence2": "b""#,
        "3.0\ta\tb",
    ] {
        let message = pairs_fault(PairFormat::Jsonl, &format!("{good}\n\n{bad}\n"));
        assert!(message.starts_with("p, line 3: not a JSON object with"), "{message}");
    }
}

#[test]
fn faults_of_a_users_file_and_its_argument() {
    for given in ["pairs.tsv", "=pairs.tsv", "mine=", "", &format!("{}=pairs.tsv", "x".repeat(70_000))] {
        let refused = given.parse::<UserSet>();
        assert!(
            matches!(&refused, Err(error @ Error::SetArgument { .. }) if error.to_string().len() < 400),
            "{given}"
        );
    }
    assert!(
        matches!("STS12=a.tsv".parse::<UserSet>(), Err(Error::DuplicateTask { name }) if name == "STS12")
    );

    let folder = tempfile::tempdir().unwrap();
    let read = |file: &str, content: &[u8]| {
        let path = folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        UserSet { name: "mine".to_owned(), path }.read()
    };
    assert!(matches!(read("pairs.txt", b"1\ta\tb\n"), Err(Error::SetFormat { .. })));
    for file in ["a.tsv", "a.csv", "a.jsonl"] {
        assert!(
            matches!(
                read(file, b"1\ta\n\xc3("),
                Err(Error::NotText(NotText { reason: Reason::NotUtf8 { line: 2, .. }, .. }))
            ),
            "{file}"
        );
    }
    let missing = UserSet { name: "mine".to_owned(), path: folder.path().join("none.tsv") };
    assert!(matches!(missing.read(), Err(Error::Read { .. })));
    let directory = UserSet { name: "mine".to_owned(), path: folder.path().join("folder.tsv") };
    std::fs::create_dir(&directory.path).unwrap();
    assert!(matches!(directory.read(), Err(Error::Read { .. })));
}
