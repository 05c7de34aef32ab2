//! A sweep's tables: on standard output, and as files in its folder.

use std::path::Path;

use sts_eval::Bootstrap;
use sts_eval::seeds::{SeedForm, SeedTable};

use super::super::files;
use super::super::forms::{print, rendered};
use super::super::{Done, failure};
use super::{Plan, State};
use crate::output::{Form, Inputs, OutputFiles};
use crate::sweep::rows;

/// Each form's file, how one of an earlier table is known, and what it begins with.
const FORMS: [(&str, SeedForm, Form, &str); 4] = [
    ("table.md", SeedForm::Markdown, files::SWEEP_MARKDOWN, files::SWEEP_MARKDOWN_MARK),
    ("table.tex", SeedForm::Latex, files::SWEEP_LATEX, files::SWEEP_LATEX_MARK),
    ("table.json", SeedForm::Json, files::SWEEP_JSON, ""),
    ("table.html", SeedForm::Html, files::HTML, ""),
];

/// `--collect`: the tables of whatever is finished.
pub fn collect(folder: &Path, bootstrap: &Bootstrap) -> Done {
    write(folder, &State::read(folder, Plan::read(folder)?)?, bootstrap)
}

pub fn write(folder: &Path, state: &State, bootstrap: &Bootstrap) -> Done {
    let (rows, notes) = rows(folder, state)?;
    if rows.is_empty() {
        let message = format!("no row of the sweep in {} has a finished run yet", folder.display());
        return Err(failure(message));
    }
    let table = SeedTable::new(&rows, bootstrap, notes)?;
    print(&rendered("", |bytes| SeedForm::Table.write(&table, bytes))?)?;
    let inputs = Inputs::default();
    let mut outputs = OutputFiles::new(&inputs, false);
    for (name, form, known, mark) in FORMS {
        let file = outputs.claim("--output", &folder.join(name), known)?;
        file.write(&rendered(mark, |bytes| form.write(&table, bytes))?)?;
    }
    Ok(())
}
