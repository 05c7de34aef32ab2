//! A table of rows over seeds as text.

use std::io::{self, Write};

use super::wording::{explanations, heading, spread, tested_text, two_decimals, with_settings};
use super::{SeedTable, page};
use crate::format::{latex, markdown, one_line, write_aligned};

/// A form of a [`SeedTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedForm {
    /// Aligned columns, for a terminal.
    Table,
    /// A GitHub-flavoured markdown table.
    Markdown,
    /// A `tabular` with the rules of the booktabs package.
    Latex,
    /// For scripts.
    Json,
    /// A page to look at, with a point for every run.
    Html,
}

impl SeedForm {
    /// Writes a table.
    ///
    /// # Errors
    /// Those of `output`.
    pub fn write(self, table: &SeedTable, output: &mut dyn Write) -> io::Result<()> {
        match self {
            SeedForm::Table => terminal(table, output),
            SeedForm::Markdown => markdown(table, output),
            SeedForm::Latex => latex(table, output),
            SeedForm::Json => {
                serde_json::to_writer_pretty(&mut *output, table)?;
                writeln!(output)
            }
            SeedForm::Html => page::write(table, output),
        }
    }
}

/// Rows of cells, the heading first: scores, then differences.
fn grids(table: &SeedTable, cell: impl Fn(&str, bool) -> String) -> [Vec<Vec<String>>; 2] {
    let columns = table.columns();
    let headings = |first: &str, last: &[&str]| -> Vec<String> {
        let names = columns.iter().map(|column| heading(column));
        let last = last.iter().map(|last| (*last).to_owned());
        std::iter::once(first.to_owned()).chain(names).chain(last).map(|text| cell(&text, false)).collect()
    };
    let best: Vec<Option<String>> = columns.iter().map(|column| best(table, column)).collect();
    let mut scores = vec![headings("Row", &["Runs"])];
    for row in &table.rows {
        let own = columns.iter().zip(&best).map(|(column, best)| {
            let text = row.scores.get(*column).map_or_else(|| "n/a".to_owned(), spread);
            let mean = row.scores.get(*column).and_then(|own| own.mean).map(two_decimals);
            cell(&text, mean.is_some() && mean == *best)
        });
        let runs = cell(&row.seeds.len().to_string(), false);
        scores.push(std::iter::once(cell(&row.name, false)).chain(own).chain([runs]).collect());
    }
    let mut differences = vec![headings("Difference", &[])];
    for (row, difference) in table.rows.iter().filter_map(|row| Some((row, row.difference.as_ref()?))) {
        let own = columns.iter().map(|column| {
            let tested = difference.scores.get(*column).copied().flatten();
            let significant = tested.is_some_and(|tested| tested.is_significant(&table.bootstrap));
            cell(&tested.map_or_else(|| "n/a".to_owned(), tested_text), significant)
        });
        let label = format!("{} minus {}", row.name, difference.against);
        differences.push(std::iter::once(cell(&label, false)).chain(own).collect());
    }
    [scores, differences]
}

/// The highest mean of a column as it is printed, where several rows are compared.
fn best(table: &SeedTable, column: &str) -> Option<String> {
    let means = table.rows.iter().filter_map(|row| row.scores.get(column)?.mean);
    (table.rows.len() > 1).then(|| means.reduce(f64::max)).flatten().map(two_decimals)
}

fn terminal(table: &SeedTable, output: &mut dyn Write) -> io::Result<()> {
    let [scores, differences] = grids(table, |text, _| one_line(text));
    write_aligned(&scores, output)?;
    if differences.len() > 1 {
        writeln!(output)?;
        write_aligned(&differences, output)?;
    }
    writeln!(output)?;
    for row in with_settings(table) {
        writeln!(output, "{}: {}", one_line(&row.name), one_line(&row.settings))?;
    }
    explanations(table).iter().try_for_each(|sentence| writeln!(output, "{}", one_line(sentence)))
}

fn markdown(table: &SeedTable, output: &mut dyn Write) -> io::Result<()> {
    let cell = |text: &str, bold| {
        let text = markdown::escape(text);
        if bold { format!("**{text}**") } else { text }
    };
    for grid in grids(table, cell).iter().filter(|grid| grid.len() > 1) {
        for (place, row) in grid.iter().enumerate() {
            writeln!(output, "| {} |", row.join(" | "))?;
            if place == 0 {
                writeln!(output, "|---|{}", "---:|".repeat(row.len() - 1))?;
            }
        }
        writeln!(output)?;
    }
    for row in with_settings(table) {
        writeln!(output, "* {}: {}", markdown::escape(&row.name), markdown::escape(&row.settings))?;
    }
    explanations(table).iter().try_for_each(|sentence| writeln!(output, "\n{}", markdown::escape(sentence)))
}

fn latex(table: &SeedTable, output: &mut dyn Write) -> io::Result<()> {
    let cell = |text: &str, bold| {
        // Minus signs and ± are mathematics; a hyphen would stand for the former in text.
        let number = |text: &str| text.replace('-', "$-$").replace('±', "$\\pm$").replace('<', "$<$");
        // Of a name such as "+ δ-SAM" neither.
        let is_number = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
        let text = latex::escape(text);
        let text = if is_number { number(&text) } else { text };
        if bold { format!("\\textbf{{{text}}}") } else { text }
    };
    writeln!(output, "% \\usepackage{{booktabs}}")?;
    for sentence in explanations(table) {
        writeln!(output, "% {}", latex::escape(&sentence))?;
    }
    for row in with_settings(table) {
        writeln!(output, "% {}: {}", latex::escape(&row.name), latex::escape(&row.settings))?;
    }
    for grid in grids(table, cell).iter().filter(|grid| grid.len() > 1) {
        writeln!(output, "\\begin{{tabular}}{{l{}}}\n\\toprule", "c".repeat(grid[0].len() - 1))?;
        for (place, row) in grid.iter().enumerate() {
            writeln!(output, "{} \\\\", row.join(" & "))?;
            if place == 0 {
                writeln!(output, "\\midrule")?;
            }
        }
        writeln!(output, "\\bottomrule\n\\end{{tabular}}")?;
    }
    Ok(())
}
