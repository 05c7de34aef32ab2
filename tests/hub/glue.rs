//! `mirror data fetch glue` over real sockets: Parquet files of the hub become GLUE's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use mirror::labelled::{Label, Task};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::case::Case;
use crate::server::Hub;

/// Labels as the hub has them: classes by their place, or scores.
enum Labels {
    Classes(Vec<i64>),
    Scores(Vec<f32>),
}

/// A file as the hub's converter writes it: texts, label and idx, all of which may be null and are not.
fn parquet(names: &[&str], texts: &[Vec<String>], labels: &Labels) -> Vec<u8> {
    let rows = texts[0].len();
    let texts_schema: String =
        names.iter().map(|name| format!("optional binary {name} (STRING);\n")).collect();
    let label = if matches!(labels, Labels::Classes(_)) { "int64" } else { "float" };
    let schema = format!("message schema {{ {texts_schema} optional {label} label; optional int32 idx; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let there = vec![1; rows];
    for column in texts {
        let values: Vec<ByteArray> = column.iter().map(|text| ByteArray::from(text.as_str())).collect();
        write::<ByteArrayType>(&mut group, &values, &there);
    }
    match labels {
        Labels::Classes(values) => write::<Int64Type>(&mut group, values, &there),
        Labels::Scores(values) => write::<FloatType>(&mut group, values, &there),
    }
    write::<Int32Type>(&mut group, &(0..rows as i32).collect::<Vec<_>>(), &there);
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn write<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    values: &[T::T],
    levels: &[i16],
) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, Some(levels), None).unwrap();
    column.close().unwrap();
}

/// Made-up pairs of WNLI.
fn wnli(rows: usize, labels: impl Fn(usize) -> i64) -> Vec<u8> {
    let text = |word: &str| (0..rows).map(|row| format!("{word} \"{row}\" it fell.")).collect::<Vec<_>>();
    let labels = Labels::Classes((0..rows).map(labels).collect());
    parquet(&["sentence1", "sentence2"], &[text("One"), text("Two")], &labels)
}

