//! Texts with labels: one's own files, GLUE's, and the hub's Parquet files of GLUE.

use std::sync::Arc;

use mirror::labelled::{HubRows, LabelledOptions, Task};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{is_a_sentence, write};

/// The first byte says which of these the rest is.
const NAMES: [&str; 6] = ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "train.tsv", "cola.tsv"];

pub fn read(bytes: &[u8]) {
    let Some((&chosen, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAMES[usize::from(chosen) % NAMES.len()]);
    write(&path, content);
    for regression in [false, true] {
        let options = LabelledOptions { regression, ..LabelledOptions::default() };
        match options.read_train(&path) {
            // What could be learned from can be scored on.
            Ok(train) => assert!(options.read_dev(&path, &train).is_ok()),
            Err(error) => is_a_sentence(error),
        }
    }
    for task in ["RTE", "QQP", "CoLA", "STS-B"].map(|name| Task::named(name).unwrap()) {
        if let Err(error) = task.read(&path, 3) {
            is_a_sentence(error);
        }
    }
    match HubRows::open(Task::named("RTE").unwrap(), &path) {
        Ok(mut rows) => loop {
            match rows.next_line() {
                Ok(Some(line)) => assert!(line.ends_with('\n') && line.matches(['\t', '\n']).count() == 4),
                Ok(None) => break,
                Err(error) => return is_a_sentence(error),
            }
        },
        Err(error) => is_a_sentence(error),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [Vec<u8>; 6] = [
        b"text,text2,label\n\"a, b\",c,1\nd,\"e\nf\",2.5\n".to_vec(),
        b"label\ttext\nyes\ta man\nno\t\"a dog\n".to_vec(),
        b"{\"text\": \"a\", \"label\": 1}\n{\"label\": true, \"text\": \"b\"}\n{\"text\": \"c\", \"label\": \"x\"}\n".to_vec(),
        table(Compression::UNCOMPRESSED),
        "\u{feff}index\tsentence1\tsentence2\tlabel\r\n0\ta \"b\tc\tentailment\r\n1\td\te\tnot_entailment".into(),
        b"gj04\t1\t\tThey ran.\ngj04\t0\t*\tThem ran.".to_vec(),
    ];
    let mut seeds: Vec<Vec<u8>> =
        (0u8..).zip(&texts).map(|(form, text)| [&[form], &text[..]].concat()).collect();
    seeds.push([&[3], &table(Compression::SNAPPY)[..]].concat());
    seeds
}

/// RTE as the hub has it, in two row groups.
fn table(compression: Compression) -> Vec<u8> {
    let schema = "message rows { optional binary sentence1 (STRING); optional binary sentence2 (STRING); optional int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        for _ in 0..2 {
            let mut column = group.next_column().unwrap().unwrap();
            let texts: Vec<ByteArray> = ["one", "two\tthree", "four"].map(ByteArray::from).into();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1, 1, 1]), None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[0, 1, 1], Some(&[1, 1, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}
