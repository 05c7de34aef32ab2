//! Plain text for a terminal.

use std::io::{self, Write};

use super::grid::Grid;
use super::{Format, one_line};
use crate::Report;

/// Aligned columns separated by two spaces.
#[derive(Debug, Clone, Copy)]
pub struct Table;

impl Format for Table {
    fn write(&self, reports: &[Report], output: &mut dyn Write) -> io::Result<()> {
        let grid = Grid::new(reports);
        let mut lines = vec![vec!["Model".to_owned()]];
        lines[0].extend(grid.headings);
        for row in &grid.rows {
            let mut line = vec![one_line(&row.model)];
            line.extend(row.cells.iter().map(|cell| cell.score.text("-")));
            lines.push(line);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();

        for line in &lines {
            write!(output, "{:<width$}", line[0], width = widths[0])?;
            for (cell, &width) in line.iter().zip(&widths).skip(1) {
                write!(output, "  {cell:>width$}")?;
            }
            writeln!(output)?;
        }
        grid.notes.iter().try_for_each(|note| writeln!(output, "{note}"))
    }
}
