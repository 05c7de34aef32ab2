//! Records of every form, as a stream gives them.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::corpus::{Corpus, CorpusError, Format, Texts};

fn options(column: &str, field: &str) -> CorpusOptions {
    let list =
        |name: &str| if name.is_empty() { Vec::new() } else { name.split('+').map(str::to_owned).collect() };
    CorpusOptions { column: list(column), field: list(field), ..CorpusOptions::default() }
}

fn texts_of(
    name: &str,
    bytes: impl AsRef<[u8]>,
    options: &CorpusOptions,
) -> Result<Vec<(u64, String)>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let said = |error: CorpusError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let listed = list("--input", &[path], options).map_err(said)?;
    let texts = Texts::read(listed, options).map_err(said)?;
    texts.map(|sentence| sentence.map(|s| (s.record, s.text)).map_err(said)).collect()
}

#[test]
fn columns_are_found_by_name_by_number_and_alone() {
    for (name, text, column, expected) in [
        ("c.csv", "id,text\n1,\"a, \"\"b\"\"\nc\"\r\n2,d\n", "", &["a, \"b\" c", "d"][..]),
        ("c.csv", "id,text\n1,a\n2,b\n", "text", &["a", "b"]),
        ("c.csv", "id,text\n1,a\n2,b\n", "2", &["a", "b"]),
        ("c.csv", "id,comment\n1,a\n2,b\n", "", &["a", "b"]),
        ("c.csv", ",review\n0,a\n1,b\n", "", &["a", "b"]),
        ("c.csv", "x,a\ny,b\n", "2", &["a", "b"]),
        ("c.csv", "id;text\n1;a, b\n2;c\n", "text", &["a, b", "c"]),
        ("c.csv", "\u{FEFF}\"text\"\n\"a\"\n", "text", &["a"]),
        ("c.csv", "text\na\n\n\"\"\nb\n", "", &["a", "", "b"]),
        ("c.csv", "One sentence.\nAnother one.\n", "", &["One sentence.", "Another one."]),
        ("c.csv", "1,2\nx,y\n", "2", &["y"]),
        (
            "c.tsv",
            "id\ttext\n1\t\"Hello\" she said\n2\tit's 5\" long\n",
            "",
            &["\"Hello\" she said", "it's 5\" long"],
        ),
        ("c.tsv", "0\ta man\n1\ta dog\r\n", "", &["a man", "a dog"]),
        ("unnamed", "id\ttext\n1\ta\n", "text", &["a"]),
        ("unnamed", "id,text\n1,a\n", "text", &["a"]),
    ] {
        let found =
            texts_of(name, text, &options(column, "")).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let found: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(found, expected, "{name} {text:?} {column:?}");
    }
}

