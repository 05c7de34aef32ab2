//! One's own files with labels: columns by name, classes as the training file has them.

use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Dataset, Example, Kind, Label, LabelledError};
use crate::corpus::{Input, Place, Values, Wanted, Widths, is_blank, open_named};
use crate::quote::counted;

const TEXT: &str = "text";
const TEXT2: &str = "text2";
const LABEL: &str = "label";

/// Classes that a message names.
const SHOWN: usize = 20;

/// The flags of every command that reads files with labels.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LabelledOptions {
    /// Column (.csv, .tsv, .parquet) or field (.jsonl) that holds the text
    #[arg(long, default_value = TEXT, value_name = "NAME", help_heading = "Files with labels")]
    #[serde(default = "text_column")]
    pub text_column: String,
    /// Column or field that holds the second text of a pair [default: text2, where the training file has it]
    #[arg(long, value_name = "NAME", help_heading = "Files with labels")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text2_column: Option<String>,
    /// Column or field that holds the label
    #[arg(long, default_value = LABEL, value_name = "NAME", help_heading = "Files with labels")]
    #[serde(default = "label_column")]
    pub label_column: String,
    /// Labels are numbers to be predicted, not names of classes
    #[arg(long, help_heading = "Files with labels")]
    #[serde(default)]
    pub regression: bool,
}

fn text_column() -> String {
    TEXT.to_owned()
}

fn label_column() -> String {
    LABEL.to_owned()
}

impl Default for LabelledOptions {
    fn default() -> Self {
        LabelledOptions {
            text_column: text_column(),
            text2_column: None,
            label_column: label_column(),
            regression: false,
        }
    }
}

impl LabelledOptions {
    /// Reads a training file. Its classes are the labels that it has: in the order of their numbers where all are whole
    /// numbers, else in the order of their letters (code points), so that the order of rows does not matter.
    ///
    /// # Errors
    /// What cannot be read; a column or a value that is not there; with `regression`, a label that is no number; without,
    /// a single class. Each is a sentence that names the file and the line.
    pub fn read_train(&self, path: &Path) -> Result<Dataset, LabelledError> {
        let raw = self.read(path)?;
        let kind = if self.regression {
            Kind::Regression
        } else {
            Kind::Classification { classes: classes_of(&raw)? }
        };
        let remarks = number_remark(&raw.name, &kind).into_iter().collect();
        Ok(Dataset { remarks, ..raw.with_labels(kind)? })
    }

