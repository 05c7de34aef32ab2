//! GLUE's files, as they are published: no quoting, a header but for CoLA's, a byte-order mark before one of MRPC's.

use std::path::{Path, PathBuf};

use super::{Dataset, DevSet, Example, Label, LabelledError, Task};
use crate::corpus::{Input, Place, Values, Wanted, Widths, open_named};
use crate::quote::counted;

impl Task {
    /// The training file of a folder that has GLUE's tasks as folders, or that is this task's folder itself.
    pub fn train_path(&self, folder: &Path) -> PathBuf {
        self.folder(folder).join("train.tsv")
    }

    /// The file of a set to be scored on.
    pub fn dev_path(&self, folder: &Path, set: &DevSet) -> PathBuf {
        self.folder(folder).join(set.name).with_extension("tsv")
    }

    fn folder(&self, folder: &Path) -> PathBuf {
        let inner = folder.join(self.name);
        if inner.is_dir() || folder.file_name().is_none_or(|name| name != self.name) {
            inner
        } else {
            folder.to_owned()
        }
    }

    /// The training examples in a folder of GLUE's tasks.
    ///
    /// # Errors
    /// A file that cannot be read or is not this task's, in one sentence that names it and the line.
    pub fn train(&self, folder: &Path) -> Result<Dataset, LabelledError> {
        self.read_there(self.train_path(folder), folder, self.train_rows)
    }

    /// The sets to be scored on, in the order of [`Task::dev_sets`]: one, or MNLI's two.
    ///
    /// # Errors
    /// As [`Task::train`].
    pub fn dev(&self, folder: &Path) -> Result<Vec<(&'static str, Dataset)>, LabelledError> {
        let read = |set: &'static DevSet| {
            Ok((set.name, self.read_there(self.dev_path(folder, set), folder, set.rows)?))
        };
        self.dev_sets.iter().map(read).collect()
    }

    fn read_there(&self, path: PathBuf, folder: &Path, rows: u64) -> Result<Dataset, LabelledError> {
        if !path.exists() {
            return Err(LabelledError::NoFile { task: self.name, path, folder: folder.to_owned() });
        }
        self.read(&path, rows)
    }

    /// Reads a file with the columns of this task. A number of rows other than GLUE's is one of the remarks.
    ///
    /// # Errors
    /// As [`Task::train`].
    pub fn read(&self, path: &Path, rows: u64) -> Result<Dataset, LabelledError> {
        let layout = &self.layout;
        let column = |name: &str| {
            let place = layout.columns.iter().position(|column| *column == name).unwrap_or_default();
            if layout.has_header { Wanted::Named(name.to_owned()) } else { Wanted::At(place) }
        };
        let wanted: Vec<Wanted> =
            [Some(layout.label), Some(layout.text), layout.text2].into_iter().flatten().map(column).collect();
        let widths = if layout.passes_over_short_rows { Widths::Any } else { Widths::Enough };
        let input = Input::File(path.to_owned());
        let mut rows_read = open_named(&input, &wanted, widths)?;
        let (name, mut examples, mut short) = (input.name(), Vec::new(), 0);
        while let Some(values) = rows_read.next_values()? {
            if values.values.iter().any(Option::is_none) {
                short += 1;
                continue;
            }
            examples.push(self.example(values, &name)?);
        }
        if examples.is_empty() {
            return Err(LabelledError::Empty { name });
        }
        let remarks = remarks(&name, examples.len() as u64, rows, short);
        Ok(Dataset { name, examples, kind: self.kind(), remarks })
    }

    /// An example of a row whose values are the label, the text and, of a pair, the second text.
    fn example(&self, row: Values, name: &str) -> Result<Example, LabelledError> {
        let mut values = row.values.into_iter().flatten();
        let label = self.label(&values.next().unwrap_or_default(), name, row.place)?;
        Ok(Example { text: values.next().unwrap_or_default(), text2: values.next(), label })
    }

    pub(super) fn label(&self, written: &str, name: &str, place: Place) -> Result<Label, LabelledError> {
        let (label, name) = (written.to_owned(), name.to_owned());
        if self.classes.is_empty() {
            let advice = "a score from 0 to 5 stands there in GLUE's file";
            let value = written.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            return value.map(Label::Value).ok_or(LabelledError::NotANumber { name, place, label, advice });
        }
        let class = self.classes.iter().position(|class| class.written == written || class.name == written);
        class.map(Label::Class).ok_or_else(|| {
            let classes = self.classes.iter().map(|class| class.written).collect::<Vec<_>>().join(", ");
            LabelledError::UnknownLabel { name, place, label, classes }
        })
    }
}

fn remarks(name: &str, found: u64, rows: u64, short: u64) -> Vec<String> {
    let left_out = (short > 0).then(|| {
        format!("{name}: {} with too few columns left out, as GLUE's own readers do", counted(short, "row"))
    });
    let other = (found != rows).then(|| {
        format!(
            "{name} has {}, and GLUE's has {rows}: scores are not comparable to others on this task",
            counted(found, "example")
        )
    });
    left_out.into_iter().chain(other).collect()
}
