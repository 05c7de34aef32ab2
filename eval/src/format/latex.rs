//! A LaTeX table in the layout of the papers' Table 2.

use std::io::{self, Write};

use super::Format;
use super::grid::{Cell, Grid};
use crate::Report;

/// A `tabular` with the rules of the booktabs package; the best of each column in bold where there are several.
#[derive(Debug, Clone, Copy)]
pub struct Latex;

impl Format for Latex {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()> {
        let grid = Grid::new(reports);
        let headings: Vec<String> = grid.headings.iter().map(|heading| escape(heading)).collect();
        writeln!(output, "% \\usepackage{{booktabs}}")?;
        grid.notes.iter().try_for_each(|note| writeln!(output, "% {}", escape(note)))?;
        writeln!(output, "\\begin{{tabular}}{{l{}}}", "c".repeat(headings.len()))?;
        writeln!(output, "\\toprule\nModel & {} \\\\\n\\midrule", headings.join(" & "))?;
        for row in &grid.rows {
            let cells: Vec<String> = row.cells.iter().map(cell_text).collect();
            writeln!(output, "{} & {} \\\\", escape(&row.model), cells.join(" & "))?;
        }
        writeln!(output, "\\bottomrule\n\\end{{tabular}}")
    }
}

fn cell_text(cell: &Cell) -> String {
    // A minus sign needs mathematics; a hyphen would stand for it in text.
    let text = cell.score.text("--").replacen('-', "$-$", usize::from(cell.score.is_negative()));
    if cell.best { format!("\\textbf{{{text}}}") } else { text }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
