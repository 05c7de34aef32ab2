//! The keys of a sweep's file, each with its line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use sts_eval::Convention;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::super::{SetName, SweepError};
use super::{Config, Grid, Row, Setting};
use crate::quote::{line_of, quoted};
use crate::suggest::meant;

const KEYS: [&str; 7] = ["seeds", "tuning-seeds", "dev", "test", "convention", "settings", "row"];
const ROW_KEYS: [&str; 4] = ["name", "against", "settings", "grid"];

/// The file while it is read.
pub(super) struct File<'t> {
    pub text: &'t str,
    /// What messages call it.
    pub shown: String,
}

/// Keys and values of a table, in the order of the file.
type Entries<'a, 't> = Vec<(&'a Spanned<Cow<'t, str>>, &'a Spanned<DeValue<'t>>)>;

impl<'t> File<'t> {
    pub(super) fn refuse(&self, span: &Range<usize>, what: &str) -> SweepError {
        SweepError::Refused(format!(
            "{}, line {}: {what}",
            self.shown,
            line_of(self.text.as_bytes(), span.start)
        ))
    }

    fn entries<'a>(&self, table: &'a DeTable<'t>) -> Entries<'a, 't> {
        let mut entries: Entries = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// The entries of a table whose keys are all known.
    fn known<'a>(
        &self,
        table: &'a DeTable<'t>,
        known: &[&str],
        what: &str,
    ) -> Result<Entries<'a, 't>, SweepError> {
        let entries = self.entries(table);
        match entries.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(entries),
            Some((key, _)) => {
                let name = key.get_ref();
                let likely = meant(name, known.iter().copied());
                let likely = likely.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
                let known = known.join(", ");
                Err(self.refuse(
                    &key.span(),
                    &format!("{} is not a key of {what}{likely}; the keys are {known}", quoted(name)),
                ))
            }
        }
    }

    pub(super) fn config(&self, table: &DeTable<'t>) -> Result<Config, SweepError> {
        let mut config = Config {
            shown: self.shown.clone(),
            seeds: vec![42],
            tuning_seeds: Vec::new(),
            dev: None,
            test: None,
            convention: Convention::default(),
            settings: Vec::new(),
            rows: Vec::new(),
        };
        for (key, value) in self.known(table, &KEYS, "a sweep")? {
            match key.get_ref().as_ref() {
                "seeds" => config.seeds = self.seeds(key, value)?,
                "tuning-seeds" => config.tuning_seeds = self.seeds(key, value)?,
                "dev" => config.dev = Some(self.set(value)?),
                "test" => config.test = Some(self.test_sets(key, value)?),
                "convention" => {
                    let name = self.string(value)?;
                    config.convention = name
                        .parse::<Convention>()
                        .map_err(|error| self.refuse(&value.span(), &format!("{error}")))?;
                }
                "settings" => config.settings = self.settings(value)?,
                _ => config.rows = self.rows(value)?,
            }
        }
        if config.rows.is_empty() {
            return Err(SweepError::Refused(format!(
                "{} has no rows; a row is [[row]] with a name and settings",
                self.shown
            )));
        }
        if config.tuning_seeds.is_empty() {
            config.tuning_seeds.push(config.seeds[0]);
        }
        Ok(config)
    }

    fn rows(&self, value: &Spanned<DeValue<'t>>) -> Result<Vec<Row>, SweepError> {
        let Some(array) = value.get_ref().as_array() else {
            return Err(self.refuse(&value.span(), "row: write each row as [[row]], in double brackets"));
        };
        let mut rows: Vec<Row> = Vec::new();
        let mut against: Vec<Option<&Spanned<DeValue<'t>>>> = Vec::new();
        for value in array {
            let Some(table) = value.get_ref().as_table() else {
                return Err(self.refuse(&value.span(), "row: a row is a table, [[row]]"));
            };
            let (row, other) = self.row(table, value.span())?;
            if rows.iter().any(|earlier| earlier.name == row.name) {
                let name = quoted(&row.name);
                return Err(self.refuse(&value.span(), &format!("there are two rows called {name}")));
            }
            rows.push(row);
            against.push(other);
        }
        for (place, other) in against.iter().enumerate() {
            rows[place].against = match other {
                None if place == 0 => None,
                None => Some(rows[0].name.clone()),
                Some(value) if value.get_ref().as_str() == Some("") => None,
                Some(value) => Some(self.other_row(&rows, place, value)?),
            };
        }
        Ok(rows)
    }

    /// The row that another one is measured against.
    fn other_row(
        &self,
        rows: &[Row],
        place: usize,
        value: &Spanned<DeValue<'t>>,
    ) -> Result<String, SweepError> {
        let name = self.string(value)?;
        if rows[place].name == name {
            return Err(self.refuse(&value.span(), "against: a row is measured against another one"));
        }
        if rows.iter().any(|row| row.name == name) {
            return Ok(name.to_owned());
        }
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let (name, names) = (quoted(name), names.join(", "));
        Err(self.refuse(&value.span(), &format!("against: there is no row {name}; the rows are {names}")))
    }

    #[allow(clippy::type_complexity, reason = "a row, and what it names that is not known yet")]
    fn row<'a>(
        &self,
        table: &'a DeTable<'t>,
        span: Range<usize>,
    ) -> Result<(Row, Option<&'a Spanned<DeValue<'t>>>), SweepError> {
        let mut row = Row { name: String::new(), against: None, settings: Vec::new(), grid: Vec::new() };
        let mut against = None;
        for (key, value) in self.known(table, &ROW_KEYS, "a row")? {
            match key.get_ref().as_ref() {
                "name" => row.name = self.string(value)?.to_owned(),
                "against" => against = Some(value),
                "settings" => row.settings = self.settings(value)?,
                _ => row.grid = self.grid(value)?,
            }
        }
        if row.name.trim().is_empty() {
            return Err(self.refuse(&span, "a row needs a name"));
        }
        let twice = row.grid.iter().find(|grid| row.settings.iter().any(|own| own.key == grid.key));
        if let Some(grid) = twice {
            let Grid { line, key, .. } = grid;
            return Err(SweepError::Refused(format!(
                "{}, line {line}: {key} is in the row's settings and in its grid; leave one of them out",
                self.shown
            )));
        }
        Ok((row, against))
    }

    fn settings(&self, value: &Spanned<DeValue<'t>>) -> Result<Vec<Setting>, SweepError> {
        let table = self.table(value, "settings")?;
        let mut settings = Vec::new();
        for (key, value) in self.entries(table) {
            let name = self.setting_name(key)?;
            let value = self.value(value)?;
            settings.push(Setting {
                line: line_of(self.text.as_bytes(), key.span().start),
                key: name,
                value,
            });
        }
        Ok(settings)
    }

    fn grid(&self, value: &Spanned<DeValue<'t>>) -> Result<Vec<Grid>, SweepError> {
        let table = self.table(value, "grid")?;
        let mut grid = Vec::new();
        for (key, value) in self.entries(table) {
            let name = self.setting_name(key)?;
            let Some(values) = value.get_ref().as_array() else {
                return Err(self.refuse(
                    &value.span(),
                    &format!("{name}: a grid lists values to choose from, as in {name} = [0.01, 0.05]"),
                ));
            };
            let values: Vec<Value> =
                values.iter().map(|value| self.value(value)).collect::<Result<_, _>>()?;
            if values.is_empty() {
                return Err(
                    self.refuse(&value.span(), &format!("{name}: the grid is empty; list its values"))
                );
            }
            if let Some(twice) = (1..values.len()).find(|&place| values[..place].contains(&values[place])) {
                let value_of = &values[twice];
                return Err(self.refuse(
                    &value.span(),
                    &format!("{name}: the grid has {value_of} twice; once is enough"),
                ));
            }
            grid.push(Grid { line: line_of(self.text.as_bytes(), key.span().start), key: name, values });
        }
        Ok(grid)
    }

    /// A flag of `mirror train`; whether there is such a flag is known elsewhere.
    fn setting_name(&self, key: &Spanned<Cow<'t, str>>) -> Result<String, SweepError> {
        match key.get_ref().as_ref() {
            "seed" => {
                Err(self
                    .refuse(&key.span(), "seed: the seeds of all rows are listed once, as seeds = [42, 43]"))
            }
            "output" | "log-dir" => {
                let name = key.get_ref();
                let what = format!("{name}: every cell has a folder of its own; leave it out");
                Err(self.refuse(&key.span(), &what))
            }
            name => Ok(name.to_owned()),
        }
    }

    fn table<'a>(&self, value: &'a Spanned<DeValue<'t>>, what: &str) -> Result<&'a DeTable<'t>, SweepError> {
        value.get_ref().as_table().ok_or_else(|| {
            self.refuse(&value.span(), &format!("{what}: this is a table of flags, as in {what}.reg = …"))
        })
    }

    fn string<'a>(&self, value: &'a Spanned<DeValue<'t>>) -> Result<&'a str, SweepError> {
        value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.refuse(&value.span(), "text in quotation marks is expected here"))
    }

    fn set(&self, value: &Spanned<DeValue<'t>>) -> Result<SetName, SweepError> {
        self.string(value)?.parse().map_err(|error: String| self.refuse(&value.span(), &error))
    }

    fn test_sets(
        &self,
        key: &Spanned<Cow<'t, str>>,
        value: &Spanned<DeValue<'t>>,
    ) -> Result<Vec<SetName>, SweepError> {
        let Some(array) = value.get_ref().as_array().filter(|array| !array.is_empty()) else {
            return Err(
                self.refuse(&key.span(), "test: list the sets to score, as in test = [\"STS12\", \"STSB\"]")
            );
        };
        let mut sets: Vec<SetName> = Vec::new();
        for value in array {
            let set = self.set(value)?;
            if set == SetName::HeldOut {
                return Err(self.refuse(&value.span(), "test: held-out lines have no labels to score by"));
            }
            if sets.iter().any(|other| other.name() == set.name()) {
                let name = quoted(&set.name());
                return Err(self.refuse(&value.span(), &format!("test: {name} is listed twice")));
            }
            sets.push(set);
        }
        Ok(sets)
    }

    fn seeds(
        &self,
        key: &Spanned<Cow<'t, str>>,
        value: &Spanned<DeValue<'t>>,
    ) -> Result<Vec<u64>, SweepError> {
        let name = key.get_ref();
        let expected = || {
            self.refuse(
                &key.span(),
                &format!("{name}: list whole numbers, 0 or above, as in {name} = [42, 43]"),
            )
        };
        let array = value.get_ref().as_array().filter(|array| !array.is_empty()).ok_or_else(expected)?;
        let seeds: Vec<u64> = array
            .iter()
            .map(|value| {
                self.value(value)?.as_integer().and_then(|seed| u64::try_from(seed).ok()).ok_or_else(expected)
            })
            .collect::<Result<_, _>>()?;
        if seeds.iter().collect::<BTreeSet<_>>().len() < seeds.len() {
            return Err(self.refuse(&key.span(), &format!("{name}: a seed is listed twice; each is one run")));
        }
        Ok(seeds)
    }

    /// A value without its places.
    fn value(&self, value: &Spanned<DeValue<'t>>) -> Result<Value, SweepError> {
        let too_large = || self.refuse(&value.span(), "this number is too large");
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| too_large())?)
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| too_large())?),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(date) => Value::Datetime(*date),
            DeValue::Array(values) => {
                Value::Array(values.iter().map(|value| self.value(value)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(_) => return Err(self.refuse(&value.span(), "no flag has a table of values")),
        })
    }
}
