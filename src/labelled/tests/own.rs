//! One's own files: the same examples from every form, and what is refused.

use std::fs;
use std::io::Write;

use flate2::write::GzEncoder;

use super::*;

/// Reads a training file, and a file to be scored on, each by its name and content.
fn both(
    train: (&str, &[u8]),
    dev: (&str, &[u8]),
    options: &LabelledOptions,
) -> Result<(Dataset, Dataset), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = |(name, bytes): (&str, &[u8])| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let said = |error: LabelledError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let train = options.read_train(&file(train)).map_err(said)?;
    let dev = options.read_dev(&file(dev), &train).map_err(said)?;
    Ok((train, dev))
}

fn train(name: &str, text: &str, options: &LabelledOptions) -> Result<Dataset, String> {
    both((name, text.as_bytes()), (name, text.as_bytes()), options).map(|(train, _)| train)
}

fn classes(dataset: &Dataset) -> Vec<&str> {
    match &dataset.kind {
        Kind::Classification { classes } => classes.iter().map(String::as_str).collect(),
        Kind::Regression => Vec::new(),
    }
}

#[test]
fn any_form_gives_the_same_examples() {
    let options = LabelledOptions::default();
    let csv = "id,label,text2,text\n1,yes,b,\"a, \"\"x\"\"\"\n2,no, d,c\n";
    let expected = train("t.csv", csv, &options).unwrap();
    assert_eq!(classes(&expected), ["no", "yes"]);
    let pair = |text: &str, text2: &str, class| Example {
        text: text.to_owned(),
        text2: Some(text2.to_owned()),
        label: Label::Class(class),
    };
    assert_eq!(expected.examples, [pair("a, \"x\"", "b", 1), pair("c", " d", 0)]);
    let jsonl = "{\"text\": \"a, \\\"x\\\"\", \"label\": \"yes\", \"text2\": \"b\"}\n\n\
                 {\"label\": \"no\", \"text2\": \" d\", \"text\": \"c\"}\n";
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(jsonl.as_bytes()).unwrap();
    let zstd = zstd::encode_all("\u{FEFF}text\ttext2\tlabel\r\na, \"x\"\tb\tyes\r\nc\t d\tno".as_bytes(), 0)
        .unwrap();
    for file in [
        ("t.tsv", "text\ttext2\tlabel\na, \"x\"\tb\tyes\nc\t d\tno\n".as_bytes()),
        ("t.csv", "text;text2;label\n\"a, \"\"x\"\"\";b;yes\nc; d;no\n".as_bytes()),
        ("t.jsonl", jsonl.as_bytes()),
        ("t.jsonl.gz", &gzip.finish().unwrap()),
        ("t.tsv.zst", &zstd),
    ] {
        let (read, dev) = both(file, file, &options).unwrap_or_else(|error| panic!("{}: {error}", file.0));
        assert_eq!(read.sha256(), expected.sha256(), "{}", file.0);
        assert_eq!(read.examples, expected.examples, "{}", file.0);
        assert_eq!(dev.examples, expected.examples, "{}", file.0);
    }
}

#[test]
fn classes_have_an_order_that_rows_do_not_change() {
    let options = LabelledOptions::default();
    let of = |labels: &[&str]| {
        let rows: String = labels.iter().map(|label| format!("{label},x\n")).collect();
        let read = train("t.csv", &format!("label,text\n{rows}"), &options).unwrap();
        classes(&read).join(" ") + if read.remarks.is_empty() { "" } else { " (remark)" }
    };
    assert_eq!(of(&["b", "a", "b", "C"]), "C a b");
    assert_eq!(of(&["10", "2", "-1", "2"]), "-1 2 10");
    assert_eq!(of(&["10", "2", "x"]), "10 2 x");
    assert_eq!(of(&["1.5", "0.5"]), "0.5 1.5 (remark)");
    let json = "{\"text\": \"a\", \"label\": 10}\n{\"text\": \"b\", \"label\": 9}\n";
    assert_eq!(classes(&train("t.jsonl", json, &options).unwrap()), ["9", "10"]);
    let json = "{\"text\": \"a\", \"label\": true}\n{\"text\": \"b\", \"label\": false}\n";
    assert_eq!(classes(&train("t.jsonl", json, &options).unwrap()), ["false", "true"]);
}

