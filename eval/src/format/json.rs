//! JSON for scripts.

use std::io::{self, Write};

use super::Format;
use crate::Report;

/// One report is an object `{"tasks": {"STS12": {"spearman": …, "pairs": …, "subsets": {…}}, …}, "average": …, …}`,
/// several are an array of such objects. Numbers have full precision; an undefined correlation is `null`.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Format for Json {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()> {
        match reports {
            [report] => serde_json::to_writer_pretty(&mut *output, report)?,
            several => serde_json::to_writer_pretty(&mut *output, several)?,
        }
        writeln!(output)
    }
}
