//! A table of rows over seeds as text.

use std::io::{self, Write};

use super::{AVERAGE, RowSummary, SeedTable, Spread, TestedDifference, page};
use crate::format::{html::set_label, latex, markdown, one_line, supplement::p_value, write_aligned};

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

/// The heading of a column.
pub(super) fn heading(column: &str) -> String {
    if column == AVERAGE { "Avg.".to_owned() } else { set_label(column) }
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

fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}

/// `71.49 ± 0.31`
pub(super) fn spread(spread: &Spread) -> String {
    match (spread.mean, spread.deviation) {
        (Some(mean), Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
        (Some(mean), None) => two_decimals(mean),
        (None, _) => "undefined".to_owned(),
    }
}

/// `+0.47 (+0.12 to +0.80, p = 0.021)`
pub(super) fn tested_text(tested: TestedDifference) -> String {
    let interval = tested.interval();
    format!(
        "{:+.2} ({:+.2} to {:+.2}, {})",
        interval.estimate,
        interval.low,
        interval.high,
        p_value(tested.p_holm)
    )
}

/// What the numbers are, in sentences.
pub(super) fn explanations(table: &SeedTable) -> Vec<String> {
    let percent = (table.bootstrap.confidence * 1e8).round() / 1e6;
    let over = if table.averaged.len() > 1 {
        let sets: Vec<String> = table.averaged.iter().map(|name| set_label(name)).collect();
        format!(" Avg. is over {}.", sets.join(", "))
    } else {
        String::new()
    };
    let mut sentences =
        vec![format!("Spearman’s ρ × 100: mean ± standard deviation over runs with different seeds.{over}")];
    if table.rows.iter().any(|row| row.difference.is_some()) {
        sentences.push(format!(
            "Differences are those of runs with the same seed; {percent} % intervals and p-values count seeds and \
             sentence pairs ({} resamples of both, seed {}), and p-values are corrected for the number of rows (Holm).",
            table.bootstrap.resamples, table.bootstrap.seed
        ));
    }
    sentences.extend(table.notes.iter().cloned());
    sentences
}

/// Rows with what they were trained with, where that says anything.
pub(super) fn with_settings(table: &SeedTable) -> Vec<&RowSummary> {
    table.rows.iter().filter(|row| !row.settings.is_empty()).collect()
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
