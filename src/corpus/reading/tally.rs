//! What was read of a corpus and what was left out, for people: one line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::compression::Compression;
use super::form::Form;
use crate::quote::counted;

/// Counted while reading.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many files of which form were read.
    pub(in crate::corpus) forms: BTreeMap<(Form, &'static str), u64>,
    /// Lines, rows and records, and sentences, those left out included in the former.
    pub records: u64,
    pub sentences: u64,
    /// Records without a text, or with one that shows nothing.
    pub blank: u64,
    /// Whether blank ones are encoded like others.
    pub keeps_blank: bool,
    pub short: u64,
    pub min_chars: usize,
    pub repeated: u64,
    pub near: u64,
    /// Files that were named more than once.
    pub twice: u64,
    /// Files of folders that are no text by their names.
    pub passed: Vec<PathBuf>,
    /// Bytes of a temporary copy, and where it is.
    pub spooled: Option<(u64, PathBuf)>,
    pub is_split: bool,
    pub is_of_pairs: bool,
}

impl Tally {
    pub fn add_file(&mut self, form: Form, compression: Option<Compression>) {
        let ending = match compression {
            None => "",
            Some(Compression::Gzip) => ", gzip",
            Some(Compression::Zstd) => ", zstd",
        };
        *self.forms.entry((form, ending)).or_default() += 1;
    }

    /// Whether a text of lines was read as it lies, of which at most blank lines were left out.
    pub fn is_as_it_lies(&self) -> bool {
        let is_one_text = self.forms.len() == 1 && self.forms.get(&(Form::Text, "")) == Some(&1);
        let is_whole = self.short + self.repeated + self.near == 0;
        let is_all = self.twice == 0 && self.passed.is_empty() && self.spooled.is_none();
        is_one_text && is_whole && is_all && !self.is_split
    }

    fn files(&self) -> u64 {
        self.forms.values().sum()
    }

    /// What was left out, and why, each of it in words.
    fn left_out(&self) -> Vec<String> {
        let blank = if self.keeps_blank { 0 } else { self.blank };
        let thing = if self.is_of_pairs { "pair" } else { "sentence" };
        let record = match self.forms.keys().map(|(form, _)| form.record()).collect::<Vec<_>>()[..] {
            ["row"] => "row without text",
            _ => "blank line",
        };
        let blank_said = match (record, blank) {
            ("row without text", 1) => "1 row without text".to_owned(),
            ("row without text", rows) => format!("{rows} rows without text"),
            (record, lines) => counted(lines, record),
        };
        let short = format!("{} of fewer than {} characters", counted(self.short, thing), self.min_chars);
        [
            (blank, blank_said),
            (self.short, short),
            (self.repeated, format!("{} repeated", counted(self.repeated, thing))),
            (self.near, format!("{} nearly repeated", counted(self.near, thing))),
        ]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(_, said)| said)
        .collect()
    }

    /// All of it in one line.
    pub fn sentence(&self, name: &str) -> String {
        let thing = if self.is_of_pairs { "pair" } else { "sentence" };
        let records = match self.forms.keys().map(|(form, _)| form.record()).collect::<Vec<_>>()[..] {
            [only] => counted(self.records, only),
            _ => counted(self.records, "record"),
        };
        let forms = self.forms.iter().map(|((form, ending), count)| match self.files() {
            1 => format!("{}{ending}", form.name()),
            _ => format!("{count} of {}{ending}", form.name()),
        });
        let forms: Vec<String> = forms.collect();
        let of_files = match self.files() {
            1 => forms.join(""),
            files => format!("{}: {}", counted(files, "file"), forms.join("; ")),
        };
        let mut said = format!("{name}: {} of {records} ({of_files})", counted(self.sentences, thing));
        let left_out = self.left_out();
        if !left_out.is_empty() {
            said += &format!("; left out: {}", left_out.join(", "));
        }
        if self.keeps_blank && self.blank > 0 {
            said += &format!(
                "; {} without text encoded as empty, so that rows and records stay aligned",
                self.blank
            );
        }
        if self.twice > 0 {
            said += &format!("; {} named more than once and read once", counted(self.twice, "file"));
        }
        if let Some(first) = self.passed.first().and_then(|path| path.file_name()) {
            let (files, more) =
                (counted(self.passed.len() as u64, "file"), if self.passed.len() > 1 { ", …" } else { "" });
            said += &format!("; {files} of no known form passed by ({}{more})", first.to_string_lossy());
        }
        if let Some((bytes, folder)) = &self.spooled {
            said += &format!("; copied once to {} ({})", folder.display(), size(*bytes));
        }
        said
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
