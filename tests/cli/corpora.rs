//! Corpora of every form, by every command that reads one.

use std::io::Write;
use std::sync::Arc;

use mirror_parquet::file;
use serde_json::{Value, json};

use crate::models::{Kind, sentences};
use crate::workspace::{Workspace, npy};

/// Writing Parquet, as other programs do.
mod mirror_parquet {
    use super::*;
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    const SCHEMA: &str = "message rows {
        required int64 id;
        optional group meta { optional binary text (STRING); }
        required binary other (STRING);
    }";

    /// Rows of an id, meta.text (or null), and another text, a hundred in a row group.
    pub fn file(rows: &[Option<&str>], compression: Compression) -> Vec<u8> {
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        for rows in rows.chunks(100) {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let ids: Vec<i64> = (0..rows.len() as i64).collect();
            column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let texts: Vec<ByteArray> = rows.iter().flatten().map(|text| ByteArray::from(*text)).collect();
            let levels: Vec<i16> = rows.iter().map(|row| if row.is_some() { 2 } else { 1 }).collect();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let others: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.unwrap_or("-"))).collect();
            column.typed::<ByteArrayType>().write_batch(&others, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Sentences as a CSV with quoted fields, one of which has a line break in it.
fn csv(sentences: &[String]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\"").replacen(' ', " \n ", 1));
    let rows = sentences.iter().enumerate().map(|(i, text)| format!("{i},{}\r\n", quoted(text)));
    "id,text\r\n".to_owned() + &rows.collect::<String>()
}

fn json_lines(sentences: &[String]) -> String {
    sentences.iter().map(|text| json!({"meta": {"text": text}, "n": 1}).to_string() + "\n").collect()
}