/// A hub that has these files.
fn hub(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Hub {
    let hub = Hub::start();
    let files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
    hub.change(|site| {
        site.id = "datasets/nyu-mll/glue".to_owned();
        site.files = files;
    });
    hub
}

fn whole_wnli() -> [(String, Vec<u8>); 2] {
    let file = |part: &str| format!("wnli/{part}-00000-of-00001.parquet");
    [(file("train"), wnli(635, |row| row as i64 % 2)), (file("validation"), wnli(71, |_| 1))]
}

fn data(case: &Case, arguments: &str) -> Output {
    let mut command = case.clean(env!("CARGO_BIN_EXE_mirror"));
    command.arg("data").args(arguments.split_whitespace()).output().unwrap()
}

#[track_caller]
fn done(case: &Case, arguments: &str) -> (String, String) {
    let output = data(case, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    (stdout, stderr)
}

/// A failure in one sentence with all of `parts`.
#[track_caller]
fn refused(case: &Case, arguments: &str, code: i32, parts: &[&str]) {
    let output = data(case, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{stderr}");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in: {stderr}");
    }
}

fn glue(case: &Case, path: &str) -> PathBuf {
    case.home.path().join("data/glue").join(path)
}

#[test]
fn a_task_arrives_in_glues_layout_and_is_asked_for_once() {
    let hub = hub(whole_wnli());
    let case = Case::new(&hub.address);
    let (stdout, stderr) = done(&case, "fetch glue wnli");
    assert!(
        stdout.contains("data/glue: tasks 1, files 2, examples 706, all counted; from nyu-mll/glue"),
        "{stdout}"
    );
    assert!(stderr.contains("added WNLI/train.tsv") && stderr.contains("added WNLI/dev.tsv"), "{stderr}");
    let train = std::fs::read_to_string(glue(&case, "WNLI/train.tsv")).unwrap();
    let mut lines = train.lines();
    assert_eq!(lines.next(), Some("index\tsentence1\tsentence2\tlabel"));
    assert_eq!(lines.next(), Some("0\tOne \"0\" it fell.\tTwo \"0\" it fell.\t0"));
    assert_eq!(lines.last(), Some("634\tOne \"634\" it fell.\tTwo \"634\" it fell.\t0"));
    let read = Task::named("WNLI").unwrap().train(&case.home.path().join("data/glue")).unwrap();
    assert_eq!((read.class_counts(), read.remarks), (vec![318, 317], vec![]));
    let asked: Vec<String> = hub.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked[0], "/datasets/nyu-mll/glue/resolve/main/wnli/train-00000-of-00001.parquet");

    assert!(done(&case, "fetch glue WNLI").0.contains("all was there already"));
    assert!(hub.requests().is_empty());
    // What is altered is kept, what is missing comes back, from the cache.
    std::fs::write(glue(&case, "WNLI/train.tsv"), "mine").unwrap();
    std::fs::remove_file(glue(&case, "WNLI/dev.tsv")).unwrap();
    refused(&case, "check data/glue", 1, &["not complete", "mirror data fetch glue WNLI --output data/glue"]);
    let said = String::from_utf8(data(&case, "check data/glue").stdout).unwrap();
    assert!(
        said.contains("WNLI/train.tsv") && said.contains("altered: ") && said.contains("no column"),
        "{said}"
    );
    assert!(said.contains("missing"), "{said}");
    let offline = case.with("HF_HUB_OFFLINE", "1");
    let (_, stderr) = done(&offline, "fetch glue WNLI");
    assert!(stderr.contains("replaced WNLI/train.tsv") && stderr.contains("added WNLI/dev.tsv"), "{stderr}");
    assert_eq!(std::fs::read_to_string(glue(&offline, "WNLI/train.tsv.altered")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(glue(&offline, "WNLI/train.tsv")).unwrap(), train);
    let checked: serde_json::Value =
        serde_json::from_str(&done(&offline, "check data/glue --json").0).unwrap();
    assert_eq!((&checked["complete"], &checked["files"][1]["examples"]), (&true.into(), &71.into()));
}

#[test]
fn what_is_not_glues_is_refused_and_leaves_nothing() {
    let [train, dev] = whole_wnli();
    let short = (train.0.clone(), wnli(634, |_| 0));
    let other = (train.0.clone(), wnli(635, |row| if row == 600 { 2 } else { 0 }));
    let cut = (train.0.clone(), train.1[..train.1.len() / 2].to_vec());
    let lacks = (
        train.0.clone(),
        parquet(
            &["sentence1", "hypothesis"],
            &[vec!["a".into()], vec!["b".into()]],
            &Labels::Classes(vec![0]),
        ),
    );
    for (file, says) in [
        (short, &["634 examples, and GLUE's has 635", "of another release"][..]),
        (other, &["row 601", "the label \"2\" is none of the classes 0 to 1"]),
        (cut, &["damaged Parquet file"]),
        (lacks, &["no column \"sentence2\"", "sentence1", "hypothesis"]),
    ] {
        let hub = hub([file, dev.clone()]);
        let case = Case::new(&hub.address);
        refused(&case, "fetch glue WNLI", 1, says);
        assert!(!case.home.path().join("data").exists(), "{says:?}");
        // It left the cache, so that a better one is downloaded.
        hub.change(|site| drop(site.files.insert(train.0.clone(), train.1.clone())));
        done(&case, "fetch glue WNLI");
    }
    let hub = hub([dev]);
    let case = Case::new(&hub.address);
    refused(&case, "fetch glue WNLI", 1, &["no data set nyu-mll/glue with a file wnli/train", "--from"]);
    refused(&case, "fetch glue MRCP", 2, &["no task \"MRCP\" (did you mean MRPC?)", "STS-B, WNLI"]);
    refused(&case, "fetch sts MRPC", 2, &["come all together"]);
    refused(&case, "fetch glue --from none", 1, &["none is not a folder", "Parquet"]);
    std::fs::create_dir(case.home.path().join("mine")).unwrap();
    std::fs::write(case.home.path().join("mine/thesis.tex"), "mine").unwrap();
    refused(&case, "fetch glue --output mine", 1, &["mine", "left alone"]);
    refused(&case, "fetch glue --output mine/thesis.tex", 1, &["mine/thesis.tex is a file"]);
    hub.requests();
    refused(
        &case.with("HF_HUB_OFFLINE", "1"),
        "fetch glue RTE",
        1,
        &["rte/train", "HF_HUB_OFFLINE", "--from"],
    );
    assert!(hub.requests().is_empty());
}

/// With GLUE's files at hand: what the hub has of them becomes the same examples again, and where the hub has all
/// columns, the same bytes.
#[test]
fn published_files_come_out_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/glue");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return;
    }
    let case = Case::new("http://127.0.0.1:9");
    let from = case.home.path().join("parquet");
    let names = ["RTE", "MRPC", "CoLA", "SST-2", "STS-B", "WNLI"];
    for task in names.map(|name| Task::named(name).unwrap()) {
        let columns: &[&str] = if task.has_pairs() { &["sentence1", "sentence2"] } else { &["sentence"] };
        for (name, part, rows) in task.files() {
            let read = task.read(&folder.join(task.name).join(format!("{name}.tsv")), rows).unwrap();
            let first = read.examples.iter().map(|example| example.text.clone()).collect();
            let second = read.examples.iter().filter_map(|example| example.text2.clone()).collect();
            let texts: Vec<Vec<String>> = [first, second].into_iter().take(columns.len()).collect();
            let labels = read.examples.iter().map(|example| example.label);
            let labels = match task.classes.len() {
                0 => Labels::Scores(
                    labels
                        .map(|label| if let Label::Value(value) = label { value as f32 } else { -1.0 })
                        .collect(),
                ),
                _ => Labels::Classes(
                    labels
                        .map(|label| if let Label::Class(class) = label { class as i64 } else { -1 })
                        .collect(),
                ),
            };
            let path = from.join(task.hub_name).join(format!("{part}-00000-of-00001.parquet"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, parquet(columns, &texts, &labels)).unwrap();
        }
    }
    let (stdout, _) = done(&case, &format!("fetch glue {} --from parquet", names.join(" ")));
    assert!(stdout.contains("tasks 6, files 12,") && stdout.contains("from parquet"), "{stdout}");
    for task in names.map(|name| Task::named(name).unwrap()) {
        for (name, _, rows) in task.files() {
            let file = format!("{}/{name}.tsv", task.name);
            let (ours, theirs) = (glue(&case, &file), folder.join(&file));
            same_examples(task, &ours, &theirs, rows);
            if ["RTE", "WNLI", "SST-2"].contains(&task.name) {
                let (ours, theirs) = (std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap());
                assert!(ours.trim_ascii_end() == theirs.trim_ascii_end(), "{file}");
            }
        }
    }
}

/// The same examples; the hub has scores as f32.
fn same_examples(task: &Task, ours: &Path, theirs: &Path, rows: u64) {
    let [ours, theirs] = [ours, theirs].map(|path| task.read(path, rows).unwrap());
    assert_eq!(ours.examples.len(), theirs.examples.len());
    for (ours, theirs) in ours.examples.iter().zip(&theirs.examples) {
        assert_eq!((&ours.text, &ours.text2), (&theirs.text, &theirs.text2));
        match (ours.label, theirs.label) {
            (Label::Value(a), Label::Value(b)) => assert!((a - b).abs() < 1e-6, "{a} {b}"),
            (a, b) => assert_eq!(a, b),
        }
    }
}
