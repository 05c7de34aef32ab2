//! A LaTeX table in the layout of the papers' Table 2.

use std::io::{self, Write};

use super::Format;
use super::grid::{Cell, Grid};
use super::supplement::{Supplement, supplements};
use crate::Report;

/// A `tabular` with the rules of the booktabs package; the best of each column in bold where there are several.
/// What a full report has besides follows in tabulars of its own, each under a comment that names it.
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
        writeln!(output, "\\bottomrule\n\\end{{tabular}}")?;
        supplements(reports).iter().try_for_each(|supplement| write_supplement(supplement, output))
    }
}

fn write_supplement(supplement: &Supplement, output: &mut dyn Write) -> io::Result<()> {
    let headings: Vec<String> = supplement.headings.iter().map(|heading| escape(heading)).collect();
    let labels = headings.len() - supplement.numbers;
    writeln!(output, "\n% {}", escape(&supplement.title))?;
    writeln!(output, "\\begin{{tabular}}{{{}{}}}", "l".repeat(labels), "r".repeat(supplement.numbers))?;
    writeln!(output, "\\toprule\n{} \\\\\n\\midrule", headings.join(" & "))?;
    for row in &supplement.rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let text = escape(&cell.text);
            let text = if column < labels { text } else { text.replace('-', "$-$").replace('<', "$<$") };
            if cell.bold { format!("\\textbf{{{text}}}") } else { text }
        });
        writeln!(output, "{} \\\\", cells.collect::<Vec<_>>().join(" & "))?;
    }
    writeln!(output, "\\bottomrule\n\\end{{tabular}}")
}

fn cell_text(cell: &Cell) -> String {
    // A minus sign needs mathematics; a hyphen would stand for it in text.
    let text = cell.score.text("--").replacen('-', "$-$", usize::from(cell.score.is_negative()));
    if cell.best { format!("\\textbf{{{text}}}") } else { text }
}

pub(crate) fn escape(text: &str) -> String {
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