/// A file's name, the flags that it is read with, its bytes.
type File = (String, &'static str, Vec<u8>);

/// The same 250 sentences in every form, and in plain text.
fn forms() -> (String, Vec<File>) {
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    let all = sentences(250);
    let text = all.join("\n") + "\n";
    let rows: Vec<Option<&str>> = all.iter().map(|text| Some(text.as_str())).collect();
    let tsv: String = all.iter().enumerate().map(|(i, text)| format!("{i}\t{text}\n")).collect();
    let by_field = "--field meta.text";
    let by_column = "--column meta.text";
    let mut forms = vec![
        ("c.csv".to_owned(), "--column text", csv(&all).into_bytes()),
        ("c.csv.gz".to_owned(), "", gzip(csv(&all).as_bytes())),
        ("c.tsv".to_owned(), "--column 2", tsv.clone().into_bytes()),
        ("c.tsv.zst".to_owned(), "", zstd(tsv.as_bytes())),
        ("c.jsonl".to_owned(), by_field, json_lines(&all).into_bytes()),
        ("c.jsonl.gz".to_owned(), "", gzip(json_lines(&all).as_bytes())),
        ("c.txt.gz".to_owned(), "", [gzip(&text.as_bytes()[..500]), gzip(&text.as_bytes()[500..])].concat()),
        ("c.txt.zst".to_owned(), "", [zstd(&text.as_bytes()[..500]), zstd(&text.as_bytes()[500..])].concat()),
        ("lies.txt".to_owned(), "", gzip(text.as_bytes())),
        ("c.parquet.gz".to_owned(), by_column, gzip(&file(&rows, Compression::SNAPPY))),
    ];
    for (name, compression) in [
        ("none", Compression::UNCOMPRESSED),
        ("snappy", Compression::SNAPPY),
        ("gzip", Compression::GZIP(GzipLevel::default())),
        ("brotli", Compression::BROTLI(BrotliLevel::default())),
        ("zstd", Compression::ZSTD(ZstdLevel::default())),
        ("lz4", Compression::LZ4_RAW),
    ] {
        forms.push((format!("{name}.parquet"), by_column, file(&rows, compression)));
    }
    (text, forms)
}

const TRAIN: &str = "train --model m --batch-size 20 --max-steps 3 --max-length 12 --output";

#[test]
fn every_form_trains_to_the_bytes_of_plain_text() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let (text, forms) = forms();
    w.write("c.txt", &text);
    w.run(&format!("{TRAIN} plain --corpus c.txt"));
    let weights = w.read("plain/model.safetensors");
    let card = |folder: &str| {
        let card = String::from_utf8(w.read(&format!("{folder}/README.md"))).unwrap();
        card.lines().find(|line| line.contains("SHA-256")).unwrap().to_owned()
    };
    for (name, flags, bytes) in &forms {
        w.write(name, bytes);
        let said = w.run(&format!("{TRAIN} out-{name} --corpus {name} {flags}"));
        assert!(said.stderr.contains(&format!("{name}: 250 sentences of 250")), "{}", said.stderr);
        assert!(said.stderr.contains("; copied once to "), "{}", said.stderr);
        assert!(w.read(&format!("out-{name}/model.safetensors")) == weights, "{name}");
        assert_eq!(card(&format!("out-{name}")), card("plain"), "{name}");
    }
    // In parts: a folder of all forms, a pattern, several files; and standard input.
    let all = sentences(250);
    w.write("parts/1.txt", all[..50].join("\n"));
    w.write("parts/2.csv", csv(&all[50..100]));
    w.write("parts/sub/3.jsonl.gz", gzip(json_lines(&all[100..]).as_bytes()));
    w.write("parts/README.md", "not read");
    for (name, corpus) in [
        ("folder", "--corpus parts"),
        ("pattern", "--corpus parts/*.* --corpus parts/sub/*"),
        ("files", "--corpus parts/1.txt --corpus parts/2.csv --corpus parts/sub/3.jsonl.gz"),
    ] {
        if name == "pattern" {
            std::fs::remove_file(w.path("parts/README.md")).unwrap();
        }
        w.run(&format!("{TRAIN} {name} {corpus}"));
        assert!(w.read(&format!("{name}/model.safetensors")) == weights, "{name}");
    }
    let said = w.run_with(&format!("{TRAIN} piped --corpus -"), &text);
    assert!(
        said.stderr.contains("standard input: 250 sentences of 250 lines (plain text); copied"),
        "{}",
        said.stderr
    );
    w.run_with(&format!("{TRAIN} piped-json --corpus - --field meta.text"), &json_lines(&all));
    for name in ["piped", "piped-json"] {
        assert!(w.read(&format!("{name}/model.safetensors")) == weights, "{name}");
    }
    // Saved settings repeat the run.
    w.run("train --config files/train.toml --output again");
    assert!(w.read("again/model.safetensors") == weights);
}

#[test]
fn every_form_is_encoded_searched_and_measured_as_plain_text() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let (text, forms) = forms();
    w.write("c.txt", &text);
    w.run("encode --model m --input c.txt --output plain.npy");
    let search = |input: &str| -> Value {
        let said = w.run(&format!("search --model m --json --top 5 {input} guitar"));
        serde_json::from_str(&said.stdout).unwrap()
    };
    let measures = |corpus: &str| w.run(&format!("eval --model m --sentences 50 --json - {corpus}")).stdout;
    let sharpness = |corpus: &str| -> Value {
        let said =
            w.run(&format!("sharpness --model m --batch-size 4 --batches 1 --instances 2 --json - {corpus}"));
        let mut found: Value = serde_json::from_str(&said.stdout).unwrap();
        found["corpus"] = Value::Null;
        found
    };
    let plain = (search("--input c.txt"), measures("--corpus c.txt"), sharpness("--corpus c.txt"));
    for (name, flags, bytes) in &forms {
        w.write(name, bytes);
        w.run(&format!("encode --model m --input {name} {flags} --output o.npy"));
        assert!(w.read("o.npy") == w.read("plain.npy"), "{name}");
        assert_eq!(search(&format!("--input {name} {flags}")), plain.0, "{name}");
        assert_eq!(measures(&format!("--corpus {name} {flags}")), plain.1, "{name}");
    }
    assert_eq!(sharpness("--corpus c.jsonl.gz"), plain.2);
    w.run_with("encode --model m --field meta.text --output o.npy", &json_lines(&sentences(250)));
    assert!(w.read("o.npy") == w.read("plain.npy"));
    // An output is no input, by whatever way it is named.
    w.write("all/a.jsonl", json_lines(&sentences(3)));
    for input in ["all", "all/*.jsonl", "all/a.jsonl"] {
        w.refuses_usage(
            &format!("encode --model m --input {input} --output all/a.jsonl --overwrite"),
            &["all/a.jsonl", "--input"],
        );
        w.refuses_usage(
            &format!("eval --model m --corpus {input} --json all/a.jsonl --overwrite"),
            &["--corpus"],
        );
    }
    w.refuses_usage("train --model m --corpus all --output all --overwrite", &["--corpus"]);
}