    /// Reads a file to be scored on by a model that learned from `train`, or that has its classes.
    ///
    /// # Errors
    /// As [`LabelledOptions::read_train`], a label that `train` does not have, and pairs where `train` has single texts or
    /// the other way round.
    pub fn read_dev(&self, path: &Path, train: &Dataset) -> Result<Dataset, LabelledError> {
        let raw = self.read(path)?;
        let found = raw.with_labels(train.kind.clone())?;
        if found.has_pairs() != train.has_pairs() {
            return Err(LabelledError::Pairs { has_pairs: found.has_pairs(), name: found.name });
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> Result<Raw, LabelledError> {
        let text2 = match &self.text2_column {
            Some(name) => Wanted::Named(name.clone()),
            None => Wanted::IfThere(TEXT2.to_owned()),
        };
        let wanted =
            [Wanted::Named(self.text_column.clone()), text2, Wanted::Scalar(self.label_column.clone())];
        let input = Input::File(path.to_owned());
        let mut rows = open_named(&input, &wanted, Widths::Same)?;
        let mut raw = Raw { name: input.name(), rows: Vec::new() };
        while let Some(values) = rows.next_values()? {
            let row = RawRow::new(values, &wanted, &raw.name)?;
            raw.push(row, &wanted[1])?;
        }
        if raw.rows.is_empty() {
            return Err(LabelledError::Empty { name: raw.name });
        }
        Ok(raw)
    }
}

/// A file whose labels are not understood yet.
struct Raw {
    name: String,
    rows: Vec<RawRow>,
}

struct RawRow {
    place: Place,
    text: String,
    text2: Option<String>,
    label: String,
}

impl RawRow {
    fn new(row: Values, wanted: &[Wanted], name: &str) -> Result<Self, LabelledError> {
        let missing = |column: usize| LabelledError::Missing {
            name: name.to_owned(),
            place: row.place,
            column: wanted[column].name().unwrap_or_default().to_owned(),
        };
        let there = |value: Option<&String>| value.filter(|value| !is_blank(value)).cloned();
        let [text, text2, label] = [0, 1, 2].map(|column| there(row.values[column].as_ref()));
        let text = text.ok_or_else(|| missing(0))?;
        let label = label.ok_or_else(|| missing(2))?.trim().to_owned();
        Ok(RawRow { place: row.place, text, text2, label })
    }
}

impl Raw {
    /// Adds a row. All have a second text, or none has.
    fn push(&mut self, row: RawRow, text2: &Wanted) -> Result<(), LabelledError> {
        let has_pairs = self.rows.first().map(|first| first.text2.is_some());
        let is_wanted = matches!(text2, Wanted::Named(_));
        let (name, place) = (self.name.clone(), row.place);
        let column = text2.name().unwrap_or_default().to_owned();
        match (has_pairs.unwrap_or(is_wanted || row.text2.is_some()), row.text2.is_some()) {
            (true, false) => Err(LabelledError::Missing { name, place, column }),
            (false, true) => Err(LabelledError::Mixed { name, place, column }),
            _ => {
                self.rows.push(row);
                Ok(())
            }
        }
    }

    fn with_labels(self, kind: Kind) -> Result<Dataset, LabelledError> {
        let Raw { name, rows } = self;
        let mut examples = Vec::with_capacity(rows.len());
        for row in rows {
            let label = match &kind {
                Kind::Regression => value(&row, &name)?,
                Kind::Classification { classes } => class(&row, classes, &name)?,
            };
            examples.push(Example { text: row.text, text2: row.text2, label });
        }
        Ok(Dataset { name, examples, kind, remarks: Vec::new() })
    }
}

fn value(row: &RawRow, name: &str) -> Result<Label, LabelledError> {
    let value = row.label.parse::<f64>().ok().filter(|value| value.is_finite());
    value.map(Label::Value).ok_or_else(|| LabelledError::NotANumber {
        name: name.to_owned(),
        place: row.place,
        label: row.label.clone(),
        advice: "correct it, or leave out --regression where labels are names of classes",
    })
}

fn class(row: &RawRow, classes: &[String], name: &str) -> Result<Label, LabelledError> {
    let class = classes.iter().position(|class| *class == row.label);
    class.map(Label::Class).ok_or_else(|| {
        let shown: Vec<&str> = classes.iter().take(SHOWN).map(String::as_str).collect();
        let rest = if classes.len() > SHOWN { ", …" } else { "" };
        LabelledError::UnknownLabel {
            name: name.to_owned(),
            place: row.place,
            label: row.label.clone(),
            classes: format!("of the training file ({}{rest})", shown.join(", ")),
        }
    })
}

/// The labels of a file, each once, in an order that its rows do not change.
fn classes_of(raw: &Raw) -> Result<Vec<String>, LabelledError> {
    let mut classes: Vec<String> = raw.rows.iter().map(|row| row.label.clone()).collect();
    classes.sort_unstable();
    classes.dedup();
    if let [class] = &classes[..] {
        return Err(LabelledError::OneClass { name: raw.name.clone(), class: class.clone() });
    }
    let whole: Option<Vec<i64>> = classes.iter().map(|class| class.parse().ok()).collect();
    if whole.is_some() {
        // Stable, so that "1" and "01", which are two classes, keep the order of their letters.
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    Ok(classes)
}

/// That labels look like numbers which somebody may have meant to predict.
fn number_remark(name: &str, kind: &Kind) -> Option<String> {
    let Kind::Classification { classes } = kind else { return None };
    let are_numbers = classes.iter().all(|class| class.parse::<f64>().is_ok());
    let are_whole = classes.iter().all(|class| class.parse::<i64>().is_ok());
    (are_numbers && !are_whole).then(|| {
        let classes = counted(classes.len() as u64, "different number");
        format!(
            "{name}: its labels are {classes}, each taken for a class; --regression predicts them as numbers"
        )
    })
}
