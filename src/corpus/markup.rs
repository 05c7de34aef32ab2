//! Files of rows and fields that would be taken for sentences, markup and all: JSON, CSV, TSV, HTML. They are
//! recognised by their first lines, CSV and TSV also by the file's name, and refused with a command that takes the
//! text out of them.

use serde_json::Value;
use sts_eval::not_text::{beside, shell_word};

use super::{CorpusError, Format, is_blank};

/// Lines that are looked at, blank ones aside.
const LOOKED_AT: usize = 3;

/// A longer line is not parsed.
const LONGEST_PARSED: usize = 1 << 20;

/// Columns and keys that hold text, the likeliest first.
const TEXT_NAMES: [&str; 30] = [
    "text",
    "sentence",
    "sentences",
    "content",
    "body",
    "sentence1",
    "sentence2",
    "sentence_1",
    "sentence_2",
    "sentence_a",
    "sentence_b",
    "text1",
    "text2",
    "title",
    "query",
    "question",
    "answer",
    "premise",
    "hypothesis",
    "anchor",
    "positive",
    "description",
    "review",
    "abstract",
    "comment",
    "message",
    "paragraph",
    "passage",
    "document",
    "utterance",
];

/// Whether a column or key is called as those of texts are.
pub(super) fn is_text_name(field: &str) -> bool {
    TEXT_NAMES.iter().any(|name| field.trim().eq_ignore_ascii_case(name))
}

/// The first lines of a text.
pub(super) struct Beginning {
    format: Format,
    lines: Vec<String>,
}

impl Beginning {
    pub fn new(format: Format) -> Self {
        Beginning { format, lines: Vec::new() }
    }

    /// Takes in a line; true where no more are needed.
    pub fn push(&mut self, line: &str) -> bool {
        if !is_blank(line) {
            self.lines.push(line.to_owned());
        }
        self.lines.len() >= LOOKED_AT
    }

    /// Why lines that begin so are not sentences, or not pairs, if they are none.
    pub fn refusal(&self, name: &str) -> Option<CorpusError> {
        let (first, rest) = self.lines.split_first()?;
        let found = json(name, first, rest).or_else(|| html(first)).or_else(|| match self.format {
            Format::Sentences => table(name, &self.lines),
            Format::Pairs => pairs(name, &self.lines),
        });
        found.map(|(what, advice)| CorpusError::Markup { name: name.to_owned(), what, advice })
    }
}

/// What a file is, and what to do.
type Refusal = (String, String);

fn json(name: &str, first: &str, rest: &[String]) -> Option<Refusal> {
    let (start, named) = (first.trim_start(), has_ending(name, &[".json", ".jsonl", ".ndjson"]));
    if !start.starts_with(['{', '[']) {
        return None;
    }
    // As a corpus it could be read; queries, and what is called .txt, are text.
    let advice = |path: &str| {
        let (file, target) = (shell_word(name), shell_word(&as_text(name)));
        match as_rows(name, "jsonl") {
            _ if named => {
                format!("take the text out first: jq -r '{path} | gsub(\"\\\\s+\"; \" \")' {file} > {target}")
            }
            Some(called) => {
                format!("call it {called}, and choose with --field {}", path.trim_start_matches('.'))
            }
            None => format!("choose with --field {}", path.trim_start_matches('.')),
        }
    };
    if std::iter::once(first).chain(rest.iter().map(String::as_str)).all(is_json_row) {
        return Some(("holds a JSON value a line, not sentences".into(), advice(&text_key(first))));
    }
    let nested = rest.first().is_some_and(|line| line.trim_start().starts_with(['"', '{', '[']));
    let document = start.starts_with("[{") || (matches!(start.trim_end(), "[" | "{") && nested);
    let advice = || {
        let (file, target) = (shell_word(name), shell_word(&beside(name, "lines")));
        format!("make it one JSON object a line, for example with: jq -c '.[]' {file} > {target}")
    };
    (document || named).then(|| ("is a JSON document, not a text of sentences".into(), advice()))
}

