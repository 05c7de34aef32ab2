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
        write_aligned(&lines, output)?;
        grid.notes.iter().try_for_each(|note| writeln!(output, "{note}"))
    }
}

/// Rows of as many cells each: the first to the left, numbers to the right.
pub(crate) fn write_aligned(rows: &[Vec<String>], output: &mut dyn Write) -> io::Result<()> {
    let length = |cell: &String| cell.chars().count();
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0)).collect();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // A format's own width must be below 65,536, and a name is a user's.
            let padding = " ".repeat(width - length(cell));
            if column == 0 {
                write!(output, "{cell}{padding}")?;
            } else {
                write!(output, "  {padding}{cell}")?;
            }
        }
        writeln!(output)?;
    }
    Ok(())
}