#[test]
fn columns_have_the_names_that_are_given_and_numbers_are_a_flag() {
    let options = LabelledOptions {
        text_column: "q".to_owned(),
        text2_column: Some("a".to_owned()),
        label_column: "meta.score".to_owned(),
        regression: true,
    };
    let json = "{\"q\": \"x\", \"a\": \"y\", \"meta\": {\"score\": 2}}\n{\"q\": \"z\", \"a\": \"w\", \"meta\": {\"score\": \"-0.5e1\"}}\n";
    let read = train("t.jsonl", json, &options).unwrap();
    let values: Vec<Label> = read.examples.iter().map(|example| example.label).collect();
    assert_eq!((read.kind, &values[..]), (Kind::Regression, &[Label::Value(2.0), Label::Value(-5.0)][..]));
    // One value, or many, is not one class.
    let options = LabelledOptions { regression: true, ..LabelledOptions::default() };
    assert_eq!(train("t.csv", "text,label\na,1\nb,1\n", &options).unwrap().examples.len(), 2);
}

#[test]
fn what_is_wrong_is_said_with_the_file_and_the_line() {
    let classes = LabelledOptions::default();
    let numbers = LabelledOptions { regression: true, ..LabelledOptions::default() };
    let named = LabelledOptions { text2_column: Some("other".to_owned()), ..LabelledOptions::default() };
    for (name, text, options, says) in [
        (
            "t.csv",
            "text,labels\na,x\n",
            &classes,
            "t.csv has no column \"label\" (did you mean labels?); its columns are \"text\", \"labels\"",
        ),
        (
            "t.csv",
            "text,label\na,x\nb,y\n",
            &named,
            "t.csv has no column \"other\"; its columns are \"text\", \"label\"",
        ),
        (
            "t.jsonl",
            "{\"text\": \"a\", \"class\": 1}\n",
            &classes,
            "t.jsonl has no field \"label\" in its first 1 line; its fields are \"text\", \"class\"",
        ),
        (
            "t.csv",
            "text,label\na,x\nb,x\n",
            &classes,
            "t.csv has one class alone (\"x\"), so there is nothing to tell apart",
        ),
        ("t.csv", "text,label\n", &classes, "t.csv has no examples"),
        (
            "t.csv",
            "text,label\na,1\n\"b\nc\",2\nd,\n",
            &classes,
            "t.csv, line 5: there is nothing in \"label\"; fill it in or leave the line out",
        ),
        (
            "t.jsonl",
            "{\"text\": \"a\", \"label\": 1}\n{\"text\": null, \"label\": 1}\n",
            &classes,
            "t.jsonl, line 2: there is nothing in \"text\"",
        ),
        (
            "t.jsonl",
            "{\"text\": \"a\", \"label\": 1}\n{\"text\": 5, \"label\": 1}\n",
            &classes,
            "t.jsonl, line 2: field \"text\" is a number, not text",
        ),
        (
            "t.jsonl",
            "{\"text\": \"a\", \"label\": 1}\n[1]\n",
            &classes,
            "t.jsonl, line 2: the line is no object with fields; correct",
        ),
        (
            "t.jsonl",
            "[{\"text\": \"a\", \"label\": 1}]\n",
            &classes,
            "t.jsonl is a JSON document, not one JSON object a line",
        ),
        (
            "t.csv",
            "text,text2,label\na,b,x\nc,,y\n",
            &classes,
            "t.csv, line 3: there is nothing in \"text2\"",
        ),
        (
            "t.csv",
            "text,text2,label\na,,x\nc,d,y\n",
            &classes,
            "t.csv, line 3: there is a text in \"text2\", and examples before it have none",
        ),
        (
            "t.csv",
            "text,label\na,1\nb,much\n",
            &numbers,
            "t.csv, line 3: the label \"much\" is not a number; correct it, or leave out --regression",
        ),
        ("t.csv", "text,label\na,inf\n", &numbers, "t.csv, line 2: the label \"inf\" is not a number"),
        (
            "t.csv",
            "text,label\na,1\nb,c,2\n",
            &classes,
            "t.csv, line 3: the row has 3 columns, and the first row has 2",
        ),
        ("t.txt", "a\n", &classes, "t.txt is plain text, which has no named columns"),
    ] {
        let error = train(name, text, options).unwrap_err();
        assert!(error.starts_with(says) && error.lines().count() == 1, "{says:?} in {error:?}");
    }
    let of = |dev: &str| {
        both(("t.csv", b"text,label\na,x\nb,y\n"), ("d.csv", dev.as_bytes()), &classes).unwrap_err()
    };
    assert!(of("text,label\na,z\n").starts_with(
        "d.csv, line 2: the label \"z\" is none of the classes of the training file (x, y); correct it or leave the line out"
    ));
    assert!(of("text,label\n").starts_with("d.csv has no examples"));
    assert!(of("").starts_with("d.csv has no column \"text\"; its columns are none"));
    assert!(
        of("text,text2,label\na,b,x\n")
            .starts_with("d.csv has pairs of texts, and the training file single texts")
    );
}
