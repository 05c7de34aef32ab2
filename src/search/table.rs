//! What was found, for people: a row a rank, the models side by side.

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use super::{Found, Hit, ModelHits};

/// A table that keeps to a width.
pub struct Table {
    /// Columns of the terminal.
    pub width: usize,
}

/// Between the columns of two models.
const GAP: usize = 2;
/// A model's column is at least so wide; where not all fit, they stand one below the other.
const NARROWEST: usize = 36;

impl Table {
    /// Writes the hits of one query.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, found: &Found, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", cut(&format!("query: {}", found.query), self.width))?;
        let ranks = found.models.iter().map(|model| model.hits.len()).max().unwrap_or(0);
        let rank_width = ranks.to_string().len() + 1;
        let count = found.models.len().max(1);
        let column = (self.width.saturating_sub(rank_width) / count).saturating_sub(GAP);
        let first = found.models.first();
        if column >= NARROWEST {
            self.rows(&found.models, first, ranks, rank_width, column, out)?;
        } else {
            let column = self.width.saturating_sub(rank_width + GAP);
            for model in found.models.chunks(1) {
                self.rows(model, first, ranks, rank_width, column, out)?;
            }
        }
        Ok(())
    }

    fn rows(
        &self,
        models: &[ModelHits],
        first: Option<&ModelHits>,
        ranks: usize,
        rank_width: usize,
        column: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let heading = models.iter().map(|model| cut(&model.model, column));
        write_row(&" ".repeat(rank_width), heading.collect(), column, out)?;
        for rank in 0..ranks {
            let cells = models.iter().map(|model| {
                let Some(hit) = model.hits.get(rank) else { return String::new() };
                let change =
                    first.filter(|first| !std::ptr::eq(*first, model)).map(|first| change(first, hit, rank));
                cell(model, hit, change, column)
            });
            write_row(&format!("{:>rank_width$}", rank + 1), cells.collect(), column, out)?;
        }
        writeln!(out)
    }
}

/// How the first model ranked the same line.
fn change(first: &ModelHits, hit: &Hit, rank: usize) -> String {
    match first.hits.iter().position(|other| other.line == hit.line) {
        None => "new".to_owned(),
        Some(before) if before == rank => "=".to_owned(),
        Some(before) if before > rank => format!("+{}", before - rank),
        Some(before) => format!("-{}", rank - before),
    }
}

/// Cosine, line number, change where there is one, and what fits of the sentence.
fn cell(model: &ModelHits, hit: &Hit, change: Option<String>, column: usize) -> String {
    let lines = model.hits.iter().map(|hit| hit.line.to_string().len()).max().unwrap_or(0);
    let change = change.map_or(String::new(), |change| format!("  {change:<3}"));
    let before = format!("{:>7.4}  {:>lines$}{change}  ", hit.cosine, hit.line);
    let text = cut(&hit.text, column.saturating_sub(width(&before)));
    before + &text
}

fn write_row(rank: &str, cells: Vec<String>, column: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut row = rank.to_owned();
    for cell in cells {
        let padding = " ".repeat(column.saturating_sub(width(&cell)));
        row += &format!("{}{cell}{padding}", " ".repeat(GAP));
    }
    writeln!(out, "{}", row.trim_end())
}

/// The beginning of a text that fits so many columns. A tab or another control character must not move the
/// terminal's cursor: it becomes a blank.
fn cut(text: &str, columns: usize) -> String {
    let mut kept = String::new();
    let mut width = 0;
    // So that a megabyte is not looked at for eighty columns.
    for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        let wide = columns_of(character);
        if width + wide > columns {
            while width + 1 > columns {
                let Some(last) = kept.pop() else { return kept };
                width -= columns_of(last);
            }
            return kept + "…";
        }
        kept.push(character);
        width += wide;
    }
    kept
}

/// Columns that a text takes on a terminal.
fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[&str], models: usize) -> Found {
        let hit =
            |(i, text): (usize, &&str)| Hit { line: 90 + i as u64, cosine: 0.5, text: Arc::from(*text) };
        let hits: Vec<Hit> = texts.iter().enumerate().map(hit).collect();
        let models = (0..models).map(|m| {
            let mut hits = hits.clone();
            hits.rotate_left(m % texts.len());
            ModelHits { model: format!("model-{m}"), hits }
        });
        Found { query: "a query".to_owned(), models: models.collect() }
    }

    fn written(found: &Found, width: usize) -> String {
        let mut bytes = Vec::new();
        Table { width }.write(found, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn models_stand_side_by_side_and_say_what_moved() {
        let text = written(&found(&["one", "two", "three"], 2), 90);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("model-0") && lines[2].contains("model-1"), "{text}");
        assert!(lines[3].contains("90  one") && lines[3].contains("91  +1   two"), "{text}");
        assert!(lines[5].contains("92  three") && lines[5].contains("90  -2   one"), "{text}");
    }

    #[test]
    fn where_they_do_not_fit_they_stand_one_below_the_other() {
        let text = written(&found(&["one", "two"], 3), 80);
        let heading = |m: usize| text.lines().position(|line| line.trim() == format!("model-{m}")).unwrap();
        assert!(heading(0) < heading(1) && heading(1) < heading(2), "{text}");
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_the_terminal(
            texts in proptest::collection::vec("\\PC{0,80}|[\\t\\x1b界]{0,40}", 1..4),
            models in 1usize..4,
            width in 40usize..200,
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for line in written(&found(&texts, models), width).lines() {
                prop_assert!(line.chars().all(|c| !c.is_control()));
                prop_assert!(super::width(line) <= width, "{}: {line}", super::width(line));
            }
        }
    }
}
