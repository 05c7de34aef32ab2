//! A GitHub-flavoured markdown table, as for a model card.

use std::io::{self, Write};

use super::Format;
use super::grid::{Cell, Grid};
use super::supplement::{Supplement, supplements};
use crate::Report;

/// One row a model; the best of each column in bold where there are several. What a full report has besides follows
/// in tables of its own.
#[derive(Debug, Clone, Copy)]
pub struct Markdown;

impl Format for Markdown {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()> {
        let grid = Grid::new(reports);
        let headings: Vec<String> = grid.headings.iter().map(|heading| escape(heading)).collect();
        writeln!(output, "| Model | {} |", headings.join(" | "))?;
        writeln!(output, "|---|{}", "---:|".repeat(headings.len()))?;
        for row in &grid.rows {
            let cells: Vec<String> = row.cells.iter().map(cell_text).collect();
            writeln!(output, "| {} | {} |", escape(&row.model), cells.join(" | "))?;
        }
        grid.notes.iter().try_for_each(|note| write!(output, "\n{}\n", escape(note)))?;
        supplements(reports).iter().try_for_each(|supplement| write_supplement(supplement, output))
    }
}

fn write_supplement(supplement: &Supplement, output: &mut dyn Write) -> io::Result<()> {
    let headings: Vec<String> = supplement.headings.iter().map(|heading| escape(heading)).collect();
    writeln!(output, "\n{}\n\n| {} |", escape(&supplement.title), headings.join(" | "))?;
    let labels = headings.len() - supplement.numbers;
    writeln!(output, "|{}{}", "---|".repeat(labels), "---:|".repeat(supplement.numbers))?;
    for row in &supplement.rows {
        let cells = row.iter().map(|cell| match escape(&cell.text) {
            text if cell.bold => format!("**{text}**"),
            text => text,
        });
        writeln!(output, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    Ok(())
}

fn cell_text(cell: &Cell) -> String {
    let text = cell.score.text("–");
    if cell.best { format!("**{text}**") } else { text }
}

/// Escapes what markdown would take for markup; a line break would end the row.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => escaped.extend(['\\', character]),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
