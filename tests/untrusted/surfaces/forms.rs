//! Corpora in tables, JSON lines and Parquet, compressed.

use std::io::Write;
use std::sync::Arc;

use mirror::corpus::{Corpus, CorpusOptions, Dedup, Format, Texts, list};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{is_a_sentence, write};

/// The first byte says which of these the rest is.
const NAMES: [&str; 7] = ["c.csv", "c.tsv", "c.jsonl", "c.parquet", "c.txt.gz", "c.jsonl.zst", "p.txt"];

pub fn read(bytes: &[u8]) {
    let Some((&chosen, content)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAMES[usize::from(chosen) % NAMES.len()]);
    write(&path, content);
    let flags: [fn(&mut CorpusOptions); 3] =
        [|_| {}, |options| options.split_sentences = true, |options| options.dedup = Some(Dedup::Near)];
    for set in flags {
        let mut options = CorpusOptions::default();
        set(&mut options);
        let listed = || list("--corpus", std::slice::from_ref(&path), &options);
        match listed().and_then(|listed| Corpus::read(listed, &options, Format::Sentences)) {
            // What could be read can be trained on.
            Ok(corpus) => (0..corpus.len()).for_each(|i| assert!(corpus.entry(i).is_ok(), "entry {i}")),
            Err(error) => is_a_sentence(error),
        }
        if let Err(error) = listed().and_then(|listed| Corpus::read(listed, &options, Format::Pairs)) {
            is_a_sentence(error);
        }
        match listed().and_then(|listed| Texts::read(listed, &options)) {
            Ok(texts) => texts.filter_map(Result::err).for_each(is_a_sentence),
            Err(error) => is_a_sentence(error),
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let json = "{\"id\": 1, \"text\": \"A man. A \\u00e9 dog!\"}\n{\"text\": null}\n{\"text\": \"again\"}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"one line\nanother line\none line\n").unwrap();
    let texts: [Vec<u8>; 7] = [
        b"id,text\n1,\"a, \"\"b\"\"\nc\"\r\n2,d\n3,d\n".to_vec(),
        b"id\ttext\n1\ta man\n2\ta dog\n".to_vec(),
        json.into(),
        table(Compression::UNCOMPRESSED),
        gzip.finish().unwrap(),
        zstd::encode_all(json.as_bytes(), 1).unwrap(),
        b"a\tb\nc || d\nMr. X. came! He (\"it\") left.\n".to_vec(),
    ];
    let mut seeds: Vec<Vec<u8>> =
        (0u8..).zip(&texts).map(|(form, text)| [&[form], &text[..]].concat()).collect();
    seeds.push([&[3], &table(Compression::SNAPPY)[..]].concat());
    seeds.push([&[3], &table(Compression::ZSTD(Default::default()))[..]].concat());
    seeds
}

/// A Parquet file of two row groups, with nulls.
fn table(compression: Compression) -> Vec<u8> {
    let schema = parse_message_type("message rows { optional binary text (STRING); }").unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties)).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> = ["one", "two", "one"].map(ByteArray::from).into();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1, 0, 1, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}
