//! `--preset NAME`: settings that ship with the program, each a file in the form of `--config`.

use std::str::FromStr;

use super::configuration::{ConfigurationError, Settings};
use super::shipped::Shipped;

/// The presets: names and files. A new one is a file in src/presets, whose first line says what it is for, and a line
/// here.
const PRESETS: [(&str, &str); 3] = [
    ("paper", include_str!("../presets/paper.toml")),
    ("simcse", include_str!("../presets/simcse.toml")),
    ("word", include_str!("../presets/word.toml")),
];

/// Settings by a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    name: &'static str,
    text: &'static str,
}

impl Shipped for Preset {
    fn all() -> impl Iterator<Item = Self> {
        PRESETS.into_iter().map(|(name, text)| Preset { name, text })
    }

    fn name(self) -> &'static str {
        self.name
    }

    fn text(self) -> &'static str {
        self.text
    }
}

impl Preset {
    /// # Errors
    /// As [`Settings::read`].
    pub fn settings(self) -> Result<Settings, ConfigurationError> {
        Settings::parse(self.text, self.shown())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Preset::named(given)
    }
}

/// What `--help` says of `--preset`.
pub fn help() -> String {
    format!(
        "Settings that ship with the program, of which those that a --config file or a flag gives win: {}",
        Preset::listed()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound_and_says_what_it_is_for() {
        for preset in Preset::all() {
            assert!(!preset.about().is_empty() && help().contains(preset.about()), "{preset:?}");
            let options = preset.settings().unwrap().apply(crate::cli_defaults(), |_| false).unwrap();
            options.check().unwrap();
            assert_eq!(options == crate::cli_defaults(), preset.name == "paper", "{preset:?}");
            assert_eq!(preset.name.parse(), Ok(preset));
        }
    }

    /// Unsupervised SimCSE's script for BERT-base, flag by flag.
    #[test]
    fn the_simcse_preset_is_the_originals() {
        let preset: Preset = "simcse".parse().unwrap();
        let o = preset.settings().unwrap().apply(crate::cli_defaults(), |_| false).unwrap();
        assert_eq!((o.epochs, o.batch_size, o.max_length, o.mask_span), (1, 64, 32, 0));
        assert_eq!((o.learning_rate, o.temperature, o.dropout, o.weight_decay), (3e-5, 0.05, 0.1, 0.0));
        assert_eq!((o.pooling.to_string().as_str(), o.eval_every, o.keep_best), ("cls", 125, true));
    }

    /// The original's script, flag by flag.
    #[test]
    fn the_word_preset_is_the_originals() {
        let preset: Preset = "word".parse().unwrap();
        let o = preset.settings().unwrap().apply(crate::cli_defaults(), |_| false).unwrap();
        assert_eq!((o.epochs, o.batch_size, o.max_length, o.mask_span), (2, 200, 25, 0));
        assert_eq!((o.learning_rate, o.temperature, o.dropout, o.drophead), (2e-5, 0.2, 0.1, 0.0));
        assert_eq!((o.pooling.to_string().as_str(), o.holdout), ("cls", Some(0)));
    }
}
