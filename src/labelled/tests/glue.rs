//! GLUE's files as published, where ../shared has them, and small files of their form.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/glue");
    folder.is_dir().then_some(folder)
}

#[test]
fn published_files_have_glues_sizes_and_labels() {
    let Some(folder) = shared() else {
        eprintln!("skipped: no ../shared/glue");
        return;
    };
    // Examples of each class in train and dev, counted with Python (csv.QUOTE_NONE).
    for (name, train, dev) in [
        ("CoLA", &[2_528, 6_023][..], &[322, 721][..]),
        ("SST-2", &[29_780, 37_569], &[428, 444]),
        ("MRPC", &[1_194, 2_474], &[129, 279]),
        ("RTE", &[1_249, 1_241], &[146, 131]),
        ("WNLI", &[323, 312], &[40, 31]),
        ("QNLI", &[], &[2_702, 2_761]),
    ] {
        let task = Task::named(name).unwrap();
        if !train.is_empty() {
            let read = task.train(&folder).unwrap();
            assert_eq!((read.class_counts(), read.remarks.clone()), (train.to_vec(), vec![]), "{name}");
        }
        let sets = task.dev(&folder).unwrap();
        assert_eq!((sets.len(), sets[0].0), (1, "dev"));
        assert_eq!((sets[0].1.class_counts(), sets[0].1.remarks.clone()), (dev.to_vec(), vec![]), "{name}");
        assert_eq!(sets[0].1.has_pairs(), task.has_pairs(), "{name}");
    }
    let task = Task::named("stsb").unwrap();
    let mean = |read: &Dataset| {
        let values = read.examples.iter().map(|example| match example.label {
            Label::Value(value) => value,
            Label::Class(_) => panic!("a class"),
        });
        values.sum::<f64>() / read.examples.len() as f64
    };
    let (train, dev) = (task.train(&folder.join("STS-B")).unwrap(), &task.dev(&folder).unwrap()[0].1);
    assert_eq!((train.examples.len(), dev.examples.len()), (5_749, 1_500));
    assert!((mean(&train) - 2.701).abs() < 5e-4 && (mean(dev) - 2.364).abs() < 5e-4);
}

fn read(task: &str, text: &str) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.tsv");
    fs::write(&path, text).unwrap();
    let task = Task::named(task).unwrap();
    task.read(&path, 2).map_err(|error| {
        error.to_string().replace(&folder.path().display().to_string(), "").replacen('/', "", 1)
    })
}

fn pair(text: &str, text2: &str, class: usize) -> Example {
    Example { text: text.to_owned(), text2: Some(text2.to_owned()), label: Label::Class(class) }
}

#[test]
fn quotation_marks_marks_and_missing_line_feeds_are_read_as_they_are() {
    let mrpc = "\u{FEFF}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t1\t2\t\" a\tb \r\n0\t3\t4\tc\td\"";
    let found = read("MRPC", mrpc).unwrap();
    assert_eq!(found.examples, [pair("\" a", "b ", 1), pair("c", "d\"", 0)]);
    assert!(found.remarks.is_empty());
    let found = read("CoLA", "gj04\t1\t\tlabel sentence\ngj04\t0\t*\tThem ran").unwrap();
    let single =
        |text: &str, class| Example { text: text.to_owned(), text2: None, label: Label::Class(class) };
    assert_eq!(found.examples, [single("label sentence", 1), single("Them ran", 0)]);
    let mnli = "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n0\tx\ta\tb\tneutral\tcontradiction\n";
    let found = read("MNLI", mnli).unwrap();
    assert_eq!(found.examples, [pair("a", "b", 2)]);
    assert!(
        found.remarks[0]
            .ends_with("has 1 example, and GLUE's has 2: scores are not comparable to others on this task")
    );
}

#[test]
fn rows_that_lack_columns_are_left_out_of_qqp_alone() {
    let header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n";
    let found = read("QQP", &format!("{header}0\t1\t2\ta\tb\t1\n3\t4\tbroken\n5\t6\t7\tc\td\t0\n")).unwrap();
    assert_eq!(found.examples, [pair("a", "b", 1), pair("c", "d", 0)]);
    assert!(found.remarks[0].contains("1 row with too few columns left out"), "{:?}", found.remarks);
    let error =
        read("RTE", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\tc\td\n").unwrap_err();
    assert!(
        error.starts_with("train.tsv, line 3: the row has 3 columns, and the first row has 4"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_said_with_the_line() {
    let rte = "index\tsentence1\tsentence2\tlabel\n";
    for (task, text, says) in [
        (
            "RTE",
            format!("{rte}0\ta\tb\tentails\n"),
            "train.tsv, line 2: the label \"entails\" is none of the classes entailment, not_entailment;",
        ),
        ("RTE", rte.to_owned(), "train.tsv has no examples"),
        ("RTE", String::new(), "train.tsv has no column \"label\"; its columns are none"),
        (
            "RTE",
            "index\tsentence1\tsentence2\tlabels\n".to_owned(),
            "train.tsv has no column \"label\" (did you mean labels?); its columns are \"index\", \"sentence1\"",
        ),
        (
            "STS-B",
            "sentence1\tsentence2\tscore\na\tb\t1.5\nc\td\tNaN\n".to_owned(),
            "train.tsv, line 3: the label \"NaN\" is not a number",
        ),
        (
            "CoLA",
            "gj04\t1\t\tx\ngj04\t2\t\ty\n".to_owned(),
            "train.tsv, line 2: the label \"2\" is none of the classes 0, 1;",
        ),
    ] {
        let error = read(task, &text).unwrap_err();
        assert!(error.starts_with(says) && error.lines().count() == 1, "{says:?} in {error:?}");
    }
    let error = Task::named("RTE").unwrap().train(Path::new("none")).unwrap_err().to_string();
    assert!(error.starts_with(
        "there is no none/RTE/train.tsv; bring the task with mirror data fetch glue RTE --output none"
    ));
    let error = Task::named("MRCP").unwrap_err();
    assert!(error.is_usage());
    assert_eq!(
        error.to_string(),
        "there is no task \"MRCP\" (did you mean MRPC?); the tasks are MNLI, QQP, RTE, QNLI, MRPC, CoLA, SST-2, STS-B, WNLI"
    );
}

#[test]
fn a_sum_tells_data_sets_apart() {
    let one = read("RTE", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n").unwrap();
    let changed = |change: &dyn Fn(&mut Dataset)| {
        let mut other = one.clone();
        change(&mut other);
        other.sha256() != one.sha256()
    };
    assert!(!changed(&|other| other.name.push('x')));
    assert!(changed(&|other| other.examples[0].text2 = None));
    assert!(changed(&|other| other.examples[0].label = Label::Class(1)));
    assert!(changed(&|other| {
        other.examples[0].text = "ab".to_owned();
        other.examples[0].text2 = Some(String::new());
    }));
}
