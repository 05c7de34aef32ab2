//! The hub's copy of GLUE, a Parquet file for each part of a task, as rows of GLUE's own files.

use std::path::Path;

use super::{LabelledError, Task};
use crate::corpus::{Input, NamedRows, Values, Wanted, Widths, open_named};

/// What a row number stands in for: GLUE's own numbers are not in the hub's data set.
const NUMBERS: [&str; 2] = ["index", "id"];

/// The rows of a part, as lines of GLUE's own file. Columns that the hub's data set does not have are empty.
pub struct HubRows {
    rows: Box<dyn NamedRows>,
    task: &'static Task,
    name: String,
    /// Rows that were given.
    pub given: u64,
    /// Rows in whose texts tabs or line breaks became spaces, since the file has no quoting.
    pub changed: u64,
}

impl HubRows {
    /// Opens a Parquet file of the hub's data set.
    ///
    /// # Errors
    /// A file that cannot be read or lacks the task's columns.
    pub fn open(task: &'static Task, path: &Path) -> Result<Self, LabelledError> {
        let texts = task.layout.hub_texts.iter().map(|name| Wanted::Named((*name).to_owned()));
        let wanted: Vec<Wanted> = std::iter::once(Wanted::Scalar("label".to_owned())).chain(texts).collect();
        let input = Input::File(path.to_owned());
        let rows = open_named(&input, &wanted, Widths::Same)?;
        Ok(HubRows { rows, task, name: input.name(), given: 0, changed: 0 })
    }

    /// The file's first line, with its line feed; empty for CoLA, whose files have none.
    pub fn header(&self) -> String {
        let layout = &self.task.layout;
        if layout.has_header { layout.columns.join("\t") + "\n" } else { String::new() }
    }

    /// The next line, with its line feed.
    ///
    /// # Errors
    /// A row without a text, and a label that the task does not have.
    pub fn next_line(&mut self) -> Result<Option<String>, LabelledError> {
        let Some(row) = self.rows.next_values()? else { return Ok(None) };
        let number = self.given.to_string();
        let (label, texts) = self.values(&row)?;
        let layout = &self.task.layout;
        let fields = layout.columns.iter().map(|&column| match column {
            _ if column == layout.label => label.as_str(),
            _ if column == layout.text => &texts[0],
            _ if Some(column) == layout.text2 => &texts[1],
            _ if NUMBERS.contains(&column) => &number,
            _ => "",
        });
        let line = fields.collect::<Vec<_>>().join("\t") + "\n";
        self.given += 1;
        self.changed += u64::from(row.values[1..].iter().flatten().any(|text| text.contains(BREAKS)));
        Ok(Some(line))
    }

    /// How the label is written in GLUE's file, and the texts, in one line each.
    fn values(&self, row: &Values) -> Result<(String, Vec<String>), LabelledError> {
        let missing = |column: &str| LabelledError::Missing {
            name: self.name.clone(),
            place: row.place,
            column: column.to_owned(),
        };
        let label = row.values[0].as_ref().ok_or_else(|| missing("label"))?;
        let texts = row.values[1..].iter().zip(self.task.layout.hub_texts).map(|(text, column)| {
            text.as_ref().map(|text| text.replace(BREAKS, " ")).ok_or_else(|| missing(column))
        });
        Ok((self.written(label, row)?, texts.collect::<Result<_, _>>()?))
    }

    /// A label, which the hub's data set has as a class's place.
    fn written(&self, label: &str, row: &Values) -> Result<String, LabelledError> {
        if self.task.classes.is_empty() {
            self.task.label(label, &self.name, row.place)?;
            return Ok(label.to_owned());
        }
        let class = label.parse::<usize>().ok().and_then(|place| self.task.classes.get(place));
        class.map(|class| class.written.to_owned()).ok_or_else(|| LabelledError::UnknownLabel {
            name: self.name.clone(),
            place: row.place,
            label: label.to_owned(),
            classes: format!("0 to {}", self.task.classes.len() - 1),
        })
    }
}

/// What would end a field or a line.
const BREAKS: [char; 3] = ['\t', '\n', '\r'];