/// Whether a line is an object, or a list that holds more than numbers: "\[1\]" is a reference.
fn is_json_row(line: &str) -> bool {
    let line = line.trim();
    if line.len() > LONGEST_PARSED {
        return line.starts_with('{') && line.ends_with('}');
    }
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => !fields.is_empty(),
        Ok(Value::Array(values)) => values.iter().any(|value| value.is_string() || value.is_object()),
        _ => false,
    }
}

/// jq's path to the text of a row: by its name, else the longest string.
fn text_key(row: &str) -> String {
    let fields = match serde_json::from_str(row) {
        Ok(Value::Object(fields)) if row.len() <= LONGEST_PARSED => fields,
        Ok(Value::Array(_)) => return ".[0]".into(),
        _ => return ".text".into(),
    };
    let strings = || fields.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
    let by_name =
        TEXT_NAMES.iter().find_map(|name| strings().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    let found = by_name.or_else(|| strings().max_by_key(|(_, text)| text.len()));
    match found.map(|(key, _)| key.as_str()) {
        Some(key) if is_identifier(key) => format!(".{key}"),
        _ => ".text".into(),
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn html(first: &str) -> Option<Refusal> {
    let start: String = first.trim_start().chars().take(14).collect::<String>().to_ascii_lowercase();
    let known = [("<!doctype html", "HTML"), ("<html", "HTML"), ("<?xml", "XML")];
    let (_, form) = known.iter().find(|(tag, _)| start.starts_with(tag))?;
    Some((
        format!("is {form}, not a text of sentences"),
        "take the text out first, one sentence a line".into(),
    ))
}

/// A table by its name and equal columns, by quoted fields, or by a header that names a column of text.
fn table(name: &str, lines: &[String]) -> Option<Refusal> {
    let first = &lines[0];
    let named = has_ending(name, &[".csv", ".tsv", ".tab"]);
    if named && is_text_name(unquoted(first)) && !first.contains(['\t', ',', ';']) && lines.len() > 1 {
        let advice =
            format!("leave it out: tail -n +2 {} > {}", shell_word(name), shell_word(&as_text(name)));
        return Some((format!("begins with the header {}", crate::quote::quoted(first)), advice));
    }
    let separators = if has_ending(name, &[".tsv", ".tab"]) { &['\t'][..] } else { &['\t', ',', ';'] };
    let separator = separators.iter().copied().find(|&separator| {
        let columns = columns(first, separator).len();
        let equal =
            lines.len() > 1 && lines.iter().all(|line| self::columns(line, separator).len() == columns);
        let quoted = lines.iter().any(|line| line.starts_with('"') && line.trim_end().ends_with('"'));
        columns > 1 && (is_header(first, separator) || (named && (equal || quoted)))
    });
    let (separator, columns_found) = match separator {
        Some(separator) => (separator, columns(first, separator).len()),
        None if named && lines.iter().all(|line| line.starts_with('"')) => (',', 1),
        None => return None,
    };
    let kind = if separator == '\t' { "tabs" } else { "commas or semicolons" };
    let what = if columns_found == 1 {
        "has quoted fields, not sentences".to_owned()
    } else {
        format!("is a table of {columns_found} columns between {kind}, not sentences")
    };
    Some((what, take_out(name, lines, separator)))
}

/// How to write one column of a table to a file.
fn take_out(name: &str, lines: &[String], separator: char) -> String {
    let (file, target) = (shell_word(name), shell_word(&as_text(name)));
    let names = columns(&lines[0], separator);
    let header = names.iter().any(|name| is_text_name(name));
    let by_name = TEXT_NAMES
        .iter()
        .find_map(|known| names.iter().position(|name| name.trim().eq_ignore_ascii_case(known)));
    let last = columns(lines.last().unwrap_or(&lines[0]), separator);
    let longest = || (0..last.len()).max_by_key(|&i| last[i].len()).unwrap_or(0);
    let column = by_name.unwrap_or_else(longest);
    let command = match (separator, header) {
        ('\t', true) => format!("tail -n +2 {file} | cut -f {} > {target}", column + 1),
        ('\t', false) => format!("cut -f {} {file} > {target}", column + 1),
        (separator, header) => {
            let separator = if separator == ';' { ", delimiter=\";\"" } else { "" };
            let rows = if header { "list(csv.reader(sys.stdin{}))[1:]" } else { "csv.reader(sys.stdin{})" };
            let rows = rows.replace("{}", separator);
            format!(
                "python3 -c 'import csv, sys; [print(\" \".join(row[{column}].split())) for row in {rows}]' < {file} > {target}"
            )
        }
    };
    let as_pairs = if separator == '\t' && names.len() == 2 {
        "; mirror train --pairs takes two columns as they are"
    } else {
        ""
    };
    if let Some(called) = as_rows(name, if separator == '\t' { "tsv" } else { "csv" })
        .filter(|_| !has_ending(name, &[".csv", ".tsv", ".tab"]))
    {
        let chosen = if header { shell_word(names[column]) } else { (column + 1).to_string() };
        return format!("call it {called}, and choose with --column {chosen}");
    }
    if name.starts_with("standard input") {
        return format!("choose with --column {}", shell_word(names[column]));
    }
    // Without a header it is the file's name that makes a table of it.
    let or_rename = if header { "" } else { "; if its lines are sentences, call the file .txt" };
    format!("take one column out first: {command}{as_pairs}{or_rename}")
}

/// A file of pairs whose columns are not two texts: a header, or numbers.
fn pairs(name: &str, lines: &[String]) -> Option<Refusal> {
    let rows: Vec<[&str; 2]> = lines.iter().map_while(|line| Format::Pairs.columns(line).ok()).collect();
    let first = rows.first()?;
    let (file, target) = (shell_word(name), shell_word(&beside(name, "pairs")));
    if lines.len() > 1 && first.iter().all(|field| is_text_name(unquoted(field))) {
        let what = format!("begins with the header {}", crate::quote::quoted(&lines[0]));
        return Some((what, format!("leave it out: tail -n +2 {file} > {target}")));
    }
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    let numbers = (0..2).find(|&column| rows.len() > 1 && rows.iter().all(|row| is_number(row[column])))?;
    let what = format!("has numbers in column {}, not texts", numbers + 1);
    Some((what, "a pair is two texts that mean the same, separated by a tab".into()))
}

/// Whether a first line names columns, one of them as columns of text are called.
fn is_header(line: &str, separator: char) -> bool {
    let names = columns(line, separator);
    let is_name = |name: &&str| {
        let name = name.trim();
        (1..=40).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || "_-.#".contains(c))
    };
    names.len() > 1 && names.iter().all(is_name) && names.iter().any(|name| is_text_name(name))
}

/// The fields of a row; a separator between quotation marks is none.
fn columns(line: &str, separator: char) -> Vec<&str> {
    let mut inside = false;
    let split = line.split(move |c: char| {
        inside ^= c == '"' && separator != '\t';
        c == separator && !inside
    });
    split.map(unquoted).collect()
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// What a file of rows should be called: "c.txt" is "c.jsonl". What has no name is not called anything.
fn as_rows(name: &str, ending: &str) -> Option<String> {
    if name.starts_with("standard input") || name.starts_with("/dev/") {
        return None;
    }
    let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let packed = &name[stem.len()..];
    let folder = stem.rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    let dot = stem[folder..].rfind('.').map_or(stem.len(), |dot| folder + dot);
    Some(format!("{}.{ending}{packed}", &stem[..dot]))
}

/// The file to write text to: "c.csv" becomes "c.txt".
fn as_text(name: &str) -> String {
    let ending =
        [".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab"].into_iter().find(|e| has_ending(name, &[e]));
    ending
        .map_or_else(|| beside(name, "text"), |ending| format!("{}.txt", &name[..name.len() - ending.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, text: &str, format: Format) -> String {
        let mut beginning = Beginning::new(format);
        let _ = text.lines().any(|line| beginning.push(line));
        beginning.refusal(name).map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn rows_and_fields_are_refused_with_a_command() {
        for (name, text, says) in [
            (
                "c.jsonl",
                "{\"id\": 0, \"text\": \"a\"}\n",
                "c.jsonl holds a JSON value a line, not sentences; take the text out first: jq -r '.text | gsub(\"\\\\s+\"; \" \")' c.jsonl > c.txt",
            ),
            ("c.txt", "{\"id\": 0, \"Satz\": \"ein\"}\n\n{\"id\": 1}\n{}\n", ""),
            (
                "c.txt",
                "{\"id\": 0, \"Satz\": \"ein\"}\n{\"id\": 1}\n",
                "sentences; call it c.jsonl, and choose with --field Satz",
            ),
            (
                "standard input",
                "{\"text\": \"a\"}\n",
                "standard input holds a JSON value a line, not sentences; choose with --field text",
            ),
            ("c.json", "[\n  {\"text\": \"a\"},\n", "c.json is a JSON document"),
            ("c.txt", "[{\"text\": \"a\"}, {\"text\": \"b\"}]", "JSON"),
            (
                "c.csv",
                "id,text\n0,\"A man, a dog\"\n1,b\n",
                "c.csv is a table of 2 columns between commas or semicolons, not sentences; take one column out first: python3 -c 'import csv, sys; [print(\" \".join(row[1].split())) for row in list(csv.reader(sys.stdin))[1:]]' < c.csv > c.txt",
            ),
            (
                "c.txt",
                "id,text\n0,b\n",
                "table of 2 columns between commas or semicolons, not sentences; call it c.csv, and choose with --column text",
            ),
            ("standard input", "id\ttext\n0\tb\n", "choose with --column text"),
            ("c.csv", "0;ein Satz\n1;noch einer\n", "delimiter=\";\""),
            (
                "c.csv",
                "text\nA man\nA dog\n",
                "c.csv begins with the header \"text\"; leave it out: tail -n +2 c.csv > c.txt",
            ),
            ("c.csv", "\"A man\"\n\"A dog\"\n", "has quoted fields"),
            (
                "C.TSV",
                "0\tA man plays\n1\tA dog\n",
                "take one column out first: cut -f 2 C.TSV > C.txt; mirror train --pairs",
            ),
            ("c.tsv", "id\tsentence\tlabel\n0\tb\t1\n", "tail -n +2 c.tsv | cut -f 2 > c.txt"),
            ("c.html", "<!DOCTYPE html>\n<p>", "c.html is HTML"),
        ] {
            let found = refusal(name, text, Format::Sentences);
            assert!(
                found.contains(says) && found.is_empty() == says.is_empty(),
                "{name}: {says:?} in {found:?}"
            );
            assert!(found.lines().count() <= 1, "{found}");
        }
        for (name, text, says) in [
            ("p.tsv", "a man\tsomeone\na dog\tan animal\n", ""),
            ("p.txt", "a||b\n", ""),
            ("p.tsv", "sentence1\tsentence2\na\tb\n", "begins with the header"),
            ("p.tsv", "4.5\ta man\n0\ta dog\n", "p.tsv has numbers in column 1"),
            ("p.jsonl", "{\"anchor\": \"a\", \"positive\": \"b\"}\n", "JSON"),
        ] {
            let found = refusal(name, text, Format::Pairs);
            assert!(
                found.contains(says) && found.is_empty() == says.is_empty(),
                "{name}: {says:?} in {found:?}"
            );
        }
    }

    #[test]
    fn sentences_are_sentences() {
        for (name, text) in [
            ("c.txt", "[1] A reference\n[2]\n[3]\n"),
            ("c.txt", "[1]\n[2]\n[3]\n"),
            ("c.txt", "{curly} words\nand more\n"),
            ("c.txt", "Text, and more\nSentence, too\n"),
            ("c.txt", "a\tb\nc\td\n"),
            ("c.csv", "One sentence\nAnother, with a comma\nA third\n"),
            ("c.csv", "text\n"),
            ("c.tsv", "One sentence\nAnother\n"),
            ("c.txt", "\"Hello,\" she said.\n\"Go.\"\n"),
            ("c.txt", "{\n}\n"),
            ("c.txt", "text\nsentence\ncontent\n"),
        ] {
            assert_eq!(refusal(name, text, Format::Sentences), "", "{name}: {text:?}");
        }
    }
}
