//! The flags of every command that reads a corpus.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ReadingError;
use crate::corpus::Format;

/// How a corpus is read: which column or field holds the text, and what of it counts as a sentence.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CorpusOptions {
    /// Column of .csv, .tsv and .parquet files that holds the text: its name in the first row, or its number from 1
    /// where no row names columns [default: the only column of text]. With --pairs give it twice
    #[arg(long = "column", value_name = "NAME", help_heading = "Corpus")]
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub column: Vec<String>,
    /// Field of .jsonl files that holds the text; a dot leads into an object (meta.text) [default: the only field of
    /// text]. With --pairs give it twice
    #[arg(long = "field", value_name = "NAME", help_heading = "Corpus")]
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub field: Vec<String>,
    /// Cut each line, row or record into sentences
    #[arg(long, help_heading = "Corpus")]
    #[serde(default)]
    pub split_sentences: bool,
    /// Leave out sentences of fewer characters
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Corpus")]
    #[serde(default)]
    pub min_chars: usize,
    /// Leave out repeated sentences: exact (the same but for white space around them), or near (also those that share
    /// four fifths of their pieces of four letters, whatever their case and punctuation); the first of them stays
    #[arg(long, value_name = "HOW", help_heading = "Corpus")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<Dedup>,
}

/// Which repeats of a sentence are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dedup {
    /// The same text, white space around it aside.
    Exact,
    /// Also one whose letters are nearly the same.
    Near,
}

impl CorpusOptions {
    /// Refuses other numbers of columns or fields than a record of this format has texts.
    pub(in crate::corpus) fn check(&self, format: Format) -> Result<(), ReadingError> {
        for (flag, given) in [("--column", self.column.len()), ("--field", self.field.len())] {
            let wanted = match format {
                Format::Pairs if given == 0 || given == 2 => continue,
                Format::Sentences if given <= 1 => continue,
                Format::Pairs => "with --pairs it is given twice, once for each text",
                Format::Sentences => "the text is in one; only with --pairs is it given twice",
            };
            return Err(ReadingError::Count { flag, given, wanted });
        }
        Ok(())
    }

    /// Whether records become sentences one for one, so that the nth result belongs to the nth record.
    pub fn keeps_rows(&self) -> bool {
        !self.split_sentences && self.min_chars == 0 && self.dedup.is_none()
    }
}

/// A list that a TOML file may write as a single value, as earlier versions did; one value is written so.
pub mod one_or_many {
    use serde::de::{self, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::fmt;
    use std::marker::PhantomData;

    /// Writes one value as it is, and others as a list.
    pub fn serialize<T: Serialize, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    /// Reads one value or a list.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }

    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, or a list of strings")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(de::value::StrDeserializer::new(text)).map(|value| vec![value])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(value) = values.next_element()? {
                all.push(value);
            }
            Ok(all)
        }
    }
}