#[test]
fn fields_are_found_by_their_path_and_alone() {
    for (text, field, expected) in [
        ("{\"id\": 1, \"text\": \"a\"}\n\n{\"id\": 2, \"text\": \"b\\n c\"}\n", "", &["a", "", "b c"][..]),
        (
            "{\"m\": {\"text\": \"a\"}, \"t\": \"x\"}\n{\"t\": \"y\"}\n{\"m\": null}\n",
            "m.text",
            &["a", "", ""],
        ),
        ("\u{FEFF}\"a\"\n\"b\"\n", "", &["a", "b"]),
        ("[\"a\", 1]\n[\"b\", 2]\n", "0", &["a", "b"]),
        ("{}\n{\"text\": \"\\u00e9\"}\n", "text", &["", "é"]),
    ] {
        let found = texts_of("c.jsonl", text, &options("", field))
            .unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let found: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(found, expected, "{text:?} {field:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_the_line_and_the_choice() {
    let long = format!("a,\"{}", "x\n".repeat(9 << 20));
    for (name, text, column, field, says) in [
        (
            "c.csv",
            "id,text\n1,a\n",
            "txt",
            "",
            "c.csv has no column \"txt\" (did you mean text?); its columns are \"id\", \"text\"",
        ),
        ("c.csv", "id,text\n1,a\n", "3", "", "c.csv has no column \"3\"; its columns are"),
        (
            "c.csv",
            "title,text\nx,a\ny,b\n",
            "",
            "",
            "c.csv has several columns that may hold the text; choose with --column: \"title\", \"text\"",
        ),
        ("c.csv", "x,a\ny,b\n", "", "", "choose with --column: 1 (\"x\"), 2 (\"a\")"),
        ("c.csv", "id,n\n1,2\n", "", "", "c.csv has no column of text"),
        (
            "c.csv",
            "id,text\n1,a\n2,b,c\n",
            "text",
            "",
            "c.csv, line 3: the row has 3 columns, and the first row has 2; put a field with a comma in it",
        ),
        (
            "c.csv",
            &long,
            "1",
            "",
            "c.csv, line 1: the row is longer than 16 MiB; perhaps a quotation mark is not closed",
        ),
        (
            "c.jsonl",
            "{\"text\": \"a\"}\n{\"text\": 5}\n",
            "",
            "text",
            "c.jsonl, line 2: field \"text\" is a number, not text",
        ),
        (
            "c.jsonl",
            "{\"text\": \"a\"}\n",
            "",
            "txt",
            "c.jsonl has no field \"txt\" (did you mean text?) in its first 1 line; its fields are \"text\"",
        ),
        (
            "c.jsonl",
            "{\"a\": \"x\", \"b\": {\"c\": \"y\"}, \"n\": 1}\n",
            "",
            "",
            "several fields that may hold the text; choose with --field: \"a\", \"b.c\"",
        ),
        ("c.jsonl", "{\"n\": 1}\n", "", "", "c.jsonl, line 1: no field of it is text; its fields are \"n\""),
        ("c.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"\n", "", "", "c.jsonl, line 2: this is not JSON"),
        ("c.jsonl", "{\"text\": \"a\"}\n5\n", "", "", "c.jsonl, line 2: it is no object with fields"),
        (
            "c.json",
            "[\n {\"text\": \"a\"}\n]\n",
            "",
            "",
            "c.json is a JSON document, not one JSON object a line; convert it: jq -c '.[]' c.json > c.jsonl",
        ),
        ("c.json", "[{\"text\": \"a\"}]\n", "", "", "c.json is a JSON document"),
        (
            "c.parquet",
            "",
            "",
            "",
            "c.parquet is called .parquet and does not begin as a Parquet file; it is empty",
        ),
        ("c.parquet", "text\na\n", "", "", "does not begin as a Parquet file; name it by what it is"),
        ("c.parquet", "PAR1\u{15}\u{4}garbage PAR1", "", "", "c.parquet is a damaged Parquet file"),
        ("c.txt.gz", "", "", "", "c.txt.gz is called compressed and is empty"),
        ("c.csv", "\u{1f}", "", "", ""),
    ] {
        let found = texts_of(name, text, &options(column, field)).err().unwrap_or_default();
        assert!(found.contains(says) && found.lines().count() <= 1, "{name}: {says:?} in {found:?}");
        assert!(found.len() < 500, "{found}");
    }
    let latin = texts_of("c.csv", b"id,text\n1,a\n2,caf\xe9\n", &options("text", "")).unwrap_err();
    assert!(latin.starts_with("c.csv, line 3: byte 4 of the text is not valid UTF-8"), "{latin}");
}

#[test]
fn a_folder_is_read_by_name_and_what_is_no_text_passed_by() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("b.txt", "two\n"),
        ("a/c.jsonl", "{\"text\": \"one\"}\n"),
        ("README.md", "no"),
        (".hidden.txt", "no"),
        ("_SUCCESS.txt", "no"),
        ("run/train.toml", ""),
        ("run/metrics.jsonl", "{\"step\": 1}\n"),
        ("model/config.json", "{}"),
        ("model/vocab.txt", "no"),
        ("z.tsv", "1\tthree\n"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let read = |paths: &[&str]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| folder.path().join(path)).collect();
        let listed = list("--corpus", &paths, &CorpusOptions::default())?;
        Corpus::read(listed, &CorpusOptions::default(), Format::Sentences)
    };
    let corpus = read(&["."]).unwrap();
    let texts: Vec<String> = (0..corpus.len()).map(|i| corpus.entry(i).unwrap().texts[0].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    let said = corpus.remarks().remove(0);
    for says in [
        "3 sentences of 3 records",
        "3 files: 1 of plain text; 1 of TSV; 1 of JSON lines",
        "1 file of no known form passed by (README.md)",
    ] {
        assert!(said.contains(says), "{says:?} in {said}");
    }
    let corpus = read(&["[ab]*.txt", "b.txt", "a"]).unwrap();
    assert_eq!(corpus.len(), 2);
    assert!(
        corpus.remarks()[0].contains("1 file named more than once and read once"),
        "{:?}",
        corpus.remarks()
    );
    for (path, says) in [
        ("run", "is a model's folder, not a corpus"),
        ("model", "is a model's folder"),
        ("*.csv", "no file matches"),
        ("none", "cannot read"),
    ] {
        let error = read(&[path]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever sentences are written as CSV, TSV and JSON lines, the corpus is that of plain text.
    #[test]
    fn any_sentences_are_the_same_in_any_form(
        sentences in proptest::collection::vec("[a-zé\"', ;\u{2028}犬]{0,12}[a-z]", 1..80),
    ) {
        let read = |name: &str, bytes: Vec<u8>, options: &CorpusOptions| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let corpus = Corpus::read(list("--corpus", &[path], options).unwrap(), options, Format::Sentences).unwrap();
            let texts: Vec<String> = (0..corpus.len()).map(|i| corpus.entry(i).unwrap().texts[0].clone()).collect();
            (texts, corpus.sha256().to_owned())
        };
        let mut plain = "head\n".to_owned() + &sentences.join("\n") + "\n";
        let expected = read("c.txt", plain.clone().into_bytes(), &CorpusOptions::default());
        plain = plain.trim_end().to_owned();
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["n", "body"]).unwrap();
        plain.split('\n').for_each(|line| writer.write_record(["1", line]).unwrap());
        let by_column = options("body", "");
        prop_assert_eq!(&read("c.csv", writer.into_inner().unwrap(), &by_column), &expected);
        let tsv: String = std::iter::once("n\tbody\n".to_owned()).chain(plain.split('\n').map(|l| format!("1\t{l}\n"))).collect();
        prop_assert_eq!(&read("c.tsv", tsv.into_bytes(), &by_column), &expected);
        let json: String = plain.split('\n').map(|line| serde_json::json!({"a": {"b": line}}).to_string() + "\n").collect();
        prop_assert_eq!(&read("c.jsonl", json.into_bytes(), &options("", "a.b")), &expected);
    }
}
