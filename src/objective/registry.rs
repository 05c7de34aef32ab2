//! The loss terms that `--reg` knows: one line each.

use thiserror::Error;

use super::LossTerm;
use crate::model::Architecture;

/// What defaults may depend on.
#[derive(Clone, Copy, Debug)]
pub struct BuildContext {
    /// Some defaults are the paper's for one architecture.
    pub architecture: Architecture,
}

/// A flag whose value makes no sense.
#[derive(Debug, Error, PartialEq)]
#[error("{flag} is {value}; {expected}")]
#[allow(missing_docs, reason = "the messages say what each is")]
pub struct InvalidOption {
    pub flag: &'static str,
    pub value: f64,
    pub expected: &'static str,
}

fn check(flag: &'static str, value: f64, holds: bool, expected: &'static str) -> Result<f64, InvalidOption> {
    if holds { Ok(value) } else { Err(InvalidOption { flag, value, expected }) }
}

/// The value of `flag`, if it is finite and above 0.
pub fn positive(flag: &'static str, value: f64) -> Result<f64, InvalidOption> {
    check(flag, value, value > 0.0 && value.is_finite(), "it must be a number above 0")
}

/// The value of `flag`, if it is finite and not below 0.
pub fn at_least_zero(flag: &'static str, value: f64) -> Result<f64, InvalidOption> {
    check(flag, value, value >= 0.0 && value.is_finite(), "it must be 0 or a number above it")
}

/// In [0, 1).
pub fn probability(flag: &'static str, value: f64) -> Result<f64, InvalidOption> {
    check(flag, value, (0.0..1.0).contains(&value), "it must be at least 0 and below 1")
}

/// Declares the options of all terms (flattened into flags and TOML keys) and how a name is built.
macro_rules! loss_terms {
    ($($name:literal => $module:ident::$term:ident: $about:literal;)*) => {
        /// The flags of all loss terms.
        #[derive(clap::Args, Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct Options {
            $(
                /// The flags of the term of this name.
                #[command(flatten)]
                #[serde(flatten)]
                pub $module: super::$module::Options,
            )*
        }

        impl Default for Options {
            /// The values that the flags have when they are not given.
            fn default() -> Self {
                Options { $($module: crate::cli_defaults(),)* }
            }
        }

        impl Options {
            /// All terms, with the defaults that depend on the model.
            ///
            /// # Errors
            /// A value that makes no sense, whether or not its term is in use.
            pub fn resolve(self, context: &BuildContext) -> Result<Resolved, InvalidOption> {
                Ok(Resolved { $($module: self.$module.resolve(context)?,)* })
            }
        }

        /// Every loss term as it is before a run's first step: all its values known and checked.
        #[derive(Clone)]
        pub struct Resolved {
            $($module: super::$module::$term,)*
        }

        impl Resolved {
            /// The flags that give these terms for any model.
            pub fn options(&self) -> Options {
                Options { $($module: self.$module.options(),)* }
            }

            /// The term called `name`; `None` for a name that is no loss term.
            pub fn build(&self, name: &str) -> Option<Box<dyn LossTerm>> {
                match name {
                    $($name => Some(Box::new(self.$module.clone())),)*
                    _ => None,
                }
            }
        }

        /// Names and one-line descriptions, in the order in which terms are added up.
        pub const LOSS_TERMS: &[(&str, &str)] = &[$(($name, $about)),*];
    };
}

loss_terms! {
    "r3f" => r3f::R3f: "divergence under noise on the word embeddings";
    "r-drop" => r_drop::RDrop: "divergence between two dropout passes";
    "freelb" => free_lb::FreeLb: "loss under K adversarial embedding perturbations";
    "smart" => smart::Smart: "adversarial smoothness and a Bregman proximal point";
}
