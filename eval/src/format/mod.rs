//! Output forms, one file each behind one trait.

mod grid;
mod html;
mod json;
mod latex;
mod markdown;
pub mod mteb;
mod supplement;
mod table;

use std::io::{self, Write};

pub use html::Html;
pub use json::Json;
pub use latex::Latex;
pub use markdown::Markdown;
pub use table::Table;
pub(crate) use table::write_aligned;

use crate::{Error, Report};

/// A way to write reports; several models become several rows.
pub trait Format {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()>;
}

/// The forms by name. A new one is a file and a line here.
const FORMATS: [(&str, &dyn Format); 5] =
    [("table", &Table), ("markdown", &Markdown), ("latex", &Latex), ("json", &Json), ("html", &Html)];

/// The form of a name: `table`, `markdown`, `latex`, `json` or `html`.
pub fn by_name(given: &str) -> Result<&'static dyn Format, Error> {
    FORMATS.iter().find(|(name, _)| *name == given).map(|(_, format)| *format).ok_or_else(|| Error::Unknown {
        what: "output form",
        given: given.to_owned(),
        known: FORMATS.map(|(name, _)| name).join(", "),
    })
}

/// A model's name must not move the terminal's cursor.
pub(crate) fn one_line(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