#[test]
fn rows_without_text_are_left_out_or_keep_their_place() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let texts = [Some("a man plays"), None, Some("two dogs run"), Some(" "), Some("rain falls")];
    w.write("c.parquet", file(&texts, parquet::basic::Compression::SNAPPY));
    w.write("c.txt", "a man plays\n\ntwo dogs run\n \nrain falls\n");
    for name in ["c.parquet --column meta.text", "c.txt"] {
        let said = w
            .run(&format!("train --model m --batch-size 2 --no-eval --output o --overwrite --corpus {name}"));
        let says = if name == "c.txt" {
            "2 blank lines left out"
        } else {
            "3 sentences of 5 rows (Parquet); left out: 2 rows without text"
        };
        assert!(said.stderr.contains(says), "{}", said.stderr);
        w.run(&format!("encode --model m --output o.npy --input {name}"));
        assert_eq!(npy(&w.read("o.npy")).len(), 5);
        let hits = w.run(&format!("search --model m --json --input {name} rain")).stdout;
        let hits: Value = serde_json::from_str(&hits).unwrap();
        let mut lines: Vec<u64> = hits[0]["models"][0]["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["line"].as_u64().unwrap())
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 3, 5]);
    }
}

#[test]
fn paragraphs_short_sentences_and_repeats() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write(
        "p.txt",
        "Mr. Smith plays a guitar. Two dogs run! No.\n\nTwo dogs run! Rain falls on the roof. rain FALLS on the roof\n",
    );
    w.write("cut.txt", "Mr. Smith plays a guitar.\nTwo dogs run!\nNo.\nTwo dogs run!\nRain falls on the roof. rain FALLS on the roof\n");
    let count = |flags: &str| {
        let said = w.run(&format!("encode --model m --output o.npy {flags}"));
        (npy(&w.read("o.npy")).len(), said.stderr)
    };
    assert_eq!(count("--input p.txt --split-sentences").0, 5);
    let split = w.read("o.npy");
    assert_eq!(count("--input cut.txt").0, 5);
    assert_eq!(w.read("o.npy"), split);
    let (rows, said) = count("--input p.txt --split-sentences --min-chars 5 --dedup exact");
    assert_eq!(rows, 3);
    for says in ["1 sentence of fewer than 5 characters", "1 sentence repeated", "3 sentences of 3 lines"] {
        assert!(said.contains(says), "{says:?} in {said}");
    }
    w.write(
        "near.txt",
        "Rain falls on the roof.\nrain FALLS, on the roof\nTwo dogs run!\nRain falls on the roof.\n",
    );
    assert_eq!(count("--input near.txt --dedup near").0, 2);
    let said =
        w.run("train --model m --batch-size 2 --no-eval --output a --corpus near.txt --dedup near").stderr;
    assert!(said.contains("left out: 1 sentence repeated, 1 sentence nearly repeated"), "{said}");
    w.write("kept.txt", "Rain falls on the roof.\nTwo dogs run!\n");
    w.run("train --model m --batch-size 2 --no-eval --output b --corpus kept.txt");
    assert_eq!(w.read("a/model.safetensors"), w.read("b/model.safetensors"));
    w.fails(
        "train --model m --batch-size 2 --corpus kept.txt --min-chars 99",
        &["no sentence of 99 characters or more"],
    );
}

