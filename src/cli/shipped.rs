//! Settings that ship with the program by a name, for `mirror train` and `mirror finetune` alike.

use crate::quote::quoted;
use crate::suggest::meant;

/// A preset: a name and a file, whose first line says what it is for.
pub trait Shipped: Copy + 'static {
    /// Those of a command.
    fn all() -> impl Iterator<Item = Self>;

    fn name(self) -> &'static str;

    fn text(self) -> &'static str;

    /// What a message calls it.
    fn shown(self) -> String {
        format!("--preset {}", self.name())
    }

    /// What it is for.
    fn about(self) -> &'static str {
        self.text().lines().next().map_or("", |line| line.trim_start_matches('#').trim())
    }

    /// The one of that name.
    ///
    /// # Errors
    /// There is none; the message names those that there are.
    fn named(given: &str) -> Result<Self, String> {
        Self::all().find(|preset| preset.name() == given).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            let likely = meant(given, names.iter().copied());
            let likely = likely.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
            format!("there is no preset {}{likely}; the presets are {}", quoted(given), names.join(", "))
        })
    }

    /// All, each with what it is for.
    fn listed() -> String {
        let presets: Vec<String> = Self::all().map(|p| format!("{} ({})", p.name(), p.about())).collect();
        presets.join("; ")
    }
}
