//! Output forms, one file each behind one trait.

mod grid;
pub(crate) mod html;
mod json;
pub(crate) mod latex;
pub(crate) mod markdown;
pub mod mteb;
pub(crate) mod supplement;
mod table;

use std::io::{self, Write};

pub use html::Html;
pub use json::Json;
pub use latex::Latex;
pub use markdown::Markdown;
pub use table::Table;
pub(crate) use table::write_aligned;

use crate::Report;

/// A way to write reports; several models become several rows.
pub trait Format {
    /// Writes the reports in their order.
    ///
    /// # Errors
    /// Those of `output`.
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()>;
}

/// A model's name must not move the terminal's cursor.
pub(crate) fn one_line(name: &str) -> String {
    name.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