#[test]
fn pairs_lie_in_columns_and_fields() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("p.txt", "a man, here\tsomeone\na dog\tan animal\nrain\twater\n");
    w.write("p.csv", "n,x,y\n1,\"a man, here\",someone\n2,a dog,an animal\n3,rain,water\n4,,nothing\n");
    w.write("p.jsonl", "{\"x\": \"a man, here\", \"y\": \"someone\"}\n{\"x\": \"a dog\", \"y\": \"an animal\"}\n{\"x\": \"rain\", \"y\": \"water\"}\n");
    w.write("one.jsonl", "{\"x\": \"a man\"}\n");
    let train = "train --model m --pairs --batch-size 3 --no-eval --output";
    w.run(&format!("{train} a --corpus p.txt"));
    for (name, flags) in [
        ("p.csv", "--column x --column y"),
        ("p.csv", "--column 2 --column 3"),
        ("p.csv", ""),
        ("p.jsonl", ""),
        ("p.jsonl", "--field x --field y"),
    ] {
        w.run(&format!("{train} b --overwrite --corpus {name} {flags}"));
        assert_eq!(w.read("b/model.safetensors"), w.read("a/model.safetensors"), "{name} {flags}");
    }
    w.fails(
        &format!("{train} c --corpus one.jsonl"),
        &["--pairs takes two fields of text, and", "one (\"x\")"],
    );
}

#[test]
fn damaged_files_are_never_trained_on() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let (_, forms) = forms();
    for (name, _, bytes) in forms
        .iter()
        .filter(|(name, ..)| name.contains("parquet") || name.contains(".gz") || name.contains(".zst"))
    {
        let flags = if name.contains("parquet") { "--column meta.text" } else { "" };
        for cut in [bytes.len() / 3, bytes.len() - 5] {
            w.write(name, &bytes[..cut]);
            w.fails(&format!("{TRAIN} out --corpus {name} {flags}"), &[name, "again"]);
        }
        let mut flipped = bytes.clone();
        let middle = bytes.len() / 2;
        flipped[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0x5A);
        w.write(name, &flipped);
        let output = w.mirror(&format!("{TRAIN} out --corpus {name} {flags}")).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Formats without a sum may hold other text now; whatever has one is refused.
        let has_sum = name.contains(".gz");
        assert!(output.status.code() == Some(1) || !has_sum, "{name}: {stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
        let _ = std::fs::remove_dir_all(w.path("out"));
    }
}

#[test]
fn a_run_is_resumed_on_the_same_sentences_alone() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let all = sentences(120);
    w.write("in/a.jsonl.gz", gzip(json_lines(&all[..60]).as_bytes()));
    w.write("in/b.csv", csv(&all[60..]));
    let train = "train --model m --batch-size 10 --max-length 12 --no-eval --save-every 2 --corpus in/*";
    w.run(&format!("{train} --output whole"));
    // Stopped as a run is that was killed after its last checkpoint: without its result.
    w.run(&format!("{train} --output out"));
    std::fs::remove_file(w.path("out/model.safetensors")).unwrap();
    let before = std::fs::read(w.path("in/b.csv")).unwrap();
    w.write("in/b.csv", csv(&all[50..110]));
    let refused = w.mirror("train --resume out").output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && stderr.contains("--corpus"), "{stderr}");
    w.write("in/b.csv", before);
    w.run("train --resume out");
    assert!(w.read("out/model.safetensors") == w.read("whole/model.safetensors"));
    assert!(!w.read("out/train.toml").is_empty());
}
